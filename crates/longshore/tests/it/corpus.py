"""Registers every definition of a folder as its users do, compares what is described with what was
registered, and with `run` runs all. Prints what became of each as JSON.

    corpus.py FOLDER SCRATCH register|run

`run` puts the image `busybox` in the place of each and keeps it running; what a task needs of its
account is made first: roles, log groups, parameters, secrets, files of variables and of routers (in SCRATCH/s3, which
agents have as their S3), and folders of the host (in SCRATCH/host).

The clients' side: `null` members, an outer `taskDefinition`, empty tags, empty modes (Go's SDK sends
none) and the members that only answers have are left out before registering, as
`--cli-input-json` and the SDKs demand.
"""

import copy
import json
import pathlib
import re
import resource
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
# Capabilities by the number of their bit.
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE"
    " NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO"
    " SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME"
    " SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG"
    " WAKE_ALARM BLOCK_SUSPEND AUDIT_READ"
).split()
# What execution roles are for, besides images and logs.
FETCHED = ["secretsmanager:GetSecretValue", "ssm:GetParameters", "kms:Decrypt", "s3:Get*"]
# How long all tasks together may take to run.
PATIENCE_SECONDS = 240


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


def fetched(value, make):
    """Makes the secret or the parameter that is named so, and gives its name here, in the same form:
    a name, an ARN, an ARN without its random end, with or without what is meant of it."""
    if not value.startswith("arn:"):
        return make.parameter(value) and value
    parts = value.split(":")
    parts[3] = make.logs.meta.region_name
    if parts[2] == "ssm":
        make.parameter(parts[5].removeprefix("parameter"))
        return ":".join(parts)
    arn = make.secret(parts[6])
    return ":".join([arn, *parts[7:]] if re.search("-[A-Za-z0-9]{6}$", parts[6]) else parts)


def policy(statement):
    """A policy's text."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Account:
    """What tasks find in their account."""

    def __init__(self, config, scratch):
        self.logs = boto3.client("logs", config=config)
        self.ssm = boto3.client("ssm", config=config)
        self.secrets = boto3.client("secretsmanager", config=config)
        self.iam = boto3.client("iam", config=config)
        subnets = boto3.client("ec2", config=config).describe_subnets()["Subnets"]
        self.subnet = subnets[0]["SubnetId"]
        self.scratch = pathlib.Path(scratch)
        self.made = {}

    def group(self, name):
        """A log group."""
        if name not in self.made:
            self.made[name] = self.logs.create_log_group(logGroupName=name)

    def role(self, arn):
        """A role that tasks may take, with what they fetch by it; gives its ARN."""
        name = arn.rsplit("/", 1)[-1]
        if name not in self.made:
            tasks = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                     "Action": "sts:AssumeRole"}
            made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(tasks))
            fetch = policy({"Effect": "Allow", "Action": FETCHED, "Resource": "*"})
            self.iam.put_role_policy(RoleName=name, PolicyName="fetch", PolicyDocument=fetch)
            self.made[name] = made["Role"]["Arn"]
        return self.made[name]

    def parameter(self, name):
        """A parameter; gives its name."""
        if name not in self.made:
            self.ssm.put_parameter(Name=name, Value="value", Type="SecureString")
            self.made[name] = name
        return name

    def secret(self, name):
        """A secret with what registries and JSON keys are asked for; gives its ARN."""
        if name not in self.made:
            value = json.dumps({"username": "user", "password": "word", "key": "value"})
            self.made[name] = self.secrets.create_secret(Name=name, SecretString=value)["ARN"]
        return self.made[name]

    def file(self, arn):
        """A file of variables."""
        path = self.scratch / "s3" / arn.removeprefix("arn:aws:s3:::")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("FROM_FILE=value\n")

    def folder(self, source):
        """A folder of the host in the place of one that a test may not make or hand out."""
        # A container with an empty folder on /dev does not start, with Docker neither.
        if source.startswith(("/proc", "/sys", "/dev")):
            return source
        path = self.scratch / "host" / source.strip("/").replace("/", "-")
        path.mkdir(parents=True, exist_ok=True)
        return str(path)


def machine_has():
    """The capabilities of this machine's root: within a container it has not all."""
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    bits = next(int(line.split()[1], 16) for line in status if line.startswith("CapBnd"))
    return {name for number, name in enumerate(CAPABILITIES) if bits >> number & 1}


def here(name, given, make, port):
    """The definition as it can run on one machine: the same settings, and nothing from elsewhere."""
    task = copy.deepcopy(given)
    task["family"] = f"run-{name}"
    for member in ("executionRoleArn", "taskRoleArn"):
        if member in task:
            task[member] = make.role(task[member])
    for volume in task.get("volumes", []):
        if volume.get("host", {}).get("sourcePath"):
            volume["host"]["sourcePath"] = make.folder(volume["host"]["sourcePath"])
    ending = {
        other["containerName"]
        for one in task["containerDefinitions"]
        for other in one.get("dependsOn", [])
        if other["condition"] in ("COMPLETE", "SUCCESS")
    }
    for one in task["containerDefinitions"]:
        one["image"] = "busybox"
        one.pop("entryPoint", None)
        one["command"] = ["true"] if one["name"] in ending else FOREVER
        if "healthCheck" in one:
            one["healthCheck"].update(command=["CMD", "true"], interval=5)
        for secret in one.get("secrets", []):
            secret["valueFrom"] = fetched(secret["valueFrom"], make)
        if "repositoryCredentials" in one:
            parameter = one["repositoryCredentials"]["credentialsParameter"]
            one["repositoryCredentials"] = {"credentialsParameter": fetched(parameter, make)}
        for file in one.get("environmentFiles", []):
            make.file(file["value"])
        router = one.get("firelensConfiguration", {}).get("options", {})
        if router.get("config-file-type") == "s3":
            make.file(router["config-file-value"])
        log = one.get("logConfiguration", {})
        if log.get("logDriver") == "awslogs":
            log["options"]["awslogs-region"] = make.logs.meta.region_name
            make.group(log["options"]["awslogs-group"])
        for secret in log.get("secretOptions", []):
            secret["valueFrom"] = fetched(secret["valueFrom"], make)
        wanted = one.get("linuxParameters", {}).get("capabilities", {})
        if "add" in wanted:
            wanted["add"] = [each for each in wanted["add"] if each in machine_has()]
        for limit in one.get("ulimits", []):
            if "SYS_RESOURCE" not in machine_has() and limit["name"] == "nofile":
                most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                limit.update({end: min(limit[end], most) for end in ("softLimit", "hardLimit")})
        for device in one.get("linuxParameters", {}).get("devices", []):
            device["hostPath"] = "/dev/null"
        for mapping in one.get("portMappings", []):
            if task.get("networkMode") == "host":
                mapping["containerPort"] = next(port)
                mapping.pop("hostPort", None)
            elif task.get("networkMode") != "awsvpc" and "hostPort" in mapping:
                mapping["hostPort"] = 0
    return task


def start(ecs, task, make):
    """Starts a task; gives its ARN, or why it finds no place."""
    network = {"awsvpcConfiguration": {"subnets": [make.subnet]}}
    more = {"networkConfiguration": network} if task.get("networkMode") == "awsvpc" else {}
    if "FARGATE" in task.get("requiresCompatibilities", []):
        more["launchType"] = "FARGATE"
    try:
        ecs.register_task_definition(**task)
        answer = ecs.run_task(taskDefinition=task["family"], **more)
    except botocore.exceptions.ClientError as error:
        return None, f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    for failure in answer["failures"]:
        return None, f"{failure['reason']}: {failure.get('detail')}"
    return answer["tasks"][0]["taskArn"], None


def told(task):
    """Why a task does not run."""
    ends = [
        f"{one['name']}: {one.get('reason') or one['exitCode']}"
        for one in task["containers"] if "reason" in one or "exitCode" in one
    ]
    return "; ".join([task["lastStatus"], task.get("stoppedReason", ""), *ends])


def run(ecs, documents, make):
    """Runs all at once; gives those that run, those that found no place, and those that ended."""
    port = iter(range(21000, 22000))
    running, unplaced, ended, waiting = [], {}, {}, {}
    for name, document in documents.items():
        arn, why = start(ecs, here(name, request(document), make, port), make)
        if arn:
            waiting[arn] = name
        else:
            unplaced[name] = why
    end = time.monotonic() + PATIENCE_SECONDS
    while waiting and time.monotonic() < end:
        asked = list(waiting)[:100]
        tasks = ecs.describe_tasks(tasks=asked)["tasks"]
        for task in tasks:
            if task["lastStatus"] == "RUNNING":
                running.append(waiting.pop(task["taskArn"]))
            elif task["lastStatus"] == "STOPPED" or time.monotonic() > end - 1:
                ended[waiting.pop(task["taskArn"])] = told(task)
        if waiting:
            time.sleep(0.1)
    return {"running": sorted(running), "unplaced": unplaced, "ended": ended}


def main():
    folder, scratch, what = sys.argv[1:]
    config = botocore.config.Config(retries={"max_attempts": 1})
    ecs = boto3.client("ecs", config=config)
    files = sorted(pathlib.Path(folder).glob("*.json"))
    documents = {file.stem: json.loads(file.read_text()) for file in files}
    described, refused, lost = register(ecs, documents)
    result = {"count": len(documents), "refused": refused, "lost": lost}
    if what == "run":
        good = {name: documents[name] for name in described}
        result.update(run(ecs, good, Account(config, scratch)))
    print(json.dumps(result))


main()
