#!/usr/bin/env python3
"""Runs Amazon's ECS agent against Longshore and says what passed.

Usage: run.py --longshore BINARY --agent BINARY [--images DIR] [--record FILE] [--only PART] [--keep]

Needs root, docker.io, iptables, iproute2 and skopeo; works in namespaces of its own, without a way out, and
leaves nothing behind. The first scenario always runs; --only runs those besides it whose name has PART in it.
"""

import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback

INSIDE = "LONGSHORE_REAL_AGENT_INSIDE"


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("--longshore", "--agent"):
        parser.add_argument(name, required=True, type=os.path.abspath)
    parser.add_argument("--images", default="examples/images/out", type=os.path.abspath)
    parser.add_argument("--record", type=os.path.abspath, help="where the conversation is written")
    parser.add_argument("--only", default="", help="a part of the scenarios' names")
    parser.add_argument("--keep", action="store_true", help="keep logs and folders")
    return parser.parse_args()


def control_groups(kinds=("ecs", "docker")):
    """The folders of Docker's and the agent's control groups, inner ones first."""
    roots = pathlib.Path("/sys/fs/cgroup")
    tops = [path for kind in kinds for path in [*roots.glob(kind), *roots.glob(f"*/{kind}")]]
    return [folder for top in tops for folder, _, _ in os.walk(top, topdown=False)]


def remove_control_groups(known):
    """Removes those that were not there before; they are empty by now."""
    for folder in control_groups():
        if folder not in known:
            try:
                os.rmdir(folder)
            except OSError:
                pass


def outside():
    """Makes the namespaces and plays inside them. All that runs there ends with its first process."""
    options = arguments()
    before, folder = set(control_groups()), tempfile.mkdtemp(prefix="longshore-real-agent-")
    command = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork",
               "--kill-child", "--mount-proc", sys.executable, "-u", *sys.argv]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = os.spawnvpe(os.P_WAIT, "unshare", command, {**os.environ, INSIDE: folder})
    remove_control_groups(before)
    if options.keep:
        print(f"logs and folders: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


def inside(folder):
    from scenarios import SCENARIOS
    from stage import Stage

    options = arguments()
    stage = Stage(folder, options.longshore, options.agent, options.images)
    wanted = [one for one in SCENARIOS if options.only in one.__name__ or one is SCENARIOS[0]]
    rows, failed = [], 0
    try:
        stage.build()
        stage.start_server()
        stage.open_tee()
        for play in wanted:
            began, told = time.monotonic(), "passed"
            try:
                stage.recording.add(dir="scenario", name=play.__name__)
                play(stage)
            except Exception as error:  # What went wrong is told in the table.
                failed += 1
                told = f"FAILED: {error}"
                if options.keep:
                    traceback.print_exc()
            rows.append((play.__doc__.strip(), told, time.monotonic() - began))
            print(f"{rows[-1][2]:6.1f} s  {rows[-1][0]}: {told}", flush=True)
            if play is wanted[0] and failed:
                break
    finally:
        if options.record:
            stage.recording.write(options.record)
        stage.close()
    print(f"\n{len(rows) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if INSIDE in os.environ:
        inside(os.environ[INSIDE])
    else:
        outside()
