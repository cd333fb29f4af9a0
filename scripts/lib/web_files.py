"""Makes the table of files that the control VM serves: web_files.py FOLDER OUT.c. Each file is compressed; its ETag is its content's hash."""
import gzip
import hashlib
import os
import re
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
LIMIT_BYTES = 250 * 1024  # of all files together, compressed
HASHED = re.compile(r"-[A-Z0-9]{8}\.\w+$")  # esbuild's names of parts, which change with what they hold
BYTES_PER_LINE = 24


def byte_lines(data):
    for at in range(0, len(data), BYTES_PER_LINE):
        yield "\t" + "".join(f"{byte}," for byte in data[at:at + BYTES_PER_LINE])


def main():
    folder, out = sys.argv[1:]
    arrays, rows, total = [], [], 0
    for index, name in enumerate(sorted(os.listdir(folder))):
        with open(os.path.join(folder, name), "rb") as file:
            content = file.read()
        packed = gzip.compress(content, 9, mtime=0)
        total += len(packed)
        etag = hashlib.sha256(content).hexdigest()[:32]
        path = "/" if name == "index.html" else "/" + name
        kind = TYPES[os.path.splitext(name)[1]]
        arrays += [f"static const uint8_t file_{index}[] = {{", *byte_lines(packed), "};", ""]
        rows.append(f'\t{{.path = "{path}", .type = "{kind}", .encoding = "gzip", .bytes = file_{index}, .count = sizeof(file_{index}), '
                    f'.etag = "\\"{etag}\\"", .immutable = {"true" if HASHED.search(name) else "false"}}},')
    if total > LIMIT_BYTES:
        sys.exit(f"web_files.py: the web console has {total} bytes, compressed: more than {LIMIT_BYTES}")
    text = ["/* Made by scripts/lib/web_files.py: the web console. */", '#include "drivers-vm/control/api/api.h"', "", *arrays,
            "const struct api_file api_files[] = {", *rows, "};", "const unsigned api_file_count = sizeof(api_files) / sizeof(api_files[0]);", ""]
    with open(out, "w", encoding="ascii") as file:
        file.write("\n".join(text))


if __name__ == "__main__":
    main()
