"""Stands between an agent and the server, passes every byte on as it is, and writes down what was said.

One JSON object a line: `t` (seconds since the start), `dir` (`from-agent`, `to-agent`, and `operator` for
calls that the scenarios make), `via` (`POST`, `ACS`, `TCS`), `name`, and what belongs to it. Secrets are
masked before anything is written.
"""

import base64
import http.server
import json
import re
import socket
import struct
import threading
import time
import urllib.parse

SECRET_MEMBERS = {"accessKeyId", "secretAccessKey", "sessionToken", "SecretString", "Value", "password"}
HEADERS_KEPT = {"host", "user-agent", "content-type", "x-amz-target", "authorization", "upgrade"}
MASKED = "masked"
# How many messages of each kind of telemetry a recording has.
TELEMETRY_KEPT = 4


def masked(value, name=None):
    """The value without what is nobody's business."""
    if name in SECRET_MEMBERS and isinstance(value, str):
        return MASKED
    if isinstance(value, dict):
        return {key: masked(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [masked(one) for one in value]
    return value


def masked_head(text):
    text = re.sub(r"Credential=[^/,]+", f"Credential={MASKED}", text)
    text = re.sub(r"Signature=[0-9a-f]+", f"Signature={'0' * 64}", text)
    return re.sub(r"(?i)(x-amz-security-token: )\S+", rf"\1{MASKED}", text)


class Recording:
    """What was said, in order."""

    def __init__(self):
        self.lines, self.lock, self.began = [], threading.Lock(), time.monotonic()

    def add(self, **line):
        with self.lock:
            self.lines.append({"t": round(time.monotonic() - self.began, 3), **line})
            return self.lines[-1]

    def count(self, **wanted):
        with self.lock:
            return sum(all(line.get(k) == v for k, v in wanted.items()) for line in self.lines)

    def kept(self):
        """The lines without repetition: heartbeats go, and of each kind of telemetry few stay."""
        seen = {}
        for line in self.lines:
            name = line["name"]
            if name.startswith("Heartbeat"):
                continue
            if line["dir"] == "operator":
                # What only asks, and what was refused.
                if name.startswith(("Describe", "List", "Get")) or "answer" not in line:
                    continue
            if line.get("via") == "TCS" and name.startswith(("Publish", "AckPublish")):
                seen[name] = seen.get(name, 0) + 1
                if seen[name] > TELEMETRY_KEPT:
                    continue
            yield line

    def write(self, file):
        with self.lock, open(file, "w") as out:
            for line in self.kept():
                out.write(json.dumps(masked(line), separators=(",", ":")) + "\n")


class Reader:
    """Bytes as they come from one side; None at the end."""

    def __init__(self):
        self.bytes, self.ended, self.changed = b"", False, threading.Condition()

    def feed(self, data):
        with self.changed:
            self.bytes, self.ended = self.bytes + data, self.ended or not data
            self.changed.notify_all()

    def take(self, count):
        with self.changed:
            while len(self.bytes) < count:
                if self.ended:
                    raise EOFError
                self.changed.wait()
            taken, self.bytes = self.bytes[:count], self.bytes[count:]
            return taken

    def until(self, mark):
        with self.changed:
            while mark not in self.bytes:
                if self.ended:
                    raise EOFError
                self.changed.wait()
            taken, self.bytes = self.bytes.split(mark, 1)
            return taken


def head_of(reader):
    first, *rest = reader.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in rest if ": " in line]
    return first, {name.lower(): value for name, value in pairs}


def body_of(reader, headers):
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(reader.until(b"\r\n").split(b";")[0], 16):
            body += reader.take(size)
            reader.take(2)
        reader.until(b"\r\n")
        return body
    return reader.take(int(headers.get("content-length", 0)))


def as_json(body):
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")


class Conversation:
    """One connection of the agent."""

    def __init__(self, recording):
        self.recording, self.up, self.down = recording, Reader(), Reader()

    def read(self):
        try:
            while self.exchange():
                pass
        except (EOFError, ValueError):
            pass

    def exchange(self):
        first, headers = head_of(self.up)
        method, target, _ = first.split(" ", 2)
        body = body_of(self.up, headers)
        kept = {name: masked_head(value) for name, value in headers.items() if name in HEADERS_KEPT}
        if "upgrade" in headers:
            return self.upgrade(target, kept)
        name = headers.get("x-amz-target", f"{method} {target}").rsplit(".", 1)[-1]
        self.recording.add(
            dir="from-agent", via="POST", name=name, headers=kept, body=as_json(body))
        first, headers = head_of(self.down)
        answer = body_of(self.down, headers)
        status = int(first.split(" ")[1])
        self.recording.add(
            dir="to-agent", via="POST", name=name, status=status, body=as_json(answer))
        return True

    def upgrade(self, target, headers):
        path, _, query = target.partition("?")
        via = "ACS" if path.endswith("/acs/ws") else "TCS"
        query = dict(urllib.parse.parse_qsl(query))
        self.recording.add(
            dir="from-agent", via=via, name="CONNECT", path=path, query=query, headers=headers)
        first, headers = head_of(self.down)
        status = int(first.split(" ")[1])
        if status != 101:
            body = as_json(body_of(self.down, headers))
            self.recording.add(dir="to-agent", via=via, name="REFUSED", status=status, body=body)
            return True
        down = threading.Thread(target=self.frames, args=(self.down, "to-agent", via), daemon=True)
        down.start()
        self.frames(self.up, "from-agent", via)
        return False

    def frames(self, reader, direction, via):
        text = b""
        try:
            while True:
                first, second = reader.take(2)
                size = second & 0x7F
                if size == 126:
                    size = struct.unpack(">H", reader.take(2))[0]
                elif size == 127:
                    size = struct.unpack(">Q", reader.take(8))[0]
                mask = reader.take(4) if second & 0x80 else b"\0\0\0\0"
                data = bytes(b ^ mask[i % 4] for i, b in enumerate(reader.take(size)))
                kind = first & 0x0F
                if kind == 8:
                    code = struct.unpack(">H", data[:2])[0] if len(data) > 1 else None
                    body = {"code": code, "reason": data[2:].decode("utf-8", "replace")}
                    self.recording.add(dir=direction, via=via, name="CLOSE", body=body)
                elif kind < 3:
                    text += data
                    if first & 0x80:
                        self.message(text, direction, via)
                        text = b""
        except EOFError:
            pass

    def message(self, text, direction, via):
        head, found, rest = text.partition(b"\r\n\r\n")
        line = {"dir": direction, "via": via}
        if via == "TCS" and direction == "from-agent" and found:
            line["signedHead"], text = masked_head(head.decode()), rest
        message = json.loads(text)
        if "type" in message:
            line |= {"name": message["type"], "body": message.get("message")}
        else:
            line |= {"name": "?", "body": message}
        self.recording.add(**line)


class Tee:
    """Listens where the agent is told that the server is."""

    def __init__(self, address, server, recording):
        self.server, self.recording = server, recording
        self.listener = socket.create_server(address)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(self.server)
        except OSError:
            return client.close()
        conversation = Conversation(self.recording)
        threading.Thread(target=conversation.read, daemon=True).start()
        back = threading.Thread(
            target=self.pump, args=(server, client, conversation.down), daemon=True)
        back.start()
        self.pump(client, server, conversation.up)

    @staticmethod
    def pump(source, sink, reader):
        while True:
            try:
                data = source.recv(65536)
                # Noted first: what an answer follows must stand before it.
                reader.feed(data)
                if not data:
                    break
                sink.sendall(data)
            except OSError:
                break
        reader.feed(b"")
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Registry:
    """A registry of one image for pulling, which wants a user and speaks TLS with a certificate of its own
    authority."""

    def __init__(self, address, folder, user, context):
        files = {path.name: path for path in folder.iterdir()}
        wanted = "Basic " + base64.b64encode(user.encode()).decode()
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                seen.append(self.path)
                if self.headers.get("Authorization") != wanted:
                    return self.answer(401, b"{}", "application/json")
                name = self.path.rsplit("/", 1)[-1].removeprefix("sha256:")
                if "/manifests/" in self.path:
                    body = files["manifest.json"].read_bytes()
                    return self.answer(200, body, json.loads(body)["mediaType"])
                if self.path == "/v2/":
                    return self.answer(200, b"{}", "application/json")
                if name not in files:
                    return self.answer(404, b"{}", "application/json")
                self.answer(200, files[name].read_bytes(), "application/octet-stream")

            do_HEAD = do_GET

            def answer(self, status, body, kind):
                self.send_response(status)
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="registry"')
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = self.server = http.server.ThreadingHTTPServer(address, Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def serve_texts(address, texts, port=0):
    """Serves texts by their paths; gives the URL."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = texts.get(self.path.removesuffix("?x-id=GetObject"))
            self.send_response(404 if text is None else 200)
            self.send_header("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
            self.send_header("Content-Length", str(len(text or "")))
            self.end_headers()
            self.wfile.write((text or "").encode())

        def do_HEAD(self):
            # What S3 says of a bucket.
            self.send_response(200)
            self.send_header("X-Amz-Bucket-Region", "us-east-1")
            self.end_headers()

        do_PUT = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{address}:{server.server_port}"


class Ecr:
    """What answers GetAuthorizationToken; `asked` has the headers of each call."""

    def __init__(self):
        self.url, self.asked = None, []


def serve_ecr(address, user):
    """Gives everybody the right to pull as `user`, `name:password`, and notes who asked."""
    ecr = Ecr()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            ecr.asked.append(dict(self.headers))
            token = base64.b64encode(user.encode()).decode()
            given = {"authorizationToken": token, "expiresAt": time.time() + 12 * 3600,
                     "proxyEndpoint": "https://registry.of.ecr"}
            body = json.dumps({"authorizationData": [given]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ecr.url = f"http://{address}:{server.server_port}"
    return ecr
