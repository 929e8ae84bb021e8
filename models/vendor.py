#!/usr/bin/env python3
"""Copies the published service models here, without their prose.

Usage: models/vendor.py SERVICE...   (needs the PyPI package botocore)

Kept are metadata, operations and shapes; documentation, examples, rules of endpoints and
deprecation notes are not ours to publish and are not needed.
"""

import json
import pathlib
import sys

import botocore.loaders

PROSE = {
    "documentation", "documentationUrl", "examples", "deprecated", "deprecatedMessage",
    "deprecatedSince", "endpointdiscovery", "endpointoperation", "staticContextParams",
}
# Below these keys, names are the service's own words, never markers to drop.
NAMED = {"operations", "shapes", "members"}


def without_prose(value, inside_named=False):
    if isinstance(value, dict):
        return {
            key: without_prose(item, key in NAMED and not inside_named)
            for key, item in value.items()
            if inside_named or key not in PROSE
        }
    if isinstance(value, list):
        return [without_prose(item) for item in value]
    return value


def main():
    loader = botocore.loaders.Loader()
    folder = pathlib.Path(__file__).parent
    for service in sys.argv[1:]:
        model = loader.load_service_model(service, "service-2")
        kept = {key: model[key] for key in ("version", "metadata", "operations", "shapes")}
        text = json.dumps(without_prose(kept), indent=1, sort_keys=True)
        (folder / f"{service}.json").write_text(text + "\n")
        print(f"{service}: {len(kept['operations'])} operations, {len(kept['shapes'])} shapes")


if __name__ == "__main__":
    main()
