#!/usr/bin/env python3
"""ECS Exec through the unmodified session-manager-plugin and `aws ecs execute-command`.

Usage: scripts/exec-conformance.py --plugin BINARY --longshore BINARY --image FILE
Needs the AWS CLI on the PATH (`./x exec-conformance` sees to that). Brings up a Longshore of its own
in a temporary folder, behind a proxy whose connections it can cut, and prints what passed.
"""

import argparse
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

PATIENCE = 30
LOOK_BACK = 16 * 1024
DEFINITION = {
    "family": "conformance",
    "taskRoleArn": "arn:aws:iam::000000000000:role/conformance",
    "containerDefinitions": [{
        "name": "main", "image": "busybox", "memory": 64,
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"],
    }],
}


class Proxy:
    """Passes connections on to the server, and cuts them when told."""

    def __init__(self, port):
        self.target, self.pairs = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            near, _ = self.listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.pairs.append((near, far))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    @staticmethod
    def pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Stage:
    def __init__(self, arguments, folder):
        self.longshore, self.folder = arguments.longshore, folder
        self.server = None
        self.start("127.0.0.1:0")
        self.port = int(self.endpoint().rsplit(":", 1)[1])
        self.proxy = Proxy(self.port)
        self.env = {
            **os.environ,
            "PATH": f"{pathlib.Path(arguments.plugin).parent}:{os.environ['PATH']}",
            "AWS_SHARED_CREDENTIALS_FILE": f"{folder}/credentials",
            "AWS_CONFIG_FILE": f"{folder}/none",
            "AWS_PROFILE": "longshore",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.port}",
        }
        self.cli("image", "load", arguments.image)
        self.aws("register-task-definition", "--cli-input-json", json.dumps(DEFINITION))
        run = self.aws("run-task", "--task-definition", "conformance", "--enable-execute-command")
        self.task = run["tasks"][0]["taskArn"]
        self.await_status("RUNNING")

    def start(self, listen):
        self.server = subprocess.Popen(
            [self.longshore, "up", "--listen", listen, "--data-dir", self.folder],
            stdout=subprocess.PIPE, stderr=open(f"{self.folder}.log", "a"), text=True)
        for line in self.server.stdout:
            if "is up" in line:
                break
        threading.Thread(target=self.server.stdout.read, daemon=True).start()

    def endpoint(self):
        return json.loads(pathlib.Path(self.folder, "server.json").read_text())["endpoint"]

    def cli(self, *words):
        return subprocess.run([self.longshore, *words, "--data-dir", self.folder], check=True,
                              capture_output=True, text=True).stdout

    def aws(self, *words):
        answer = subprocess.run(["aws", "ecs", *words, "--output", "json"], env=self.env,
                                check=True, capture_output=True, text=True)
        return json.loads(answer.stdout or "{}")

    def await_status(self, status):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            task = self.aws("describe-tasks", "--tasks", self.task)["tasks"][0]
            if task["lastStatus"] == status:
                return
        raise AssertionError(f"the task does not become {status}")

    def end(self):
        self.server.send_signal(signal.SIGTERM)
        self.server.wait(30)
        subprocess.run([self.longshore, "down", "--data-dir", self.folder], capture_output=True)


class Shell:
    """`aws ecs execute-command` at a terminal of its own."""

    def __init__(self, stage, command="/bin/sh", size=(40, 120)):
        self.seen = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            os.execvpe("aws", ["aws", "ecs", "execute-command", "--task", stage.task,
                               "--interactive", "--command", command], stage.env)

    def resize(self, rows, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, pattern, patience=PATIENCE):
        end = time.monotonic() + patience
        while not (found := re.search(pattern.encode(), self.seen)):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} in {self.seen[-2000:]!r}")
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"ended without {pattern!r}: {self.seen[-2000:]!r}")
            # What is looked for is short; looking through all again and again would take long.
            self.seen = (self.seen + data)[-LOOK_BACK:]
        self.seen = self.seen[found.end():]
        return found

    def wait(self):
        while True:
            try:
                if not os.read(self.terminal, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def a_prompt_and_an_echo(stage):
    shell = Shell(stage)
    shell.expect(r"# ")
    shell.type("echo a$((40 + 2))b\r")
    shell.expect(r"a42b")
    shell.type("exit\r")
    shell.expect(r"Exiting session with sessionId: ecs-execute-command-[0-9a-f]{17}")
    assert shell.wait() == 0


def the_size_of_the_terminal_and_its_change(stage):
    shell = Shell(stage)
    shell.expect(r"# ")
    shell.type("stty size\r")
    shell.expect(r"40 120")
    shell.resize(50, 200)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        shell.type("stty size\r")
        if shell.expect(r"(\d+) (\d+)").groups() == (b"50", b"200"):
            break
    else:
        raise AssertionError("the size does not change")
    shell.type("exit\r")
    shell.expect(r"Exiting session")
    shell.wait()


def ctrl_c_ctrl_z_and_ctrl_d(stage):
    shell = Shell(stage)
    shell.expect(r"# ")
    # The shell's own line editing takes Ctrl-C for a key: what is interrupted says itself that it began.
    shell.type("sh -c 'echo begun; exec sleep 1000'\r")
    shell.expect(r"[\r\n]begun[\r\n]")
    shell.type("\x03")
    # The plugin sends what is typed and what interrupts on two ways, and an interrupt empties the terminal.
    shell.expect(r"# ")
    shell.type("echo still $((6 * 7))\r")
    shell.expect(r"still 42")
    shell.type("\x04")
    shell.expect(r"Exiting session")
    assert shell.wait() == 0


def much_output(stage):
    shell = Shell(stage)
    shell.expect(r"# ")
    shell.type("seq 1 200000; echo the end\r")
    shell.expect(r"199999[\r\n]+200000[\r\n]+the end", 120)
    shell.type("exit\r")
    shell.expect(r"Exiting session")
    shell.wait()


def a_command_that_ends_by_itself(stage):
    shell = Shell(stage, "sh -c 'echo once; exit 3'")
    shell.expect(r"once")
    shell.expect(r"Exiting session")
    assert shell.wait() == 0


def a_command_that_is_not_there(stage):
    shell = Shell(stage, "nonesuch")
    shell.expect(r"executable file not found")
    shell.expect(r"Exiting session")
    shell.wait()


def a_cut_connection_is_resumed(stage):
    shell = Shell(stage)
    shell.expect(r"# ")
    shell.type("x=kept\r")
    shell.expect(r"# ")
    stage.proxy.cut()
    shell.type("echo is $x\r")
    shell.expect(r"is kept")
    shell.type("exit\r")
    shell.expect(r"Exiting session")
    shell.wait()


def a_client_that_is_killed_leaves_nothing_that_hangs(stage):
    shell = Shell(stage)
    shell.expect(r"# ")
    os.kill(shell.pid, signal.SIGKILL)
    shell.wait()
    a_prompt_and_an_echo(stage)


SCENARIOS = [
    a_prompt_and_an_echo,
    the_size_of_the_terminal_and_its_change,
    ctrl_c_ctrl_z_and_ctrl_d,
    much_output,
    a_command_that_ends_by_itself,
    a_command_that_is_not_there,
    a_cut_connection_is_resumed,
    a_client_that_is_killed_leaves_nothing_that_hangs,
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--longshore", required=True)
    parser.add_argument("--image", default="examples/images/out/busybox.tar")
    arguments = parser.parse_args()
    for name in ("plugin", "longshore", "image"):
        setattr(arguments, name, str(pathlib.Path(getattr(arguments, name)).resolve()))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="exec-conformance-") as folder:
        # The AWS CLI looks for the plugin by its name.
        binary = pathlib.Path(folder, "bin", "session-manager-plugin")
        binary.parent.mkdir()
        binary.symlink_to(arguments.plugin)
        arguments.plugin = str(binary)
        stage = Stage(arguments, f"{folder}/data")
        try:
            for scenario in SCENARIOS:
                name, begin = scenario.__name__.replace("_", " "), time.monotonic()
                try:
                    scenario(stage)
                    outcome = "passed"
                except AssertionError as error:
                    outcome, failed = f"FAILED: {error}", failed + 1
                print(f"{name:<55} {time.monotonic() - begin:6.2f} s  {outcome}", flush=True)
        finally:
            stage.end()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
