"""Real clients before load balancers that AWS's SDK made: curl, grpcio, websockets, sockets of Python.

Back ends are threads of this process. Says `ok PART` for each part; ends with an error otherwise.
"""
import asyncio
import collections
import contextlib
import http.server
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import boto3
import grpc
import websockets.asyncio.client
import websockets.asyncio.server

PATIENCE = 180
elb, ec2, acm = (boto3.client(name) for name in ("elbv2", "ec2", "acm"))
SUBNETS = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
VPC = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]


def until(what, look):
    end = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"not {what}"
        time.sleep(0.02)


def balancer(name, kind="application"):
    made = elb.create_load_balancer(Name=name, Subnets=SUBNETS, Type=kind)["LoadBalancers"][0]
    return made["LoadBalancerArn"], made["AvailabilityZones"][0]["LoadBalancerAddresses"][0]["IpAddress"]


def group(name, protocol, ports, **more):
    arn = elb.create_target_group(Name=name, Protocol=protocol, Port=80, VpcId=VPC, TargetType="ip",
                                  HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2,
                                  **more)["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1", "Port": port} for port in ports])
    return arn


def states(arn):
    told = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return [one["TargetHealth"]["State"] for one in told]


def healthy(arn):
    until(f"healthy: {arn}", lambda: set(states(arn)) == {"healthy"})


def listener(of, protocol, port, action, **more):
    if isinstance(action, str):
        action = [{"Type": "forward", "TargetGroupArn": action}]
    return elb.create_listener(LoadBalancerArn=of, Protocol=protocol, Port=port, DefaultActions=action,
                               **more)["Listeners"][0]["ListenerArn"]


def certificate(name):
    arn = acm.request_certificate(DomainName=name)["CertificateArn"]
    return arn, acm.get_certificate(CertificateArn=arn)["CertificateChain"]


class Named(http.server.ThreadingHTTPServer):
    """A server of HTTP/1.1 that answers with its name and what it was told."""

    daemon_threads = True

    def __init__(self, name, address=("127.0.0.1", 0)):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = json.dumps({"name": name, "headers": dict(self.headers)}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        super().__init__(address, Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


def curl(*args):
    return subprocess.run(["curl", "-sS", "--max-time", "60", *args], check=True, capture_output=True, text=True).stdout


class Secure:
    """An application load balancer with TLS, two certificates and the authority of both."""

    def __init__(self):
        self.of, self.address = balancer("secure")
        (self.one, chain), (self.two, _) = certificate("one.example.com"), certificate("*.example.org")
        handle, self.authority = tempfile.mkstemp(suffix=".pem")
        os.write(handle, chain.encode())

    def listen(self, port, arn):
        made = listener(self.of, "HTTPS", port, arn, Certificates=[{"CertificateArn": self.one}],
                        SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")
        elb.add_listener_certificates(ListenerArn=made, Certificates=[{"CertificateArn": self.two}])

    def curl(self, name, port, *args):
        return curl("--cacert", self.authority, "--resolve", f"{name}:{port}:{self.address}", *args, f"https://{name}:{port}/")


def tls_and_http2(secure):
    back = Named("back")
    arn = group("plain", "HTTP", [back.port])
    secure.listen(443, arn)
    healthy(arn)
    for name in ("one.example.com", "any.example.org"):
        for version, option in (("2", "--http2"), ("1.1", "--http1.1")):
            told = secure.curl(name, 443, option, "-w", "\n%{http_version} %{ssl_verify_result}")
            body, wrote = told.rsplit("\n", 1)
            assert wrote == f"{version} 0", told
            headers = {key.lower(): value for key, value in json.loads(body)["headers"].items()}
            assert headers["host"] == name and headers["x-forwarded-proto"] == "https", headers
    # Nobody's name: the default certificate, which a client that knows better refuses.
    refused = subprocess.run(["curl", "-sS", "--cacert", secure.authority, "--resolve", f"other.net:443:{secure.address}",
                              "https://other.net/"], capture_output=True, text=True)
    assert refused.returncode == 60, refused
    many = ["nghttp", "-nv", "--no-verify-peer", "-m", "20", f"https://{secure.address}/"]
    told = subprocess.run(many, capture_output=True, text=True).stdout
    assert told.count(":status: 200") == 20, told


def grpc_all_ways(secure):
    raw = lambda data: data
    take = lambda items: b"".join(items)
    fail = lambda _, context: context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
    methods = {
        "One": grpc.unary_unary_rpc_method_handler(lambda data, _: data[::-1], raw, raw),
        "Many": grpc.unary_stream_rpc_method_handler(lambda data, _: (bytes([byte]) for byte in data), raw, raw),
        "Take": grpc.stream_unary_rpc_method_handler(lambda items, _: take(items), raw, raw),
        "Both": grpc.stream_stream_rpc_method_handler(lambda items, _: items, raw, raw),
        "Fail": grpc.unary_unary_rpc_method_handler(fail, raw, raw),
    }
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    arn = group("grpc", "HTTP", [port], ProtocolVersion="GRPC")
    secure.listen(8443, arn)
    healthy(arn)
    with open(secure.authority, "rb") as file:
        trusted = grpc.ssl_channel_credentials(file.read())
    options = [("grpc.ssl_target_name_override", "one.example.com")]
    with grpc.secure_channel(f"{secure.address}:8443", trusted, options) as channel:
        assert channel.unary_unary("/test.Echo/One")(b"abc", timeout=60) == b"cba"
        assert list(channel.unary_stream("/test.Echo/Many")(b"abc", timeout=60)) == [b"a", b"b", b"c"]
        assert channel.stream_unary("/test.Echo/Take")(iter([b"x"] * 1000), timeout=60) == b"x" * 1000
        both = channel.stream_stream("/test.Echo/Both")(iter([b"1", b"2", b"3"]), timeout=60)
        assert list(both) == [b"1", b"2", b"3"]
        for path, code in (("Fail", grpc.StatusCode.NOT_FOUND), ("None", grpc.StatusCode.UNIMPLEMENTED)):
            try:
                channel.unary_unary(f"/test.Echo/{path}")(b"", timeout=60)
                raise AssertionError(path)
            except grpc.RpcError as error:
                assert error.code() == code, error
    server.stop(0)


def websocket(secure):
    async def main():
        async def echo(socket):
            async for message in socket:
                await socket.send(message)

        async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            # A check of HTTP is answered with 426: it is no upgrade.
            make = lambda: group("sockets", "HTTP", [port], Matcher={"HttpCode": "426"})
            arn = await asyncio.to_thread(make)
            await asyncio.to_thread(secure.listen, 9443, arn)
            await asyncio.to_thread(healthy, arn)
            context = ssl.create_default_context(cafile=secure.authority)
            connect = websockets.asyncio.client.connect(
                "wss://one.example.com:9443/chat", host=secure.address, ssl=context, server_hostname="one.example.com")
            async with connect as client:
                for size in (1, 125, 70_000, 1_000_000):
                    await client.send("x" * size)
                    assert await client.recv() == "x" * size
                await client.ping()

    asyncio.run(main())


def accept(listening, serve):
    def loop():
        while True:
            stream, _ = listening.accept()
            threading.Thread(target=serve, args=(stream,), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def echo_server():
    """A port that sends back what it gets."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(stream):
        with contextlib.suppress(OSError), stream:
            while data := stream.recv(65536):
                stream.sendall(data)

    accept(listening, serve)
    return listening.getsockname()[1]


def talk(stream, text):
    stream.sendall(text)
    stream.shutdown(socket.SHUT_WR)
    got = b""
    while data := stream.recv(65536):
        got += data
    return got


def network(secure):
    of, address = balancer("network", "network")
    port = echo_server()
    plain, greeted = group("tcp", "TCP", [port]), group("greeted", "TCP", [port])
    elb.modify_target_group_attributes(TargetGroupArn=greeted, Attributes=[
        {"Key": "proxy_protocol_v2.enabled", "Value": "true"}])
    listener(of, "TCP", 7000, plain)
    listener(of, "TCP", 7001, greeted)
    listener(of, "TLS", 7002, plain, Certificates=[{"CertificateArn": secure.one}])
    healthy(plain)
    healthy(greeted)
    text = os.urandom(1 << 20)
    assert talk(socket.create_connection((address, 7000)), text[:100_000]) == text[:100_000]
    client = socket.create_connection((address, 7001))
    source, target = client.getsockname(), client.getpeername()
    told = talk(client, b"hello")
    pack = lambda one: socket.inet_aton(one[0])
    expected = b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11]) + struct.pack("!H", 12)
    expected += pack(source) + pack(target) + struct.pack("!HH", source[1], target[1])
    assert told == expected + b"hello", told
    context = ssl.create_default_context(cafile=secure.authority)
    stream = context.wrap_socket(socket.create_connection((address, 7002)), server_hostname="one.example.com")
    stream.sendall(b"secret")
    assert stream.recv(100) == b"secret"
    stream.close()


def datagrams():
    of, address = balancer("datagrams", "network")
    check = socket.create_server(("127.0.0.1", 0))
    accept(check, lambda stream: stream.close())
    back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    back.bind(("127.0.0.1", 0))

    def serve():
        while True:
            data, source = back.recvfrom(65536)
            back.sendto(data[::-1], source)

    threading.Thread(target=serve, daemon=True).start()
    arn = group("udp", "UDP", [back.getsockname()[1]], HealthCheckPort=str(check.getsockname()[1]))
    made = listener(of, "UDP", 5300, arn)
    shown = elb.describe_listeners(ListenerArns=[made])["Listeners"][0]
    assert shown["Protocol"] == "UDP", shown
    healthy(arn)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(5)
    client.connect((address, 5300))

    def asked():
        client.send(b"abc")
        try:
            return client.recv(100)
        except TimeoutError:
            return None

    assert until("answered", asked) == b"cba"


def targets_that_die():
    """A target that ends while it is asked loses what it was asked for, and nothing after it."""
    of, address = balancer("dying")
    backs = [subprocess.Popen([sys.executable, "-c", BACK], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    ports = [int(back.stdout.readline()) for back in backs]
    arn = group("dying", "HTTP", ports)
    listener(of, "HTTP", 80, arn)
    healthy(arn)
    seen, is_over = collections.Counter(), threading.Event()

    def ask():
        import http.client
        while not is_over.is_set():
            try:
                client = http.client.HTTPConnection(address, 80, timeout=60)
                client.request("GET", "/")
                seen[client.getresponse().status] += 1
                client.close()
            except OSError as error:
                seen[repr(error)] += 1

    clients = [threading.Thread(target=ask) for _ in range(4)]
    [client.start() for client in clients]
    until("asked", lambda: seen[200] > 50)
    backs[0].kill()
    backs[0].wait()
    # One that is under way at that moment may be lost: it may have been carried out.
    until("asked on", lambda: seen[200] > 500)
    until("unhealthy", lambda: sorted(states(arn)) == ["healthy", "healthy", "unhealthy"])
    is_over.set()
    [client.join() for client in clients]
    [back.kill() for back in backs[1:]]
    [back.wait() for back in backs[1:]]
    failed = {key: count for key, count in seen.items() if key != 200}
    assert set(failed) <= {502} and failed.get(502, 0) <= len(clients), seen


BACK = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def shares():
    """Weights of a rule, counted."""
    of, address = balancer("shares")
    blue, green = Named("blue"), Named("green")
    arns = [group(one, "HTTP", [back.port]) for one, back in (("blue", blue), ("green", green))]

    def weighted(first, second):
        weights = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(arns, (first, second))]
        return [{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}]

    made = listener(of, "HTTP", 80, weighted(90, 10))
    [healthy(arn) for arn in arns]

    def counted(number):
        urls = [f"http://{address}/"] * number
        told = curl(*urls, "-w", "\n")
        return collections.Counter(json.loads(line)["name"] for line in told.splitlines() if line)

    seen = counted(2000)
    # 200 are expected; the chance of less than 120 or more than 280 is one in a hundred million.
    assert 120 <= seen["green"] <= 280 and sum(seen.values()) == 2000, seen
    elb.modify_listener(ListenerArn=made, DefaultActions=weighted(0, 1))
    until("all green", lambda: counted(50) == {"green": 50})


def logged():
    of, address = balancer("logged")
    back = Named("back")
    arn = group("logged", "HTTP", [back.port])
    listener(of, "HTTP", 80, arn)
    healthy(arn)
    elb.modify_load_balancer_attributes(LoadBalancerArn=of, Attributes=[
        {"Key": "access_logs.s3.enabled", "Value": "true"}, {"Key": "access_logs.s3.bucket", "Value": "logs"}])
    root = os.path.join(os.path.dirname(os.environ["AWS_SHARED_CREDENTIALS_FILE"]), "s3", "logs")

    def lines():
        curl(f"http://{address}/some/path?a=b", "-A", "tester")
        found = subprocess.run(["find", root, "-name", "*.log.gz"], capture_output=True, text=True).stdout.split()
        if not found:
            return None
        return subprocess.run(["zcat", *found], check=True, capture_output=True, text=True).stdout.splitlines()

    line = until("logged", lines)[0]
    name = of.split(":loadbalancer/")[1]
    assert line.startswith("http 20") and f" {name} " in line, line
    assert f'"GET http://{address}:80/some/path?a=b HTTP/1.1" "tester" - - {arn} "Root=1-' in line, line


def main():
    secure = Secure()
    parts = {
        "tls_and_http2": lambda: tls_and_http2(secure),
        "grpc": lambda: grpc_all_ways(secure),
        "websocket": lambda: websocket(secure),
        "network": lambda: network(secure),
        "datagrams": datagrams,
        "targets_that_die": targets_that_die,
        "shares": shares,
        "logged": logged,
    }
    for name in sys.argv[1:] or parts:
        parts[name]()
        print("ok", name, flush=True)
    os._exit(0)


main()
