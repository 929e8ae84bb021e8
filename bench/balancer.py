#!/usr/bin/env python3
"""Load balancers of Longshore against haproxy and nginx: same run, same cores, same back ends.

Usage: bench/balancer.py LONGSHORE [--seconds N] [--rounds N] [--connections N] [--idle N] [--json FILE]

Each proxy runs on the first core alone; the two back ends (nginx, 1 KiB answers) and whoever asks share
the second. Proxies take turns in each round, another one first each time; figures are medians of the rounds.
On a virtual machine the host may take time from both cores, and tails follow it: what it took is told beside
them, and many short rounds share it out evenly. Needs boto3, wrk, h2load
(nghttp2-client), haproxy, nginx and openssl, and root for no more than Longshore's own needs. Speaks to
loopback only, and ends what it started, by its ids.
"""
import argparse, json, os, re, resource, socket, statistics, subprocess, sys, tempfile, time
import http.client
from pathlib import Path

import boto3

PROXY_CORE, OTHER_CORE = "0", "1"
FILE_MIB = 16
RULES = 1000
FILES = 70_000
GOALS = {"http": 0.9, "https": 0.9, "h2": 0.9, "tcp": 0.95}
P99_GOAL, IDLE_GOAL_MIB, RULES_GOAL = 1.2, 200, 0.9


def port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def pinned(core, *command, **more):
    return subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.DEVNULL, stderr=more.pop("stderr", subprocess.DEVNULL), **more)


def until(what, is_so, limit=120):
    end = time.monotonic() + limit
    while not is_so():
        assert time.monotonic() < end, f"not {what} within {limit} s"
        time.sleep(0.02)


def listens(address, number):
    try:
        socket.create_connection((address, number), 1).close()
        return True
    except OSError:
        return False


def tree(pid):
    """The processes below one, and itself."""
    found, parents = [pid], {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def resident_mib(pid):
    total = 0
    for one in tree(pid):
        try:
            status = Path(f"/proc/{one}/status").read_text()
            total += int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024


class Backends:
    """Two nginx servers on ports of one process: 1 KiB at /, a large file at /file."""

    def __init__(self, work):
        self.ports = [port(), port()]
        site = Path(work, "site")
        site.mkdir()
        (site / "file").write_bytes(os.urandom(1 << 20) * FILE_MIB)
        listen = "".join(f"listen 127.0.0.1:{number};" for number in self.ports)
        conf = Path(work, "backends.conf")
        conf.write_text(f"""
worker_processes 1; daemon off; pid {work}/backends.pid; error_log {work}/backends.log;
events {{ worker_connections 20000; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; sendfile on;
  server {{ {listen} root {site}; location = / {{ default_type text/plain; return 200 "{'x' * 1024}"; }} }} }}""")
        self.process = pinned(OTHER_CORE, "nginx", "-c", str(conf))
        until("back ends", lambda: all(listens("127.0.0.1", one) for one in self.ports))


class Haproxy:
    name = "haproxy"

    def __init__(self, work, backends, pem):
        self.address, self.ports = "127.0.0.1", {kind: port() for kind in ("http", "https", "tcp")}
        servers = "\n".join(f"  server s{number} 127.0.0.1:{number}" for number in backends.ports)
        conf = Path(work, "haproxy.cfg")
        conf.write_text(f"""
global
  nbthread 1
  maxconn {(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100) // 2}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  timeout connect 10s
  timeout client 600s
  timeout server 600s
frontend http
  mode http
  bind 127.0.0.1:{self.ports['http']}
  bind 127.0.0.1:{self.ports['https']} ssl crt {pem} alpn h2,http/1.1
  option forwardfor
  default_backend http
backend http
  mode http
  balance roundrobin
  http-reuse always
{servers}
frontend tcp
  mode tcp
  bind 127.0.0.1:{self.ports['tcp']}
  default_backend tcp
backend tcp
  mode tcp
{servers}
""")
        self.process = pinned(PROXY_CORE, "haproxy", "-db", "-f", str(conf), stderr=open(Path(work, "haproxy.log"), "wb"))
        until("haproxy", lambda: listens(self.address, self.ports["http"]))


class Nginx:
    name = "nginx"

    def __init__(self, work, backends, pem):
        self.address, self.ports = "127.0.0.1", {kind: port() for kind in ("http", "https")}
        servers = "".join(f"server 127.0.0.1:{number};" for number in backends.ports)
        conf = Path(work, "nginx.conf")
        conf.write_text(f"""
worker_processes 1; daemon off; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ worker_connections 30000; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  upstream back {{ {servers} keepalive 256; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{self.ports['http']};
    listen 127.0.0.1:{self.ports['https']} ssl http2; ssl_certificate {pem}; ssl_certificate_key {pem};
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}""")
        self.process = pinned(PROXY_CORE, "nginx", "-c", str(conf))
        until("nginx", lambda: listens(self.address, self.ports["http"]))


class Longshore:
    name = "longshore"

    def __init__(self, longshore, work, backends, certificate, key):
        data = Path(work, "data")
        self.process = pinned(PROXY_CORE, longshore, "server", "--listen", "127.0.0.1:0", "--data-dir", str(data),
                              stderr=open(Path(work, "longshore.log"), "wb"))
        until("longshore", (data / "server.json").exists)
        keys = dict(re.findall(r"(\w+)\s*=\s*(\S+)", (data / "credentials").read_text()))
        endpoint = json.loads((data / "server.json").read_text())["endpoint"]
        client = lambda name: boto3.client(name, endpoint_url=endpoint, region_name="us-east-1",
                                           aws_access_key_id=keys["aws_access_key_id"],
                                           aws_secret_access_key=keys["aws_secret_access_key"])
        self.elb, ec2, acm = client("elbv2"), client("ec2"), client("acm")
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        arn = acm.import_certificate(Certificate=certificate, PrivateKey=key)["CertificateArn"]
        self.made = {}
        for kind, protocol in (("application", "HTTP"), ("network", "TCP")):
            made = self.elb.create_load_balancer(Name=kind, Subnets=subnets, Type=kind)["LoadBalancers"][0]
            group = self.elb.create_target_group(
                Name=kind, Protocol=protocol, Port=80, VpcId=vpc, TargetType="ip",
                HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2)["TargetGroups"][0]["TargetGroupArn"]
            self.elb.register_targets(TargetGroupArn=group, Targets=[
                {"Id": "127.0.0.1", "Port": number} for number in backends.ports])
            address = made["AvailabilityZones"][0]["LoadBalancerAddresses"][0]["IpAddress"]
            self.made[kind] = made["LoadBalancerArn"], group, address
        of, group, self.address = self.made["application"]
        self.ports = {"http": 80, "https": 443, "many": 8080, "change": 8081, "tcp": 80}
        forward = [{"Type": "forward", "TargetGroupArn": group}]
        listen = lambda of, action, **more: self.elb.create_listener(
            LoadBalancerArn=of, DefaultActions=action, **more)["Listeners"][0]["ListenerArn"]
        listen(of, forward, Protocol="HTTP", Port=80)
        listen(of, forward, Protocol="HTTPS", Port=443, Certificates=[{"CertificateArn": arn}],
               SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")
        many = listen(of, forward, Protocol="HTTP", Port=8080)
        for number in range(RULES):
            self.elb.create_rule(ListenerArn=many, Priority=number + 1, Actions=forward, Conditions=[
                {"Field": "path-pattern", "Values": [f"/service-{number}/*"]}])
        self.change = listen(of, self.fixed("0"), Protocol="HTTP", Port=8081)
        of, group, self.stream_address = self.made["network"]
        listen(of, [{"Type": "forward", "TargetGroupArn": group}], Protocol="TCP", Port=80)
        for _, group, _ in self.made.values():
            healthy = lambda: all(one["TargetHealth"]["State"] == "healthy" for one in self.elb.describe_target_health(
                TargetGroupArn=group)["TargetHealthDescriptions"])
            until("healthy", healthy)

    @staticmethod
    def fixed(body):
        return [{"Type": "fixed-response", "FixedResponseConfig": {
            "StatusCode": "200", "ContentType": "text/plain", "MessageBody": body}}]

    def changes(self, count):
        """Milliseconds from an answered change to the first request that sees it."""
        took = []
        asked = http.client.HTTPConnection(self.address, 8081)
        for number in range(1, count + 1):
            self.elb.modify_listener(ListenerArn=self.change, DefaultActions=self.fixed(str(number)))
            begin = time.perf_counter()
            while True:
                asked.request("GET", "/")
                if asked.getresponse().read() == str(number).encode():
                    break
            took.append((time.perf_counter() - begin) * 1000)
        return took


def stolen():
    """Milliseconds that the host has kept this machine's cores from running since its start."""
    return int(Path("/proc/stat").read_text().split()[8]) * 1000 / os.sysconf("SC_CLK_TCK")


SCALE = {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}
SIZE = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def wrk(url, asked):
    told = subprocess.run(["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{asked.connections}", f"-d{asked.seconds}s", "--timeout", "10s",
                           "--latency", url], check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in told and "Socket errors" not in told, f"{url}: {told}"
    number, unit = re.search(r"99%\s+([\d.]+)(\w+)", told).groups()
    size, of = re.search(r"Transfer/sec:\s+([\d.]+)(\w+)", told).groups()
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1)),
            "p99": float(number) * SCALE[unit], "bytes": float(size) * SIZE[of]}


def h2load(url, asked, work):
    log = Path(work, "h2load.log")
    log.unlink(missing_ok=True)
    clients = max(1, asked.connections // 8)
    # A load balancer takes 10,000 requests over a connection of HTTP/2 and then wants another, which h2load does not make.
    each = min(9000, 2500 * asked.seconds)
    told = subprocess.run(["taskset", "-c", OTHER_CORE, "h2load", "-t1", f"-c{clients}", "-m8", f"-n{clients * each}",
                           f"--log-file={log}", url], check=True, capture_output=True, text=True).stdout
    assert re.search(r" 0 failed, 0 errored, 0 timeout", told), f"{url}: {told}"
    took = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return {"rate": float(re.search(r", ([\d.]+) req/s", told).group(1)), "p99": took[int(len(took) * 0.99)] / 1000}


def idle(proxy, count):
    """MiB that so many connections without a request take."""
    before, held = resident_mib(proxy.process.pid), []
    for _ in range(count):
        held.append(socket.create_connection((proxy.address, proxy.ports["http"])))
    time.sleep(2)
    after = resident_mib(proxy.process.pid)
    for one in held:
        one.close()
    return after, after - before


class Report:
    def __init__(self):
        self.figures = []

    def add(self, what, value, unit, note=""):
        self.figures.append({"what": what, "value": value, "unit": unit, "note": note})
        print(f"  {what:<58} {value:>10.4g} {unit:<6} {note}".rstrip(), flush=True)

    def target(self, what, value, goal, below, unit):
        is_met = value <= goal if below else value >= goal
        word = "at most" if below else "at least"
        self.add(what, value, unit, f"target {word} {goal}: {'met' if is_met else 'MISSED'}")


def compare(report, kind, found):
    for name, rounds in found.items():
        for what, unit in (("rate", "/s"), ("p99", "ms")) if kind != "tcp" else (("bytes", "B/s"),):
            middle = statistics.median(one[what] for one in rounds)
            spread = [one[what] for one in rounds]
            report.add(f"{kind}: {name}, {what}", middle, unit, f"{min(spread):.4g} to {max(spread):.4g}")
        report.add(f"{kind}: {name}, stolen by the host", statistics.median(one["stolen"] for one in rounds), "ms/s")
    of = lambda name, what: statistics.median(one[what] for one in found[name])
    peers = [name for name in found if name != "longshore"]
    what = "bytes" if kind == "tcp" else "rate"
    best = max(peers, key=lambda name: of(name, what))
    ratio = of("longshore", what) / of(best, what)
    report.target(f"{kind}: against {best}", ratio, GOALS[kind], False, "x")
    if kind != "tcp":
        report.target(f"{kind}: p99 against {best}", of("longshore", "p99") / of(best, "p99"), P99_GOAL, True, "x")


def measure(proxies, asked, work, report):
    longshore = proxies[-1]
    kinds = {
        "http": lambda one: wrk(f"http://{one.address}:{one.ports['http']}/", asked),
        "https": lambda one: wrk(f"https://{one.address}:{one.ports['https']}/", asked),
        "h2": lambda one: h2load(f"https://{one.address}:{one.ports['https']}/", asked, work),
        "tcp": lambda one: wrk(f"http://{getattr(one, 'stream_address', one.address)}:{one.ports['tcp']}/file", asked),
    }
    for kind, ask in kinds.items():
        of = [one for one in proxies if kind != "tcp" or "tcp" in one.ports]
        found = {one.name: [] for one in of}
        for turn in range(asked.rounds):
            for at in range(len(of)):
                one, before = of[(turn + at) % len(of)], stolen()
                found[one.name].append(ask(one) | {"stolen": (stolen() - before) / asked.seconds})
        compare(report, kind, found)
    few, many = [], []
    for _ in range(asked.rounds):
        few.append(wrk(f"http://{longshore.address}/", asked)["rate"])
        many.append(wrk(f"http://{longshore.address}:8080/", asked)["rate"])
    share = statistics.median(many) / statistics.median(few)
    report.target(f"{RULES} rules that do not hold, against none", share, RULES_GOAL, False, "x")
    for one in proxies:
        after, more = idle(one, asked.idle)
        report.add(f"{one.name}: resident with {asked.idle} idle connections", after, "MiB", f"{more:.1f} MiB more than before")
    report.target(f"longshore: {asked.idle} idle connections", more, IDLE_GOAL_MIB, True, "MiB")
    took = longshore.changes(20)
    report.target("a change of a listener takes effect after, at most", max(took), 50, True, "ms")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("longshore")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections")
    parser.add_argument("--json")
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        # haproxy wants two for each connection that it may have.
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    started, report = [], Report()
    with tempfile.TemporaryDirectory(prefix="longshore-balancer-") as work:
        os.chmod(work, 0o755)
        key, certificate, pem = Path(work, "key.pem"), Path(work, "cert.pem"), Path(work, "both.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        pem.write_bytes(certificate.read_bytes() + key.read_bytes())
        try:
            backends = Backends(work)
            started.append(backends)
            for make in (Haproxy, Nginx):
                started.append(make(work, backends, pem))
            started.append(Longshore(asked.longshore, work, backends, certificate.read_bytes(), key.read_bytes()))
            print("balancer: 1 KiB answers of two back ends, each proxy on one core", flush=True)
            measure(started[1:], asked, work, report)
        finally:
            for one in started:
                one.process.terminate()
            for one in started:
                one.process.wait()
    if asked.json:
        told = {"bench": "balancer", "figures": report.figures}
        Path(asked.json).write_text(json.dumps(told, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
