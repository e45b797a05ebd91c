#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""live - a change on one device to the inotify event on another, beside the loopback round trip

	live.py BUILD [--dir SCRATCH] [--rounds N] [--samples N]

BUILD holds peerfs, peerfsd, peerfs-poke and the bench programs.  SCRATCH (a temporary directory by
default) takes stores and mounts, and is removed.  Rounds of machine_waits and live alternate.
Prints lines "name value unit" for bench/report.py.  Needs /dev/fuse.
"""

import argparse
import json
import pathlib
import subprocess

from pair import scratch, two, wait_for


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("--dir")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--samples", type=int, default=1000)
    o = p.parse_args()
    build = o.build.resolve()
    with scratch("live.", o.dir) as top, two(build, top) as (a, b):
        wait_for("peerfs-poke", lambda: json.loads(b.cli("status", "--json"))["folders"][0]["inotify"])
        for _ in range(o.rounds):
            subprocess.run([build / "bench/machine_waits", top], check=True)
            subprocess.run([build / "bench/live", a.mount, b.mount, str(o.samples)], check=True)


main()
