"""What is expected of Amazon's agent under Longshore, in the order in which it is played. Each scenario is a
function over the stage; its first line of documentation is its name in the table."""

import json
import urllib.request

import botocore.exceptions

from stage import (ADDRESS, AGENT_PORT, BUCKET, CLUSTER, ECR_NAME, PLANE, REGION, REGISTRY_NAME, REGISTRY_PORT,
                   REGISTRY_USER, SERVER_PORT, Failed, run)

SCENARIOS = []
ROLE = "arn:aws:iam::000000000000:role/shipper"
EXECUTION_ROLE = "arn:aws:iam::000000000000:role/executor"


TRUST = json.dumps({"Version": "2012-10-17", "Statement": {
    "Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}})


def make_roles(stage):
    """The roles that tasks name, with what they are used for."""
    for role, actions in ((ROLE, ["ecs:UpdateTaskProtection", "ecs:GetTaskProtection"]),
                          (EXECUTION_ROLE, ["ecr:*", "logs:*", "secretsmanager:GetSecretValue",
                                            "ssm:GetParameters"])):
        iam, name = stage.client("iam"), role.rsplit("/", 1)[1]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(policy))


def scenario(function):
    SCENARIOS.append(function)
    return function


def expect(holds, what):
    if not holds:
        raise Failed(what)


def same(found, wanted, what):
    expect(found == wanted, f"{what}: {found!r}, not {wanted!r}")


def shell(line, **more):
    return {"command": ["sh", "-c", line], **more}


def python(text, **more):
    return {"image": "python", "entryPoint": ["python3"], "command": ["-c", text], "memory": 128, **more}


def attribute(instance, name):
    found = [one for one in instance["attributes"] if one["name"] == name]
    return found[0].get("value", "") if found else None


@scenario
def joins(stage):
    """registers and connects"""
    make_roles(stage)
    keys = stage.keys = stage.node_keys("real-1")
    stage.start_agent(keys)

    def joined():
        stage.alive(stage.agent, "the agent")
        return stage.instance()

    instance = stage.arn = stage.until("the instance is connected", joined)["containerInstanceArn"]
    told = stage.until("its versions are shown", lambda: (one := stage.instance())
                       and one["versionInfo"].get("agentVersion") and one)
    same(told["containerInstanceArn"], instance, "the instance")
    same(told["status"], "ACTIVE", "status")
    expect(told["versionInfo"]["dockerVersion"].startswith("DockerVersion: "), "no Docker version")
    same(attribute(told, "rack"), "7", "the attribute of ECS_INSTANCE_ATTRIBUTES")
    same(attribute(told, "ecs.os-type"), "linux", "ecs.os-type")
    same(attribute(told, "ecs.capability.external"), "", "ecs.capability.external")
    same(told["tags"], [{"key": "team", "value": "ships"}], "the tags of ECS_CONTAINER_INSTANCE_TAGS")
    ports = [one for one in told["registeredResources"] if one["name"] == "PORTS"][0]
    expect("51678" in ports["stringSetValue"], "the agent's own ports are not reserved")


@scenario
def runs_to_the_end(stage):
    """runs a task to its end and reports it"""
    stage.register("once", [shell("echo hello; exit 0")])
    task, output = stage.done("once")
    same(output, "hello\n", "the output")
    same(task["stopCode"], "EssentialContainerExited", "stopCode")
    same(task["stoppedReason"], "Essential container in task exited", "stoppedReason")
    for member in ("createdAt", "stoppingAt", "stoppedAt", "executionStoppedAt"):
        expect(member in task, f"the task has no {member}")


@scenario
def tells_of_failures(stage):
    """reports exit codes, missing images and programs that cannot start"""
    stage.register("seven", [shell("exit 7")])
    task = stage.await_status(stage.run("seven"), "STOPPED")
    same(task["containers"][0]["exitCode"], 7, "exitCode")
    stage.register("nowhere", [{"image": f"{ADDRESS}:1/nothing:1"}])
    task = stage.await_status(stage.run("nowhere"), "STOPPED")
    same(task["stopCode"], "TaskFailedToStart", "stopCode")
    expect("CannotPull" in task["containers"][0]["reason"], task["containers"][0]["reason"])
    stage.register("no-program", [{"command": ["/nothing-here"]}])
    task = stage.await_status(stage.run("no-program"), "STOPPED")
    same(task["stopCode"], "TaskFailedToStart", "stopCode")
    expect("CannotStartContainerError" in task["containers"][0]["reason"], "no reason")


@scenario
def stops_when_told(stage):
    """stops a running task: SIGTERM, then its exit code and reason"""
    stage.register("until-told", [shell("trap 'exit 3' TERM; while :; do sleep 0.1; done")])
    arn = stage.run("until-told")
    running = stage.await_status(arn, "RUNNING")
    expect("startedAt" in running, "no startedAt")
    task = stage.stop(arn)
    same(task["stopCode"], "UserInitiated", "stopCode")
    same(task["stoppedReason"], "enough", "stoppedReason")
    same(task["containers"][0]["exitCode"], 3, "exitCode")


@scenario
def publishes_ports(stage):
    """bridge: fixed and chosen ports are published and told"""
    serve = "mkdir /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w"
    ports = [{"containerPort": 80, "hostPort": 18080}, {"containerPort": 80, "hostPort": 0}]
    for number, port in enumerate(ports):
        stage.register(f"web-{number}", [shell(serve, portMappings=[port])], networkMode="bridge")
        arn = stage.run(f"web-{number}")
        binding = stage.await_status(arn, "RUNNING")["containers"][0]["networkBindings"][0]
        host_port = binding["hostPort"]
        same(binding["containerPort"], 80, "containerPort")
        expect(port["hostPort"] in (0, host_port), f"the port is {host_port}")
        page = stage.until("the page", lambda: fetch(f"http://{ADDRESS}:{host_port}/"))
        same(page, "page\n", "the page")
        if number == 0:
            refused = stage.ecs("run_task", cluster=CLUSTER, taskDefinition="web-0")["failures"]
            same([one["reason"] for one in refused], ["RESOURCE:PORTS"], "a taken port")
        stage.stop(arn)


def fetch(url):
    try:
        return urllib.request.urlopen(url, timeout=5).read().decode()
    except OSError:
        return None


@scenario
def uses_the_hosts_network(stage):
    """host and none networks; awsvpc is not placed"""
    stage.register("on-host", [shell(f"ip -o address | grep -c {ADDRESS}")], networkMode="host")
    same(stage.done("on-host")[1], "1\n", "addresses of the host that the task sees")
    stage.register("on-none", [shell("ip -o link | grep -vc lo:; true")], networkMode="none")
    same(stage.done("on-none")[1], "0\n", "links of a task without network")
    stage.register("of-its-own", [shell("true")], networkMode="awsvpc")
    subnet = stage.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet]}}
    refused = stage.ecs("run_task", cluster=CLUSTER, taskDefinition="of-its-own",
                        networkConfiguration=network)
    same([one["reason"] for one in refused["failures"]], ["ATTRIBUTE"], "awsvpc")


@scenario
def keeps_the_order(stage):
    """dependsOn, essential and not, health checks"""
    check = {"command": ["CMD-SHELL", "test -e /tmp/well"], "interval": 5, "timeout": 2, "retries": 2}
    stage.register("ordered", [
        shell("trap 'exit 0' TERM; touch /tmp/well; while :; do sleep 0.1; done", name="main",
              healthCheck=check, dependsOn=[{"containerName": "init", "condition": "SUCCESS"}]),
        shell("true", name="init", essential=False),
        shell("trap 'exit 0' TERM; while :; do sleep 0.1; done", name="late", essential=False,
              dependsOn=[{"containerName": "main", "condition": "HEALTHY"}]),
    ])
    arn = stage.run("ordered")
    stage.await_status(arn, "RUNNING")
    healthy = stage.until("the task is healthy", lambda: (one := stage.task(arn))
                          and one["healthStatus"] == "HEALTHY" and one)
    by_name = {one["name"]: one for one in healthy["containers"]}
    same(by_name["main"]["healthStatus"], "HEALTHY", "the container's health")
    same(by_name["init"]["exitCode"], 0, "exitCode of the first")
    stage.stop(arn)


@scenario
def overrides_and_environment(stage):
    """overrides, environment, limits, volumes"""
    stage.register("limited", [
        shell("true", cpu=128, memory=48, environment=[{"name": "A", "value": "1"}],
              mountPoints=[{"sourceVolume": "host", "containerPath": "/h"},
                           {"sourceVolume": "own", "containerPath": "/o"}],
              ulimits=[{"name": "nofile", "softLimit": 77, "hardLimit": 99}],
              linuxParameters={"initProcessEnabled": True, "capabilities": {"drop": ["NET_RAW"]}},
              dockerLabels={"app": "x"}, user="1000", workingDirectory="/tmp",
              readonlyRootFilesystem=True)],
        cpu="256", memory="64",
        volumes=[{"name": "host", "host": {"sourcePath": str(stage.folder / "shared")}},
                 {"name": "own", "dockerVolumeConfiguration": {"scope": "task", "driver": "local"}}])
    (stage.folder / "shared").mkdir()
    (stage.folder / "shared/file").write_text("of the host\n")
    line = "cat /h/file; ulimit -n; id -u; pwd; echo $A $B; touch /x 2>/dev/null || echo read-only"
    overrides = {"containerOverrides": [
        {"name": "main", "command": ["sh", "-c", line], "environment": [{"name": "B", "value": "2"}]}]}
    _, output = stage.done("limited", overrides=overrides)
    same(output.split("\n"), ["of the host", "77", "1000", "/tmp", "1 2", "read-only", ""], "output")


@scenario
def fetches_secrets(stage):
    """secrets of Parameter Store and Secrets Manager"""
    stage.client("ssm").put_parameter(Name="/ships/name", Value="Argo", Type="SecureString")
    made = stage.client("secretsmanager").create_secret(
        Name="ships/crew", SecretString=json.dumps({"captain": "Jason", "rowers": 50}))
    stage.register("secretive", [shell("echo $SHIP $CAPTAIN", secrets=[
        {"name": "SHIP", "valueFrom": f"arn:aws:ssm:{REGION}:000000000000:parameter/ships/name"},
        {"name": "CAPTAIN", "valueFrom": made["ARN"] + ":captain::"}])],
        executionRoleArn=EXECUTION_ROLE)
    same(stage.done("secretive")[1], "Argo Jason\n", "the secrets")


@scenario
def fetches_environment_files(stage):
    """environmentFiles, from what stands in for S3"""
    files = [{"type": "s3", "value": f"arn:aws:s3:::{BUCKET}/web.env"}]
    stage.register("filed", [shell("echo $SHIP $ROWERS", environmentFiles=files)],
                   executionRoleArn=EXECUTION_ROLE)
    same(stage.done("filed")[1], "Argo 50\n", "the variables")


METADATA = """
import json, os, urllib.request as r
get = lambda path: json.load(r.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + path))
task = get("/taskWithTags")
names = ("Cluster", "TaskARN", "Family", "Revision", "LaunchType", "TaskTags", "ContainerInstanceTags",
         "AvailabilityZone", "Limits", "Errors")
print(json.dumps({name: task.get(name) for name in names}))
"""


@scenario
def serves_metadata(stage):
    """task metadata, with the tags of task and instance"""
    stage.register("curious", [python(METADATA)], cpu="256", memory="256")
    task, output = stage.done("curious", tags=[{"key": "trip", "value": "1"}])
    told = json.loads(output)
    same(told["TaskARN"], task["taskArn"], "TaskARN")
    same((told["Family"], told["Revision"]), ("curious", "1"), "Family, Revision")
    same(told["Limits"], {"CPU": 0.25, "Memory": 256}, "Limits")
    same(told["TaskTags"], {"trip": "1"}, "TaskTags")
    same(told["ContainerInstanceTags"], {"team": "ships"}, "ContainerInstanceTags")
    expect(told["Cluster"] in (CLUSTER, f"arn:aws:ecs:{REGION}:000000000000:cluster/{CLUSTER}"), "Cluster")


CALLS = """
import boto3, os, urllib.request as r, json
print(boto3.client("sts").get_caller_identity()["Arn"])
uri = os.environ["ECS_AGENT_URI"] + "/task-protection/v1/state"
body = json.dumps({"ProtectionEnabled": True, "ExpiresInMinutes": 5}).encode()
answer = r.urlopen(r.Request(uri, body, {"Content-Type": "application/json"}, method="PUT"))
print(json.load(answer)["protection"]["ProtectionEnabled"])
"""


@scenario
def gives_credentials(stage):
    """role credentials: a container calls the API as its task's role, and protects its task"""
    stage.register("acting", [python(CALLS + "import time\ntime.sleep(3)", environment=[])],
                   taskRoleArn=ROLE, networkMode="bridge")
    stage.ecs("create_service", cluster=CLUSTER, serviceName="acting", taskDefinition="acting",
              desiredCount=1)
    try:
        def protected():
            arns = stage.ecs("list_tasks", cluster=CLUSTER, serviceName="acting")["taskArns"]
            if not arns:
                return None
            told = stage.ecs("get_task_protection", cluster=CLUSTER, tasks=arns)["protectedTasks"]
            return [one for one in told if one["protectionEnabled"]]
        stage.until("the task has protected itself", protected)
        containers = stage.docker("ps", "-aq", "--filter", "name=ecs-acting").split()
        output = stage.docker("logs", containers[0])
        expect(":assumed-role/shipper/" in output, output)
    finally:
        stage.ecs("delete_service", cluster=CLUSTER, service="acting", force=True)
    stage.until("its tasks are gone", lambda: not stage.ecs(
        "list_tasks", cluster=CLUSTER, family="acting")["taskArns"])
    stage.register("acting-on-host", [python(CALLS.split("uri =")[0])], taskRoleArn=ROLE,
                   networkMode="host")
    expect(":assumed-role/shipper/" in stage.done("acting-on-host")[1], "no role on the host's network")


@scenario
def ships_logs(stage):
    """the awslogs driver, with the execution role, into Longshore's own log store"""
    logs = stage.client("logs")
    logs.create_log_group(logGroupName="ships")
    options = {"awslogs-group": "ships", "awslogs-region": REGION, "awslogs-stream-prefix": "of"}
    stage.register("talking", [shell("echo one; echo two", logConfiguration={
        "logDriver": "awslogs", "options": options})], executionRoleArn=EXECUTION_ROLE)
    arn = stage.run("talking")
    task = stage.await_status(arn, "STOPPED")
    same(task["containers"][0].get("exitCode"), 0, task["containers"][0].get("reason"))
    stream = f"of/main/{arn.rsplit('/', 1)[1]}"

    def told():
        events = logs.get_log_events(logGroupName="ships", logStreamName=stream)["events"]
        return [one["message"] for one in events]
    same(stage.until("its lines", told), ["one", "two"], "the lines")


@scenario
def pulls_with_credentials(stage):
    """repositoryCredentials, from a registry with a certificate of a private authority"""
    user, password = REGISTRY_USER.split(":")
    secret = stage.client("secretsmanager").create_secret(
        Name="registry", SecretString=json.dumps({"username": user, "password": password}))["ARN"]
    image = f"{REGISTRY_NAME}:{REGISTRY_PORT}/private/busybox:1"
    stage.register("unknown", [shell("true", image=image)])
    task = stage.await_status(stage.run("unknown"), "STOPPED")
    expect("CannotPull" in task["containers"][0].get("reason", ""), "pulled without credentials")
    stage.register("private", [shell("echo pulled", image=image, repositoryCredentials={
        "credentialsParameter": secret})], executionRoleArn=EXECUTION_ROLE)
    task, output = stage.done("private")
    same(output, "pulled\n", "the output")
    expect(task["containers"][0]["imageDigest"].startswith("sha256:"), "no imageDigest")
    for member in ("pullStartedAt", "pullStoppedAt"):
        expect(member in task, f"the task has no {member}")


@scenario
def pulls_from_ecr(stage):
    """an image of ECR, by the authorisation that the execution role gets"""
    stage.register("of-ecr", [shell("echo pulled", image=f"{ECR_NAME}/private/busybox:1")],
                   executionRoleArn=EXECUTION_ROLE)
    same(stage.done("of-ecr")[1], "pulled\n", "the output")
    headers = {name.lower(): value for name, value in stage.ecr.asked[0].items()}
    expect(headers["x-amz-target"].endswith(".GetAuthorizationToken"), headers["x-amz-target"])
    expect("Credential=ASIA" in headers["authorization"], "it was not asked by a role")


@scenario
def keeps_a_service(stage):
    """a service keeps its count: a task that ends is replaced"""
    stage.register("kept", [shell("trap 'exit 0' TERM; while :; do sleep 0.1; done", stopTimeout=2)])
    stage.ecs("create_service", cluster=CLUSTER, serviceName="kept", taskDefinition="kept",
              desiredCount=2, availabilityZoneRebalancing="DISABLED", propagateTags="SERVICE", tags=[{"key": "of", "value": "service"}])

    def running():
        return stage.ecs("describe_services", cluster=CLUSTER, services=["kept"])["services"][0][
            "runningCount"] == 2
    stage.until("two tasks run", running)
    arns = stage.ecs("list_tasks", cluster=CLUSTER, serviceName="kept")["taskArns"]
    task = stage.task(arns[0])
    same(task["tags"], [{"key": "of", "value": "service"}], "propagated tags")
    stage.docker("kill", task["containers"][0]["runtimeId"])
    stage.await_status(arns[0], "STOPPED")
    stage.until("there are two again", lambda: running() and arns[0] not in stage.ecs(
        "list_tasks", cluster=CLUSTER, serviceName="kept")["taskArns"])


@scenario
def tells_telemetry(stage):
    """telemetry: the instance's health"""
    def well():
        told = stage.instance()["healthStatus"]
        return told["overallStatus"] == "OK" and told
    details = stage.until("the instance is well", well)["details"]
    same([one["type"] for one in details], ["CONTAINER_RUNTIME"], "the checks")
    stage.until("metrics come", lambda: stage.recording.count(name="PublishMetricsRequest"))


@scenario
def refuses_what_it_must(stage):
    """UpdateContainerAgent and execute-command are refused with reasons"""
    try:
        stage.ecs("update_container_agent", cluster=CLUSTER, containerInstance=stage.arn)
        raise Failed("UpdateContainerAgent was taken")
    except botocore.exceptions.ClientError as error:
        expect(error.response["Error"]["Code"] in ("NoUpdateAvailableException", "UpdateInProgressException",
                                                   "MissingVersionException"), str(error))


@scenario
def outlives_the_server(stage):
    """the server restarts, and dies: tasks run on, what ended meanwhile is reported"""
    stage.register("waiting", [shell("while [ ! -e /s/go ]; do sleep 0.1; done", mountPoints=[
        {"sourceVolume": "s", "containerPath": "/s"}])],
        volumes=[{"name": "s", "host": {"sourcePath": str(stage.folder / "signal")}}])
    (stage.folder / "signal").mkdir()
    arn = stage.run("waiting")
    stage.await_status(arn, "RUNNING")
    connects = stage.recording.count(via="ACS", name="CONNECT")
    stage.stop_server()
    stage.start_server()
    stage.until("the agent connects again", lambda: stage.recording.count(
        via="ACS", name="CONNECT") > connects)
    stage.until("the agent is back", stage.instance)
    same(stage.task(arn)["lastStatus"], "RUNNING", "the task after a restart")
    stage.stop_server(kill=True)
    (stage.folder / "signal/go").touch()
    identity = stage.docker("ps", "-aq", "--filter", "name=ecs-waiting").split()[0]
    stage.until("it has ended", lambda: "exited" in stage.docker(
        "inspect", "--format", "{{.State.Status}}", identity))
    stage.start_server()
    task = stage.await_status(arn, "STOPPED")
    same(task["containers"][0]["exitCode"], 0, "exitCode")
    stage.until("the agent is back", stage.instance)


@scenario
def outlives_the_agent(stage):
    """the agent restarts: the same instance, tasks run on, new ones come"""
    before = {one for one in stage.ecs("list_tasks", cluster=CLUSTER)["taskArns"]}
    expect(before, "no task runs")
    stage.stop_agent(kill=True)
    stage.until("it is shown as away", lambda: stage.instance(connected=False))
    stage.start_agent(stage.keys)
    instance = stage.until("it is back", stage.instance)
    same(instance["containerInstanceArn"], stage.arn, "the instance")
    same({one for one in stage.ecs("list_tasks", cluster=CLUSTER)["taskArns"]}, before, "the tasks")
    stage.done("once")
    for arn in before:
        stage.docker("inspect", stage.task(arn)["containers"][0]["runtimeId"])


@scenario
def drains(stage):
    """draining: nothing new is placed, the service's tasks are stopped"""
    stage.ecs("update_service", cluster=CLUSTER, service="kept",
              deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 100})
    state = {"cluster": CLUSTER, "containerInstances": [stage.arn]}
    stage.ecs("update_container_instances_state", status="DRAINING", **state)
    stage.until("its tasks are gone", lambda: stage.instance()["runningTasksCount"] == 0)
    refused = stage.ecs("run_task", cluster=CLUSTER, taskDefinition="once")["failures"]
    expect(refused, "a task was placed on a draining instance")
    stage.ecs("update_container_instances_state", status="ACTIVE", **state)
    stage.until("the service is whole again", lambda: stage.instance()["runningTasksCount"] == 2)


@scenario
def deregisters(stage):
    """deregistration: the session ends, and the agent does not come back as the same instance"""
    stage.ecs("delete_service", cluster=CLUSTER, service="kept", force=True)
    stage.until("its tasks are gone", lambda: stage.instance()["runningTasksCount"] == 0)
    closed = stage.recording.count(dir="to-agent", via="ACS", name="CLOSE")
    stage.ecs("deregister_container_instance", cluster=CLUSTER, containerInstance=stage.arn, force=True)
    stage.until("no instance is left", lambda: not stage.ecs(
        "list_container_instances", cluster=CLUSTER)["containerInstanceArns"])
    # It waits an hour before it asks again, and is then refused.
    stage.until("its session ends", lambda: stage.recording.count(
        dir="to-agent", via="ACS", name="CLOSE") > closed)
    stage.stop_agent()
    stage.start_agent(stage.keys)
    status = stage.agent.wait(60)
    same(status, 5, "how an agent ends whose instance was deregistered: for good")


@scenario
def joins_with_instance_metadata(stage):
    """joins with a stand-in of EC2's instance metadata: id, type, zone"""
    stage.serve_metadata()
    keys = stage.node_keys("real-2")
    stage.start_agent(keys, "agent-2", ECS_EXTERNAL=None, AWS_EC2_METADATA_DISABLED=None,
                      AWS_EC2_METADATA_SERVICE_ENDPOINT=stage.metadata_url)
    instance = stage.until("it is connected", stage.instance)
    expect(instance["containerInstanceArn"] != stage.arn, "the instance is the earlier one")
    same(instance["ec2InstanceId"], "i-0123456789abcdef0", "ec2InstanceId")
    same(attribute(instance, "ecs.instance-type"), "m5.large", "ecs.instance-type")
    same(attribute(instance, "ecs.availability-zone"), "us-east-1b", "ecs.availability-zone")
    same(attribute(instance, "ecs.cpu-architecture"), "x86_64", "ecs.cpu-architecture")
    stage.done("once")
    stage.ecs("deregister_container_instance", cluster=CLUSTER,
              containerInstance=instance["containerInstanceArn"], force=True)
    stage.stop_agent()


@scenario
def joins_over_tls(stage):
    """joins over TLS with a certificate of a private authority"""
    stage.stop_server()
    stage.start_tls_server()
    keys = stage.node_keys("real-3")
    stage.start_agent(keys, "agent-3", ECS_BACKEND_HOST=f"https://{PLANE}",
                      SSL_CERT_FILE=str(stage.folder / "plane-tls/ca.crt"))
    stage.until("it is connected", stage.instance)
    stage.done("once")
    stage.stop_agent()
