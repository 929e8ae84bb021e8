"""The machine that the scenarios play on: a Longshore server, a Docker daemon and Amazon's agent, all in
network, mount and process namespaces of their own that nothing outside is reached from."""

import json
import os
import pathlib
import shutil
import ssl
import subprocess
import time
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

from tee import Recording, Registry, Tee, serve_ecr, serve_texts

ADDRESS = "10.255.255.1"
PLANE, REGISTRY_NAME = "plane.test", "registry.test"
SERVER_PORT, AGENT_PORT, REGISTRY_PORT = 4566, 8123, 5000
REGION, CLUSTER = "us-east-1", "default"
REGISTRY_USER = "puller:let-me-in"
# A registry of ECR's name, on the usual port of an address of its own.
ECR_ADDRESS, ECR_NAME = "10.255.255.2", f"000000000000.dkr.ecr.{REGION}.amazonaws.com"
ECR_USER = "AWS:let-me-in-too"
# What stands in for S3, and a bucket: its name goes into the host's.
S3_NAME, S3_PORT, BUCKET = "s3.test", 9000, "cargo"
PATIENCE = 90


class Failed(Exception):
    """What a scenario found wrong."""


def run(*command, **options):
    """Runs a command; what it said, or a failure with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **options)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Stage:
    def __init__(self, folder, longshore, agent, images):
        self.folder, self.longshore, self.agent_binary = pathlib.Path(folder), longshore, agent
        self.images, self.recording = pathlib.Path(images), Recording()
        self.server = self.docker_daemon = self.agent = None
        self.sessions, self.agent_starts = {}, 0
        self.endpoint, self.trusted = f"http://{ADDRESS}:{SERVER_PORT}", None
        self.docker_socket = f"unix://{self.folder}/docker.sock"

    # The machine.

    def build(self):
        run("ip", "link", "set", "lo", "up")
        for address in (ADDRESS, ECR_ADDRESS):
            run("ip", "address", "add", f"{address}/32", "dev", "lo")
        # An /etc of our own: names, and whom Docker trusts.
        upper, work = self.folder / "etc", self.folder / "etc-work"
        upper.mkdir()
        work.mkdir()
        options = f"lowerdir=/etc,upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", options, "/etc")
        names = (f"127.0.0.1 localhost\n{ADDRESS} {PLANE} {REGISTRY_NAME} {BUCKET}.{S3_NAME}\n"
                 f"{ECR_ADDRESS} {ECR_NAME}\n")
        pathlib.Path("/etc/hosts").write_text(names)
        self.start_registry()
        serve_texts(ADDRESS, {"/web.env": "SHIP=Argo\nROWERS=50\n"}, S3_PORT)
        self.start_docker()
        self.route_local_endpoints()

    def start_registry(self):
        self.registry_image = self.folder / "registry"
        run("skopeo", "copy", "--insecure-policy", f"oci-archive:{self.images}/busybox.tar",
            f"dir:{self.registry_image}")
        self.serve_registry(REGISTRY_NAME, (ADDRESS, REGISTRY_PORT), REGISTRY_USER)
        self.ecr_registry = self.serve_registry(ECR_NAME, (ECR_ADDRESS, 443), ECR_USER)
        self.ecr = serve_ecr(ADDRESS, ECR_USER)

    def serve_registry(self, name, address, user):
        """A registry that wants a user, with a certificate of an authority that Docker is told to trust."""
        tls = self.folder / f"{name}-tls"
        run(self.longshore, "init", "--server", name, "--dir", str(tls))
        port = "" if address[1] == 443 else f":{address[1]}"
        trusted = pathlib.Path(f"/etc/docker/certs.d/{name}{port}")
        trusted.mkdir(parents=True)
        shutil.copy(tls / "ca.crt", trusted)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.crt", tls / "server.key")
        return Registry(address, self.registry_image, user, context)

    def start_docker(self):
        log = open(self.folder / "dockerd.log", "w")
        self.docker_daemon = subprocess.Popen(
            ["dockerd", "--host", self.docker_socket, "--storage-driver", "overlay2",
             "--exec-opt", "native.cgroupdriver=cgroupfs", "--bip", "172.31.250.1/24",
             "--data-root", f"{self.folder}/docker", "--exec-root", f"{self.folder}/docker-exec",
             "--pidfile", f"{self.folder}/docker.pid"], stdout=log, stderr=log)
        self.until("dockerd answers", lambda: self.docker("version", quiet=True))
        for name in ("busybox", "python"):
            archive = self.folder / f"{name}.docker.tar"
            run("skopeo", "copy", "--insecure-policy", f"oci-archive:{self.images}/{name}.tar",
                f"docker-archive:{archive}:{name}:latest")
            self.docker("load", "--input", str(archive))
            archive.unlink()

    def docker(self, *arguments, quiet=False):
        try:
            return run("docker", "--host", self.docker_socket, *arguments) or "done"
        except Failed:
            if quiet:
                return None
            raise

    @staticmethod
    def route_local_endpoints():
        """What amazon-ecs-init does on an instance, so that containers reach 169.254.170.2."""
        pathlib.Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1")
        wanted = ["-p", "tcp", "-d", "169.254.170.2", "--dport", "80", "-j"]
        run("iptables", "-t", "nat", "-A", "PREROUTING", *wanted, "DNAT",
            "--to-destination", "127.0.0.1:51679")
        run("iptables", "-t", "nat", "-A", "OUTPUT", *wanted, "REDIRECT", "--to-ports", "51679")
        # Where the daemon itself asks for the credentials of the awslogs driver.
        run("ip", "route", "add", "local", "169.254.170.2/32", "dev", "lo")

    # The server.

    def start_server(self):
        self.serve("--listen", f"0.0.0.0:{SERVER_PORT}", "--insecure-http",
                   "--agent-endpoint", f"http://{ADDRESS}:{AGENT_PORT}",
                   "--task-endpoint", self.endpoint, "--ecr-endpoint", self.ecr.url)

    def start_tls_server(self):
        # The port is one for all addresses.
        self.ecr_registry.close()
        tls = self.folder / "plane-tls"
        run(self.longshore, "init", "--server", PLANE, "--dir", str(tls))
        self.sessions, self.trusted = {}, str(tls / "ca.crt")
        # Amazon's agent checks the certificate against host and port, if one is written.
        self.endpoint = f"https://{PLANE}"
        self.serve("--listen", "0.0.0.0:443", "--tls-dir", str(tls), "--agent-endpoint", self.endpoint)

    def serve(self, *flags):
        log = open(self.folder / "server.log", "a")
        self.server = subprocess.Popen(
            [self.longshore, "server", "--data-dir", str(self.folder / "plane"), *flags],
            stdout=log, stderr=log)
        self.until("the server is ready", self.server_ready)

    def server_ready(self):
        self.alive(self.server, "the server")
        try:
            context = ssl.create_default_context(cafile=self.trusted) if self.trusted else None
            url = f"{self.endpoint}/_longshore/readyz"
            return urllib.request.urlopen(url, timeout=5, context=context).status == 200
        except OSError:
            return False

    def stop_server(self, kill=False):
        self.server.kill() if kill else self.server.terminate()
        self.server.wait(PATIENCE)

    def cli(self, *arguments):
        flags = ["--ca", self.trusted] if self.trusted else []
        return run(self.longshore, *arguments, *flags, "--data-dir", str(self.folder / "plane"))

    def client(self, service, **keys):
        """A client with the operator's keys, or with those given."""
        name = (service, keys.get("aws_access_key_id"))
        if name not in self.sessions:
            if not keys:
                # The form of the AWS CLI's own file.
                text = (self.folder / "plane/credentials").read_text()
                pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
                pairs = {key.strip(): value.strip() for key, value in pairs.items()}
                keys = {name: pairs[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
            config = botocore.config.Config(retries={"max_attempts": 2})
            self.sessions[name] = boto3.client(
                service, region_name=REGION, endpoint_url=self.endpoint, config=config,
                verify=self.trusted, **keys)
        return self.sessions[name]

    def ecs(self, operation, **input):
        """A call of the operator, and its place in the recording."""
        name = "".join(word.capitalize() for word in operation.split("_"))
        # Its place is before what it brings about.
        line = self.recording.add(dir="operator", via="POST", name=name, body=input)
        answer = getattr(self.client("ecs"), operation)(**input)
        answer.pop("ResponseMetadata")
        line["answer"] = json.loads(json.dumps(answer, default=lambda time: time.timestamp()))
        return answer

    # The agent.

    def open_tee(self):
        self.tee = Tee((ADDRESS, AGENT_PORT), (ADDRESS, SERVER_PORT), self.recording)

    def node_keys(self, name):
        made = json.loads(self.cli("token", "create", "--as-keys", name, "--output", "json"))
        return {"AWS_ACCESS_KEY_ID": made["accessKeyId"],
                "AWS_SECRET_ACCESS_KEY": made["secretAccessKey"]}

    def start_agent(self, keys, data="agent", **settings):
        folder = self.folder / data
        folder.mkdir(exist_ok=True)
        plane = f"http://{ADDRESS}:{SERVER_PORT}"
        environment = {
            "PATH": os.environ["PATH"],
            "ECS_BACKEND_HOST": f"http://{ADDRESS}:{AGENT_PORT}",
            "ECS_CLUSTER": CLUSTER, "AWS_DEFAULT_REGION": REGION, "ECS_EXTERNAL": "true",
            "AWS_EC2_METADATA_DISABLED": "true", **keys,
            "DOCKER_HOST": self.docker_socket,
            "ECS_DATADIR": str(folder), "ECS_HOST_DATA_DIR": str(folder),
            "ECS_AUDIT_LOGFILE": str(folder / "audit.log"),
            "ECS_AVAILABLE_LOGGING_DRIVERS": '["json-file","awslogs","none"]',
            "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
            "ECS_ENABLE_TASK_IAM_ROLE": "true", "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": "true",
            "ECS_ENABLE_TASK_ENI": "false", "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
            "ECS_INSTANCE_ATTRIBUTES": '{"rack":"7"}',
            "ECS_CONTAINER_INSTANCE_TAGS": '{"team":"ships"}',
            "ECS_CONTAINER_STOP_TIMEOUT": "5s", "ECS_DISABLE_IMAGE_CLEANUP": "true",
            "ECS_EBSTA_SUPPORTED": "false",
            # What the agent asks other services of AWS for, it asks the plane for.
            "AWS_ENDPOINT_URL_SSM": plane, "AWS_ENDPOINT_URL_SECRETS_MANAGER": plane,
            "AWS_ENDPOINT_URL_S3": f"http://{S3_NAME}:{S3_PORT}",
            **settings,
        }
        environment = {name: value for name, value in environment.items() if value is not None}
        self.agent_starts += 1
        log = open(self.folder / f"agent-{self.agent_starts}.log", "w")
        self.agent = subprocess.Popen(
            [self.agent_binary], env=environment, stdout=log, stderr=log, cwd=folder)

    def stop_agent(self, kill=False):
        self.agent.kill() if kill else self.agent.terminate()
        self.agent.wait(PATIENCE)

    def serve_metadata(self):
        """What the agent asks EC2's instance metadata for."""
        mac = "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01"
        document = {"instanceId": "i-0123456789abcdef0", "instanceType": "m5.large",
                    "availabilityZone": "us-east-1b", "imageId": "ami-0123456789abcdef0",
                    "architecture": "x86_64", "accountId": "000000000000", "region": REGION}
        texts = {"/latest/meta-data/mac": "02:00:00:00:00:01", f"{mac}/vpc-id": "vpc-0123",
                 f"{mac}/subnet-id": "subnet-0123", "/latest/meta-data/instance-id": document["instanceId"],
                 "/latest/dynamic/instance-identity/document": json.dumps(document),
                 "/latest/dynamic/instance-identity/signature": "bm9uZQ==",
                 "/latest/api/token": "token"}
        self.metadata_url = serve_texts(ADDRESS, texts)

    # Waiting, and what is asked again and again.

    @staticmethod
    def alive(process, name):
        if process.poll() is not None:
            raise Failed(f"{name} ended with status {process.returncode}")

    def until(self, what, holds, patience=PATIENCE):
        """Waits until `holds` gives something true, and gives that."""
        end = time.monotonic() + patience
        while not (found := holds()):
            if time.monotonic() > end:
                raise Failed(f"not within {patience} s: {what}")
            time.sleep(0.2)
        return found

    def instance(self, connected=True):
        """The one instance that is connected, or not."""
        arns = self.ecs("list_container_instances", cluster=CLUSTER)["containerInstanceArns"]
        if not arns:
            return None
        include = ["TAGS", "CONTAINER_INSTANCE_HEALTH"]
        told = self.ecs("describe_container_instances", cluster=CLUSTER, containerInstances=arns,
                        include=include)
        found = [one for one in told["containerInstances"] if one["agentConnected"] == connected]
        return found[0] if found else None

    def register(self, family, containers, **more):
        defaults = {"image": "busybox", "memory": 32, "essential": True, "name": "main"}
        containers = [defaults | container for container in containers]
        self.ecs("register_task_definition", family=family, containerDefinitions=containers, **more)

    def run(self, family, **more):
        """Runs one task; its ARN."""
        ran = self.ecs("run_task", cluster=CLUSTER, taskDefinition=family, **more)
        if ran["failures"]:
            raise Failed(f"RunTask {family}: {ran['failures']}")
        return ran["tasks"][0]["taskArn"]

    def task(self, arn):
        return self.ecs("describe_tasks", cluster=CLUSTER, tasks=[arn], include=["TAGS"])["tasks"][0]

    def await_status(self, arn, *statuses):
        def there():
            task = self.task(arn)
            return task if task["lastStatus"] in statuses else None
        try:
            return self.until(f"task {'/'.join(statuses)}", there)
        except Failed as failure:
            task = self.task(arn)
            told = [(c["name"], c.get("lastStatus"), c.get("reason")) for c in task["containers"]]
            raise Failed(f"{failure}; it is {task['lastStatus']}, {told}") from None

    def stop(self, arn):
        self.ecs("stop_task", cluster=CLUSTER, task=arn, reason="enough")
        return self.await_status(arn, "STOPPED")

    def done(self, family, **more):
        """Runs a task to its end: the task as described, and the output of its first container."""
        task = self.await_status(self.run(family, **more), "STOPPED")
        container = task["containers"][0]
        output = ""
        if "runtimeId" in container:
            output = run("docker", "--host", self.docker_socket, "logs", container["runtimeId"])
        if container.get("exitCode") != 0:
            raise Failed(f"{family}: {container.get('exitCode')}, {container.get('reason')}, "
                         f"{task.get('stoppedReason')}: {output}")
        return task, output

    def close(self):
        for process in (self.agent, self.server):
            if process and process.poll() is None:
                process.terminate()
        if self.docker_daemon and self.docker_daemon.poll() is None:
            for one in (self.docker("ps", "-aq", quiet=True) or "").split():
                if one != "done":
                    self.docker("rm", "-f", one, quiet=True)
            self.docker_daemon.terminate()
            self.docker_daemon.wait(PATIENCE)
