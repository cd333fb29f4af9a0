"""Writes a list of all that Hilum is made of and with, as SPDX 2.3 in JSON: sbom.py OUT. Names, versions and checksums are those that the
build is pinned to: scripts/fetch-* and tools/web/package-lock.json; what comes from the Debian system that builds, dpkg knows."""
import base64
import datetime
import hashlib
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Source packages of Debian that are compiled into the service VMs, by the scripts that pin them.
COMPILED_IN = {"fetch-lwip": "BSD-3-Clause", "fetch-mbedtls": "Apache-2.0 OR GPL-2.0-or-later"}
# Installed packages of Debian: those whose files become part of a medium, and those that make it.
ON_THE_MEDIUM = {"libjsmn-dev": "MIT", "grub-pc-bin": "GPL-3.0-or-later", "grub-efi-amd64-bin": "GPL-3.0-or-later"}
TOOLS = ("gcc-12", "nasm", "binutils", "make", "python3", "nodejs", "grub-common", "xorriso", "mtools", "faketime")


def read(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def package(name, version, *, licence="NOASSERTION", location="NOASSERTION", purl=None, checksum=None, file=None):
    entry = {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name), "name": name, "versionInfo": version, "downloadLocation": location,
        "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": licence, "copyrightText": "NOASSERTION",
        "supplier": "NOASSERTION",
    }
    if purl:
        entry["externalRefs"] = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]
    if checksum:
        entry["checksums"] = [dict(zip(("algorithm", "checksumValue"), checksum))]
    if file:
        entry["packageFileName"] = file
    return entry


def pinned_source(script, licence):
    """What scripts/fetch-* takes from Debian's archive."""
    text = read("scripts", script)
    name, version = re.search(r"^package=(\S+) version=(\S+)", text, re.M).groups()
    checksum, file = re.search(r'^files="([0-9a-f]{64})  (\S+orig\S+?)"?$', text, re.M).groups()
    return package(name, version, licence=licence, purl=f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch=source",
                   location=f"https://deb.debian.org/debian/pool/main/{name[0]}/{name}/{file}", checksum=("SHA256", checksum), file=file)


def npm_packages():
    """(in the bundle?, package) of what package-lock.json pins, but for esbuild's programs for machines that Hilum is not built on."""
    bundled = re.search(r"^WEB_BUNDLED := (.*)", read("mk", "web.mk"), re.M)[1].split()
    for path, locked in json.loads(read("tools", "web", "package-lock.json"))["packages"].items():
        name = path.rpartition("node_modules/")[2]
        if not name or locked.get("dev") or locked.get("optional") and name != "@esbuild/linux-x64":
            continue
        algorithm, value = locked["integrity"].split("-", 1)
        version, file = locked["version"], f"{name.split('/')[-1]}-{locked['version']}.tgz"
        yield name in bundled, package(name, version, licence=locked.get("license", "NOASSERTION"),
                                       purl=f"pkg:npm/{name.replace('@', '%40')}@{version}",
                                       location=f"https://registry.npmjs.org/{name}/-/{file}",
                                       checksum=(algorithm.upper(), base64.b64decode(value).hex()), file=file)


def installed(name, licence="NOASSERTION"):
    """None: it is not. A package that others than Debian made has no name in Debian's archive."""
    query = subprocess.run(["dpkg-query", "-W", "-f=${Version} ${Architecture} ${Maintainer}", name], capture_output=True, text=True)
    if query.returncode != 0:
        return None
    version, architecture, maintainer = query.stdout.split(maxsplit=2)
    purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A')}?arch={architecture}"
    return package(name, version, licence=licence, purl=purl if "debian.org>" in maintainer else None)


def all_packages():
    """(relation to Hilum, package) of each."""
    for script, licence in COMPILED_IN.items():
        yield "CONTAINS", pinned_source(script, licence)
    for bundled, entry in npm_packages():
        yield "CONTAINS" if bundled else "BUILD_TOOL_OF", entry
    for name, licence in ON_THE_MEDIUM.items():
        yield "CONTAINS", installed(name, licence)
    for name in TOOLS:
        yield "BUILD_TOOL_OF", installed(name)


def document(epoch):
    hilum = package("hilum", re.search(r"^HILUM_VERSION \?= (\S+)", read("mk", "tools.mk"), re.M)[1])
    parts = [(relation, entry) for relation, entry in all_packages() if entry is not None]
    relationships = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": hilum["SPDXID"]}]
    for relation, entry in parts:
        ends = (hilum["SPDXID"], entry["SPDXID"])
        first, second = ends if relation == "CONTAINS" else reversed(ends)
        relationships.append({"spdxElementId": first, "relationshipType": relation, "relatedSpdxElement": second})
    packages = [hilum, *(entry for _, entry in parts)]
    contents = hashlib.sha256(json.dumps(packages, sort_keys=True).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"hilum-{hilum['versionInfo']}",
        "documentNamespace": f"urn:hilum:sbom:{contents}",
        "creationInfo": {
            "created": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: hilum-sbom"],
        },
        "packages": packages, "relationships": relationships,
    }


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: sbom.py OUT")
    made = document(int(os.environ.get("SOURCE_DATE_EPOCH") or 0))
    with open(sys.argv[1], "w") as out:
        json.dump(made, out, indent=1, ensure_ascii=False)
        out.write("\n")
    print(f"{len(made['packages'])} packages")


if __name__ == "__main__":
    main()
