#!/usr/bin/env python3
"""ECS Exec over loopback: ExecuteCommand to the first prompt, and a keystroke's echo.

Usage: bench/exec.py LONGSHORE [--image FILE] [--rounds N] [--json FILE]

Speaks the plugin's framing with a client of its own (agent-protocol §7), so that nothing but
Longshore is measured. Needs boto3.
"""
import argparse, base64, hashlib, json, os, signal, socket, statistics, struct, subprocess, tempfile, time, uuid
from pathlib import Path
from urllib.parse import urlparse

import boto3

PROMPT_GOAL_MS = 100
ECHO_GOAL_MS = 5
ECHOES = 200  # of one session
OUTPUT, SIZE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, HANDSHAKE_COMPLETE = 1, 3, 5, 6, 7


class Channel:
    """The client's side of a data channel: a websocket without a library."""

    def __init__(self, session):
        url = urlparse(session["streamUrl"])
        self.socket = socket.create_connection((url.hostname, url.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.sequence, self.expected = b"", 0, 0
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(65536)
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert b" 101 " in head, head
        self.frame(1, json.dumps({
            "MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "TokenValue": session["tokenValue"],
            "ClientId": str(uuid.uuid4()), "ClientVersion": "1.2.0.0"}).encode())

    def frame(self, opcode, payload):
        mask, length = os.urandom(4), len(payload)
        size = struct.pack("!B", 0x80 | length) if length < 126 else struct.pack("!BH", 0x80 | 126, length)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + size + mask + masked)

    def take(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(65536)
            assert data, "the server closed"
            self.buffer += data
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def message(self, kind, sequence, flags, payload_type, payload):
        id = uuid.uuid4().bytes
        self.frame(2, struct.pack("!I32sIQqQ", 116, kind.ljust(32).encode(), 1, int(time.time() * 1000), sequence, flags)
                   + id[8:] + id[:8] + hashlib.sha256(payload).digest()
                   + struct.pack("!II", payload_type, len(payload)) + payload)

    def send(self, payload_type, payload):
        self.message("input_stream_data", self.sequence, 0, payload_type, payload)
        self.sequence += 1

    def receive(self):
        """The next message in its turn: its payload type and payload."""
        while True:
            first, second = self.take(2)
            length = second & 0x7F
            if length == 126:
                length = struct.unpack("!H", self.take(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", self.take(8))[0]
            data = self.take(length)
            if first & 0x0F != 2:
                continue
            kind = data[4:36].strip(b" \0").decode()
            if kind == "channel_closed":
                return None, b""
            if kind != "output_stream_data":
                continue
            sequence, = struct.unpack("!q", data[48:56])
            id = uuid.UUID(bytes=data[72:80] + data[64:72])
            acknowledge = {"AcknowledgedMessageType": kind, "AcknowledgedMessageId": str(id),
                           "AcknowledgedMessageSequenceNumber": sequence, "IsSequentialMessage": True}
            self.message("acknowledge", 0, 3, 0, json.dumps(acknowledge).encode())
            if sequence == self.expected:
                self.expected += 1
                return struct.unpack("!I", data[112:116])[0], data[120:]

    def until(self, text):
        seen = b""
        while text not in seen:
            kind, payload = self.receive()
            assert kind is not None, seen
            if kind == HANDSHAKE_REQUEST:
                answer = {"ClientVersion": "1.2.0.0", "Errors": None, "ProcessedClientActions": [
                    {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}]}
                self.send(HANDSHAKE_RESPONSE, json.dumps(answer).encode())
            elif kind == HANDSHAKE_COMPLETE:
                self.send(SIZE, b'{"cols":120,"rows":40}')
            elif kind == OUTPUT:
                seen += payload


def start(longshore, image, work):
    server = subprocess.Popen([longshore, "up", "--listen", "127.0.0.1:0", "--data-dir", work],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = Path(work, "server.json")
    end = time.monotonic() + 60
    while not state.exists():
        assert time.monotonic() < end, "longshore up does not begin"
        time.sleep(0.05)
    subprocess.run([longshore, "image", "load", image, "--data-dir", work], check=True, stdout=subprocess.DEVNULL)
    keys = dict(line.split("=", 1) for line in Path(work, "credentials").read_text().splitlines() if "=" in line)
    keys = {name.strip(): value.strip() for name, value in keys.items()}
    ecs = boto3.client("ecs", endpoint_url=json.loads(state.read_text())["endpoint"], region_name="us-east-1",
                       aws_access_key_id=keys["aws_access_key_id"], aws_secret_access_key=keys["aws_secret_access_key"])
    ecs.register_task_definition(
        family="bench", taskRoleArn="arn:aws:iam::000000000000:role/bench",
        containerDefinitions=[{"name": "main", "image": "busybox", "memory": 64, "command": ["sleep", "3600"]}])
    task = ecs.run_task(taskDefinition="bench", enableExecuteCommand=True)["tasks"][0]["taskArn"]
    while ecs.describe_tasks(tasks=[task])["tasks"][0]["lastStatus"] != "RUNNING":
        assert time.monotonic() < end, "the task does not run"
        time.sleep(0.05)
    return server, ecs, task


def measure(ecs, task, rounds):
    prompts, echoes = [], []
    for number in range(rounds):
        begin = time.perf_counter()
        answer = ecs.execute_command(task=task, command="/bin/sh", interactive=True)
        channel = Channel(answer["session"])
        channel.until(b"# ")
        prompts.append((time.perf_counter() - begin) * 1000)
        if number == 0:
            for _ in range(ECHOES):
                begin = time.perf_counter()
                channel.send(OUTPUT, b"x")
                channel.until(b"x")
                echoes.append((time.perf_counter() - begin) * 1000)
        channel.send(OUTPUT, b"\x03exit\r")
        while channel.receive()[0] is not None:
            pass
    return prompts, echoes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("longshore")
    parser.add_argument("--image", default="examples/images/out/busybox.tar")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-exec-") as work:
        server, ecs, task = start(arguments.longshore, arguments.image, work)
        try:
            prompts, echoes = measure(ecs, task, arguments.rounds)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
            subprocess.run([arguments.longshore, "down", "--data-dir", work], capture_output=True)
    figures = {}
    for name, values, goal in (("ExecuteCommand to first prompt", prompts, PROMPT_GOAL_MS),
                               ("a keystroke's echo", echoes, ECHO_GOAL_MS)):
        values.sort()
        median, p99 = statistics.median(values), values[max(0, int(len(values) * 0.99) - 1)]
        figures[name] = {"median_ms": median, "p99_ms": p99, "max_ms": values[-1], "goal_ms": goal, "count": len(values)}
        print(f"{name}: median {median:.2f} ms, p99 {p99:.2f} ms, max {values[-1]:.2f} ms (goal: {goal} ms, {len(values)} times)")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
