#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chaos - scripts/chaos for a short while, and that nothing is left of a run that is ended

With PEERFS_FULL=1 longer, with more devices and new seeds.
"""

import glob
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CHAOS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "chaos")
SHORT = [(3, 8, 1)]
LONG = [(nodes, 60, random.randrange(1 << 32)) for nodes in (3, 5, 8)]


def remains(top):
    """Processes and mounts that have to do with a directory, and what is in it."""
    found = os.listdir(top)
    for path in glob.glob("/proc/[0-9]*/environ") + ["/proc/self/mounts"]:
        try:
            with open(path, "rb") as f:
                if top.encode() in f.read():
                    found.append(path)
        except OSError:
            pass  # it ended just now
    return found


def ended_by(number):
    """A run that gets this signal in the middle of its work leaves nothing behind."""
    top = tempfile.mkdtemp(prefix="peerfs-chaos-test.")
    run = subprocess.Popen([CHAOS, "--seconds", "60"], stdout=subprocess.PIPE,
                           env=dict(os.environ, TMPDIR=top))
    said = b""
    end = time.monotonic() + 60
    while b"at work" not in said and time.monotonic() < end:
        if select.select([run.stdout], [], [], 1)[0]:
            more = os.read(run.stdout.fileno(), 4096)
            if not more:
                break
            said += more
    assert b"at work" in said and len(remains(top)) > 4, said
    run.send_signal(number)
    run.wait(60)
    while remains(top):
        if time.monotonic() > end:
            raise AssertionError(f"left after signal {number}: {remains(top)}")
        time.sleep(0.01)  # between two looks
    run.stdout.close()
    shutil.rmtree(top)
    print(f"nothing left after signal {number}", flush=True)


def main():
    for nodes, seconds, seed in SHORT + (LONG if os.environ.get("PEERFS_FULL") == "1" else []):
        code = subprocess.call([CHAOS, "--nodes", str(nodes), "--seconds", str(seconds),
                                "--seed", str(seed)])
        if code:
            return code
    for number in signal.SIGTERM, signal.SIGINT, signal.SIGKILL:
        ended_by(number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
