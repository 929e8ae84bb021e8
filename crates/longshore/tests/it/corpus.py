"""Registers every definition of a folder as its users do, compares what is described with what was
registered, and runs what can run here. Prints what became of each as JSON.

    corpus.py FOLDER SCRATCH [register]

The clients' side: `null` members, an outer `taskDefinition`, empty tags, empty modes (Go's SDK sends
none) and the members that only answers have are left out before registering, as
`--cli-input-json` and the SDKs demand.
"""

import copy
import json
import pathlib
import sys
import time

import boto3
import botocore.config
import botocore.exceptions

# What answers have and requests do not.
ANSWERS = (
    "taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities",
    "registeredAt", "registeredBy", "deregisteredAt",
)
# What DescribeTaskDefinition adds to what was registered: where, the value (`...`: any), why.
ADDED = [
    ("", dict.fromkeys(ANSWERS, ...), "what registering adds"),
    ("", {"volumes": [], "placementConstraints": []}, "ECS shows these lists though they are empty"),
    ("containerDefinitions", {"cpu": 0}, "no share of its own"),
    ("containerDefinitions", {"essential": True}, "a container is essential unless it says otherwise"),
    ("containerDefinitions",
     {"environment": [], "mountPoints": [], "volumesFrom": [], "portMappings": [], "systemControls": []},
     "ECS shows these lists though they are empty"),
    ("containerDefinitions.portMappings", {"protocol": "tcp", "hostPort": ...},
     "tcp, and a dynamic port on a bridge or the container's own elsewhere"),
    ("containerDefinitions.healthCheck", {"interval": 30, "timeout": 5, "retries": 3},
     "the defaults of health checks"),
    ("volumes", {"host": {}}, "a volume without a kind is one of the host"),
]
# Task sizes in words come back in units.
UNITS = {"cpu": ("vcpu", 1024), "memory": ("gb", 1024)}
# Keeps a container running until it is told to stop.
FOREVER = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]


def without_null(value):
    """The value without `null` members, at any depth."""
    if isinstance(value, dict):
        return {key: without_null(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [without_null(each) for each in value]
    return value


def request(document):
    """What is registered of a file."""
    document = without_null(document.get("taskDefinition", document))
    for member, empty in [("tags", []), ("ipcMode", ""), ("pidMode", "")]:
        if document.get(member) == empty:
            del document[member]
    return {key: value for key, value in document.items() if key not in ANSWERS}


def same_size(member, given, shown):
    """Whether a task's size means the same."""
    word, unit = UNITS[member]
    text = given.lower().strip()
    if text.endswith(word):
        text = str(round(float(text[: -len(word)]) * unit))
    return text == shown


def differences(given, shown, path=""):
    """Where what is shown is not what was given, but for what is known to be added."""
    if isinstance(given, dict) and isinstance(shown, dict):
        for key, value in given.items():
            if path == "" and key in UNITS and same_size(key, value, shown.get(key)):
                continue
            if key not in shown:
                yield f"{path}.{key} is lost"
            else:
                yield from differences(value, shown[key], f"{path}.{key}".lstrip("."))
        for key in shown.keys() - given.keys():
            known = [values[key] for where, values, _ in ADDED if where == path and key in values]
            if not any(value is ... or value == shown[key] for value in known):
                yield f"{path}.{key} is added: {shown[key]!r}"
    elif isinstance(given, list) and isinstance(shown, list) and len(given) == len(shown):
        for one, other in zip(given, shown):
            yield from differences(one, other, path)
    elif given != shown:
        yield f"{path}: {given!r} became {shown!r}"


def register(ecs, documents):
    """Registers all; gives the described ones, the refusals, and what does not come back."""
    described, refused, lost = {}, {}, {}
    for name, document in documents.items():
        try:
            given = request(document)
            arn = ecs.register_task_definition(**given)["taskDefinition"]["taskDefinitionArn"]
        except botocore.exceptions.ParamValidationError as error:
            refused[name] = " ".join(str(error).split())
            continue
        except botocore.exceptions.ClientError as error:
            refused[name] = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
            continue
        answer = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
        described[name] = answer["taskDefinition"]
        tags = answer["tags"]
        if given.pop("tags", []) != tags:
            lost[name] = [f"tags became {tags}"]
        found = list(differences(given, described[name]))
        if found:
            lost.setdefault(name, []).extend(found)
    return described, refused, lost


def main():
    folder, scratch, *only = sys.argv[1:]
    config = botocore.config.Config(retries={"max_attempts": 1}, parameter_validation=True)
    ecs = boto3.client("ecs", config=config)
    files = sorted(pathlib.Path(folder).glob("*.json"))
    documents = {file.stem: json.loads(file.read_text()) for file in files}
    described, refused, lost = register(ecs, documents)
    print(json.dumps({"count": len(documents), "refused": refused, "lost": lost}))


main()
