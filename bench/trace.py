#!/usr/bin/env python3
"""Tells where the time of RunTask goes, by the kernel's own trace.

Usage: bench/trace.py [COUNT] (after bench/run.sh run-task, which builds what this uses)

The kernel's tracepoints cost far less than strace, so the total stays that of the benchmark. The
trace instance follows `longshore up` and what it starts, and is removed at the end.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile

EVENTS = """
sched/sched_process_exec cgroup/cgroup_attach_task cgroup/cgroup_mkdir
syscalls/sys_enter_fdatasync syscalls/sys_exit_fdatasync syscalls/sys_enter_pivot_root
syscalls/sys_enter_unshare syscalls/sys_enter_seccomp syscalls/sys_enter_mount
""".split()
# What is looked for, in this order; each is searched after the one before.
MARKS = [
    ("the client sends RunTask", "RunTask is sent"),
    ("edge, signature, decoding, placement, transaction", "sys_fdatasync\\(fd"),
    ("ledger: the task is durable", "sys_fdatasync -> 0x0"),
    ("session, agent: the payload is being written to its journal", "sys_fdatasync\\(fd"),
    ("agent's journal is durable", "sys_fdatasync -> 0x0"),
    ("image, snapshot, network, bundle, exec of the shim", "sched_process_exec: filename=.*/shim-"),
    ("shim up, exec of the launcher", "sched_process_exec: filename=/proc/self/exe"),
    ("launcher up, a mount namespace", "sys_unshare"),
    ("overlay, libcontainer's state and fork", "cgroup_mkdir"),
    ("first cgroup made, process moved into it", "cgroup_attach_task"),
    ("other cgroups and limits", "sys_unshare\\(unshare_flags: 0x20000000"),
    ("namespaces, mounts", "sys_pivot_root"),
    ("masked paths, capabilities", "sys_seccomp\\(op: 1"),
    ("system call filter; created; start; agent's report; transaction", "sys_fdatasync\\(fd"),
    ("ledger: RUNNING is durable", "sys_fdatasync -> 0x0"),
    ("the client's next look (every ms) sees it", "RUNNING is seen"),
]


def trace(count):
    """The lines of the kernel's trace of a run of the benchmark."""
    with tempfile.TemporaryDirectory() as tracefs:
        subprocess.run(["mount", "-t", "tracefs", "tracefs", tracefs], check=True)
        try:
            return trace_in(f"{tracefs}/instances/longshore-bench", count)
        finally:
            subprocess.run(["umount", tracefs], check=True)


def trace_in(instance, count):
    def write(name, text):
        with open(f"{instance}/{name}", "w") as file:
            file.write(text)

    target = os.environ.get("CARGO_TARGET_DIR", "target")
    os.mkdir(instance)
    try:
        write("trace_clock", "mono")
        write("buffer_size_kb", "8192")
        write("options/event-fork", "1")
        for event in EVENTS:
            write(f"events/{event}/enable", "1")
        binary = f"{target}/release/longshore"
        bench = [f"{target}/release/longshore-bench", "run-task", "--no-docker", "--longshore", binary]
        bench += ["--work", f"{target}/bench", "--count", str(count), "--trace", instance]
        subprocess.run(bench, check=True)
        with open(f"{instance}/trace", errors="replace") as file:
            return file.read().splitlines()
    finally:
        os.rmdir(instance)


def parse(line):
    match = re.match(r" *.+-\d+ +\[\d+\] +\S+ +(\d+\.\d+): (.*)", line)
    return match and (float(match[1]), match[2])


def runs(events):
    """The times of all marks of each run that has them all."""
    starts = [i for i, (_, text) in enumerate(events) if MARKS[0][1] in text]
    for start, end in zip(starts, [*starts[1:], len(events)]):
        times, at = [], start
        for _, pattern in MARKS:
            while at < end and not re.search(pattern, events[at][1]):
                at += 1
            if at == end:
                break
            times.append(events[at][0])
            at += 1
        if len(times) == len(MARKS):
            yield times


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    os.chdir(os.path.dirname(os.path.abspath(__file__)) + "/..")
    lines = trace(count)
    if os.environ.get("TRACE"):
        with open(os.environ["TRACE"], "w") as file:
            file.write("\n".join(lines))
    found = list(runs([event for event in map(parse, lines) if event]))
    if not found:
        sys.exit("trace.py: no run left all marks; set TRACE=FILE to keep the trace")
    print(f"\nwhere the time goes: medians of {len(found)} runs, in ms")
    for i, (what, _) in enumerate(MARKS):
        step = statistics.median((t[i] - t[i - 1]) * 1e3 if i else 0.0 for t in found)
        total = statistics.median((t[i] - t[0]) * 1e3 for t in found)
        print(f"{total:8.2f} {step:+7.2f}  {what}")


main()
