"""Writes an initramfs (a "newc" cpio archive, gzip) from a list of entries; no root, no cpio(1), the same bytes every time.

Usage: initramfs.py OUTPUT ENTRY...   with ENTRY one of
  dir:PATH   link:PATH=TARGET   node:PATH=TYPE,MAJOR,MINOR (TYPE c or b)   file:PATH=SOURCE   exec:PATH=SOURCE
"""
import gzip
import os
import stat
import sys

TRAILER = "TRAILER!!!"


def pad4(data):
    return data + b"\0" * (-len(data) % 4)


def record(inode, path, mode, data=b"", major=0, minor=0):
    """One archive member: the 110-byte header of cpio(5) "New ASCII Format", the name and the data, each padded to 4."""
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return pad4(header + name) + pad4(data)


def member(inode, entry):
    kind, _, rest = entry.partition(":")
    path, _, value = rest.partition("=")
    if kind == "dir":
        return record(inode, path, stat.S_IFDIR | 0o755)
    if kind == "link":
        return record(inode, path, stat.S_IFLNK | 0o777, value.encode())
    if kind == "node":
        node, major, minor = value.split(",")
        kind_bits = {"c": stat.S_IFCHR, "b": stat.S_IFBLK}[node]
        return record(inode, path, kind_bits | 0o600, b"", int(major), int(minor))
    if kind in ("file", "exec"):
        with open(value, "rb") as source:
            return record(inode, path, stat.S_IFREG | (0o755 if kind == "exec" else 0o644), source.read())
    raise SystemExit(f"initramfs: unknown entry '{entry}'")


def write(output, entries):
    data = b"".join(member(number, entry) for number, entry in enumerate(entries, 1)) + record(0, TRAILER, 0)
    temporary = f"{output}.new"
    with open(temporary, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        packed.write(data)
    os.replace(temporary, output)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    write(sys.argv[1], sys.argv[2:])
