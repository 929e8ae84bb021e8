#!/usr/bin/env python3
"""Copies the published service models here, without their prose.

Usage: models/vendor.py SERVICE...   (needs the PyPI package botocore)

Kept are metadata, operations and shapes; documentation, examples, rules of endpoints and
deprecation notes are not ours to publish and are not needed.

Of the services in PRUNED, only the operations in models/operations.toml and the shapes that they
reach are kept whole; of all others the name (docs/decisions/0012-ec2-query.md). Run this again
when such a service gets an operation.
"""

import json
import pathlib
import sys
import tomllib

import botocore.loaders

PROSE = {
    "documentation", "documentationUrl", "examples", "deprecated", "deprecatedMessage",
    "deprecatedSince", "endpointdiscovery", "endpointoperation", "staticContextParams",
}
# Services whose models are too large to keep whole.
PRUNED = {"cloudtrail", "ec2", "iam", "ssm"}
# Values that a service takes, as its own documentation says, but its published model leaves out:
# the log driver `none` is what its agent offers by default (ECS_AVAILABLE_LOGGING_DRIVERS).
MISSING_VALUES = {"ecs": {"LogDriver": ["none"], "SettingName": ["dualStackIPv6"]}}
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


def reached(model, built):
    """The names of the shapes that these operations reach."""
    operations = [model["operations"][name] for name in built]
    todo = [
        target["shape"]
        for operation in operations
        for target in (operation.get("input"), operation.get("output"), *operation.get("errors", []))
        if target
    ]
    names = set()
    while todo:
        name = todo.pop()
        if name not in names:
            names.add(name)
            shape = model["shapes"][name]
            inner = [shape[key] for key in ("member", "key", "value") if key in shape]
            todo += [target["shape"] for target in (*inner, *shape.get("members", {}).values())]
    return names


def pruned(model, built):
    names = reached(model, built)
    operations = {
        name: operation if name in built else {} for name, operation in model["operations"].items()
    }
    shapes = {name: shape for name, shape in model["shapes"].items() if name in names}
    return {**model, "operations": operations, "shapes": shapes}


def main():
    loader = botocore.loaders.Loader()
    folder = pathlib.Path(__file__).parent
    for service in sys.argv[1:]:
        model = loader.load_service_model(service, "service-2")
        if service in PRUNED:
            built = tomllib.loads((folder / "operations.toml").read_text())[service]
            model = pruned(model, built)
        for shape, values in MISSING_VALUES.get(service, {}).items():
            known = model["shapes"][shape]["enum"]
            known += [value for value in values if value not in known]
        kept = {key: model[key] for key in ("version", "metadata", "operations", "shapes")}
        text = json.dumps(without_prose(kept), indent=1, sort_keys=True)
        (folder / f"{service}.json").write_text(text + "\n")
        print(f"{service}: {len(kept['operations'])} operations, {len(kept['shapes'])} shapes")


if __name__ == "__main__":
    main()
