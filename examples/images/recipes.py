"""What goes into each example image."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Callable, Optional

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# For the image with boto3: the first release that reads AWS_ENDPOINT_URL is 1.28.
BOTO3 = "boto3==1.40.0"


@dataclass
class Layer:
    name: str
    packages: list
    # Patterns of files in the packages; their libraries come along by themselves.
    files: list
    # Adds what no package has: called with the layer's folder and the packages' root.
    finish: Optional[Callable] = None
    # Owners other than root, by path.
    owners: dict = field(default_factory=dict)


@dataclass
class Image:
    name: str
    layers: list
    config: dict

    @property
    def reference(self):
        return self.name + ":latest"


def write(layer, name, text, mode=0o644):
    path = layer / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def folder(layer, name, mode=0o755):
    path = layer / name
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def link(layer, name, target):
    path = layer / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def finish_base(layer, root):
    """A small system around busybox: users, folders, a link for every applet."""
    for name in ("bin", "sbin", "lib", "lib64"):
        folder(layer, "usr/" + name)
        link(layer, name, "usr/" + name)
    busybox = layer / "usr/bin/busybox"
    applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            link(layer, "usr/bin/" + applet, "busybox")
    write(layer, "etc/passwd", (
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "www-data:x:33:33:www-data:/var/www:/bin/false\n"
        "redis:x:999:999:redis:/data:/bin/false\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"))
    write(layer, "etc/group", (
        "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nredis:x:999:\nnogroup:x:65534:\n"))
    write(layer, "etc/nsswitch.conf", "hosts: files dns\n")
    for name in ("dev", "proc", "sys", "run", "home", "var/log"):
        folder(layer, name)
    link(layer, "var/run", "/run")
    folder(layer, "root", 0o700)
    folder(layer, "tmp", 0o1777)


def finish_nginx(layer, root):
    write(layer, "etc/nginx/nginx.conf", """\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;

events {
    worker_connections 1024;
}

http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
""")
    write(layer, "etc/nginx/conf.d/default.conf", """\
server {
    listen 80;
    server_name localhost;
    root /usr/share/nginx/html;
    index index.html;
}
""")
    write(layer, "usr/share/nginx/html/index.html", """\
<!DOCTYPE html>
<html>
<head><title>Hello from Longshore</title></head>
<body>
<h1>Hello from Longshore</h1>
<p>This page comes from nginx in a container that the ECS API started.</p>
</body>
</html>
""")
    folder(layer, "var/lib/nginx")
    # A container's log is what it prints.
    link(layer, "var/log/nginx/access.log", "/dev/stdout")
    link(layer, "var/log/nginx/error.log", "/dev/stderr")


def finish_redis(layer, root):
    folder(layer, "data")
    # Debian's other names of the same program.
    for name in ("redis-server", "redis-cli"):
        path = layer / "usr/bin" / name
        if path.is_symlink():
            target = root / "usr/bin" / path.readlink()
            path.unlink()
            shutil.copy2(target, path)


def finish_python(layer, root):
    link(layer, "usr/bin/python3", "python3.11")
    link(layer, "usr/bin/python", "python3.11")
    target = layer / "usr/lib/python3/dist-packages"
    target.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile",
           "--disable-pip-version-check", "--root-user-action", "ignore", "--target", str(target), BOTO3]
    if subprocess.run(pip).returncode != 0:
        raise SystemExit("build.sh: pip cannot install %s; is python3-pip installed?" % BOTO3)
    # Descriptions of AWS's other services: many megabytes that no example needs.
    services = target / "botocore/data"
    for path in services.iterdir():
        if path.is_dir() and path.name not in ("sts", "ecs", "s3", "iam", "logs", "secretsmanager"):
            shutil.rmtree(path)
    for path in list(layer.rglob("__pycache__")):
        shutil.rmtree(path)


BASE = Layer("base", ["busybox-static"], ["bin/busybox"], finish_base)
NGINX = Layer("nginx", ["nginx", "nginx-common"], ["usr/sbin/nginx", "etc/nginx/mime.types"], finish_nginx)
REDIS = Layer(
    "redis", ["redis-server", "redis-tools"], ["usr/bin/redis-server", "usr/bin/redis-cli"],
    finish_redis, {"data": (999, 999)})
PYTHON = Layer(
    "python", ["python3.11", "python3.11-minimal", "libpython3.11-stdlib", "libpython3.11-minimal", "ca-certificates"],
    ["usr/bin/python3.11", "usr/lib/python3.11"], finish_python)

IMAGES = {image.name: image for image in [
    Image("busybox", [BASE], {"Cmd": ["sh"], "Env": [PATH]}),
    Image("nginx", [BASE, NGINX], {
        "Cmd": ["nginx", "-g", "daemon off;"],
        "Env": [PATH],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
    }),
    Image("redis", [BASE, REDIS], {
        "Cmd": ["redis-server", "--protected-mode", "no", "--dir", "/data"],
        "Env": [PATH],
        "ExposedPorts": {"6379/tcp": {}},
        "User": "redis",
        "Volumes": {"/data": {}},
        "WorkingDir": "/data",
    }),
    Image("python", [BASE, PYTHON], {
        "Cmd": ["python3"],
        "Env": [PATH, "PYTHONUNBUFFERED=1"],
    }),
]}
DEFAULT = ["busybox", "nginx", "redis"]
