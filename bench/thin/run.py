#!/usr/bin/env python3
"""One thin path through hyper and through pingora: HTTP/1.1, kept connections, answers of 1 KiB.

Usage: bench/thin/run.py BINARIES [--seconds N] [--rounds N] [--connections N]

BINARIES is the folder with thin-hyper and thin-pingora. Each runs on the first core alone; nginx behind it
and wrk before it share the second. They take turns in each round; figures are medians of the rounds. Speaks
to loopback only, and ends what it started, by its ids.
"""
import argparse, re, socket, statistics, subprocess, sys, tempfile, time
from pathlib import Path

PROXY_CORE, OTHER_CORE = "0", "1"


def port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(core, *command):
    return subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def await_port(number):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            return socket.create_connection(("127.0.0.1", number), 1).close()
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nobody listens on port {number}")


def measure(number, seconds, connections):
    command = ["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    told = subprocess.run([*command, f"http://127.0.0.1:{number}/"], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in told and "Socket errors" not in told, told
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1))
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", told).groups()
    return rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()
    started = []
    with tempfile.TemporaryDirectory() as work:
        try:
            back, conf = port(), Path(work, "nginx.conf")
            conf.write_text(f"""
worker_processes 1; daemon off; pid {work}/pid; error_log {work}/log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000;
  server {{ listen 127.0.0.1:{back}; location = / {{ default_type text/plain; return 200 "{'x' * 1024}"; }} }} }}""")
            started.append(start(OTHER_CORE, "nginx", "-c", str(conf)))
            await_port(back)
            ports = {}
            for name in ("thin-hyper", "thin-pingora"):
                ports[name] = port()
                program = str(Path(args.binaries, name))
                started.append(start(PROXY_CORE, program, f"127.0.0.1:{ports[name]}", f"127.0.0.1:{back}"))
                await_port(ports[name])
            found = {name: [] for name in ports}
            for _ in range(args.rounds):
                for name, number in ports.items():
                    measure(number, 1, args.connections)
                    found[name].append(measure(number, args.seconds, args.connections))
            for name, figures in found.items():
                rates, tails = zip(*figures)
                print(f"{name:14} {statistics.median(rates):9.0f} requests/s   p99 {statistics.median(tails):6.2f} ms   "
                      f"({min(rates):.0f} to {max(rates):.0f})")
        finally:
            for one in reversed(started):
                one.terminate()
            for one in started:
                one.wait()


if __name__ == "__main__":
    main()
