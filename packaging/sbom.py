"""Writes what the binary is made of, as a CycloneDX document: sbom.py TARGET VERSION."""

import json
import os
import subprocess
import sys
from datetime import datetime, timezone


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def reachable(metadata):
    """The packages that the binary is linked from: no tests, no tools of the build."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    names = {package["id"]: package for package in metadata["packages"]}
    root = next(id for id, package in names.items() if package["name"] == "longshore")
    seen, queue = set(), [root]
    while queue:
        one = queue.pop()
        if one in seen:
            continue
        seen.add(one)
        for dependency in nodes[one]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                queue.append(dependency["pkg"])
    return [names[one] for one in seen]


def component(package):
    made = {"type": "library", "name": package["name"], "version": package["version"]}
    if package["license"]:
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package["source"]:
        made["purl"] = "pkg:cargo/%s@%s" % (package["name"], package["version"])
    return made


def debian(package, name, licence):
    """A C library that is linked in."""
    version = output("dpkg-query", "-W", "-f", "${Version}", package).strip()
    return {"type": "library", "name": name, "version": version,
            "licenses": [{"license": {"id": licence}}], "purl": "pkg:deb/debian/%s@%s" % (package, version)}


def main():
    target, version = sys.argv[1], sys.argv[2]
    metadata = json.loads(output("cargo", "metadata", "--format-version", "1", "--filter-platform", target))
    components = sorted(map(component, reachable(metadata)), key=lambda one: (one["name"], one["version"]))
    components.append(debian("libseccomp-dev", "libseccomp", "LGPL-2.1-only"))
    components.append(debian("musl-dev", "musl", "MIT"))
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    json.dump({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "name": "longshore", "version": version},
        },
        "components": components,
    }, sys.stdout, indent=1)
    print()


main()
