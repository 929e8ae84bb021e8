#!/usr/bin/env python3
"""How long no write succeeds when the leader of three servers goes: killed (SIGKILL), or ended (SIGTERM).

Usage: bench/failover.py LONGSHORE [--rounds N] [--json FILE]

Starts an etcd and three servers on loopback. In each round four clients, which do not try again by
themselves, make clusters at the two servers that do not lead, while the leader gets its signal. The
gap is the longest time between two successes; what was acknowledged is looked for afterwards. Needs
etcd and boto3.
"""
import argparse, json, os, secrets, signal, socket, statistics, subprocess, tempfile, threading, time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

WARM_UP_S = 1.0  # before the signal
AFTER_S = 5.0  # after it


def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"


def role(address):
    try:
        with urllib.request.urlopen(f"http://{address}/_longshore/readyz", timeout=1) as answer:
            return json.load(answer)["role"]
    except OSError:
        return None


class Ensemble:
    def __init__(self, longshore, work):
        self.longshore, self.work = longshore, Path(work)
        clients, peers = free(), free()
        self.store = f"etcd://{clients}"
        self.env = dict(os.environ, LONGSHORE_SECRETS_KEY=secrets.token_hex(32))
        self.etcd = subprocess.Popen(
            ["etcd", "--data-dir", f"{work}/etcd", "--log-level", "error",
             "--listen-client-urls", f"http://{clients}", "--advertise-client-urls", f"http://{clients}",
             "--listen-peer-urls", f"http://{peers}", "--initial-advertise-peer-urls", f"http://{peers}",
             "--initial-cluster", f"default=http://{peers}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)
        self.addresses = [free() for _ in range(3)]
        self.processes = [None] * 3
        for index in range(3):
            self.start(index)
        self.leader()

    def start(self, index):
        self.processes[index] = subprocess.Popen(
            [self.longshore, "server", "--listen", self.addresses[index],
             "--data-dir", str(self.work / f"server-{index}"), "--store", self.store],
            env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def leader(self):
        for _ in range(600):
            roles = [role(address) for address in self.addresses]
            if roles.count("leader") == 1 and None not in roles:
                return roles.index("leader")
            time.sleep(0.1)
        raise SystemExit(f"no leader: {roles}")

    def client(self, index):
        lines = (self.work / "server-0/credentials").read_text().splitlines()
        keys = dict(line.split(" = ") for line in lines if " = " in line)
        return boto3.client("ecs", endpoint_url=f"http://{self.addresses[index]}", region_name="us-east-1",
                            config=Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=10), **keys)

    def end(self):
        for process in [*self.processes, self.etcd]:
            process.terminate()
        for process in [*self.processes, self.etcd]:
            process.wait()


def measure(ensemble, number, what):
    leader = ensemble.leader()
    others = [index for index in range(3) if index != leader]
    clients = [ensemble.client(index) for index in others]
    done, errors, acknowledged, over = [], [], [], threading.Event()

    def work(worker):
        count = 0
        while not over.is_set():
            count += 1
            name = f"round-{number}-{worker}-{count}"
            try:
                clients[worker % 2].create_cluster(clusterName=name)
                done.append(time.monotonic())
                acknowledged.append(name)
            except Exception as error:
                errors.append(str(error))

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    time.sleep(WARM_UP_S)
    begun = time.monotonic()
    ensemble.processes[leader].send_signal(what)
    time.sleep(AFTER_S)
    over.set()
    for worker in workers:
        worker.join()
    ensemble.processes[leader].wait()
    ensemble.start(leader)
    done.sort()
    gap = max(later - earlier for earlier, later in zip(done, done[1:]) if later >= begun)
    pages = clients[0].get_paginator("list_clusters").paginate()
    there = {arn.rsplit("/", 1)[1] for page in pages for arn in page["clusterArns"]}
    return gap, len(errors), len(set(acknowledged) - there)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("longshore")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    told = {}
    with tempfile.TemporaryDirectory() as work:
        ensemble = Ensemble(options.longshore, work)
        try:
            for what in (signal.SIGKILL, signal.SIGTERM):
                rounds = [measure(ensemble, f"{what.name.lower()}-{n}", what) for n in range(options.rounds)]
                gaps = sorted(gap for gap, _, _ in rounds)
                told[what.name] = {"gap_s": {"min": gaps[0], "median": statistics.median(gaps), "max": gaps[-1]},
                                   "errors": sum(r[1] for r in rounds), "lost": sum(r[2] for r in rounds)}
                print(f"{what.name}: no write for {gaps[0]:.2f} / {statistics.median(gaps):.2f} / {gaps[-1]:.2f} s "
                      f"(min, median, max of {len(gaps)}); {told[what.name]['errors']} errors without retries; "
                      f"{told[what.name]['lost']} acknowledged and lost", flush=True)
        finally:
            ensemble.end()
    if options.json:
        Path(options.json).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
