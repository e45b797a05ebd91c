# SPDX-License-Identifier: MIT
"""What benchmarks of two daemons share: devices on loopback, waiting, and how a figure is told."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time


class Device:
    """One peerfs device: its home and its mount point, below one scratch directory."""

    def __init__(self, build, scratch, name):
        self.build, self.name = build, name
        self.home, self.mount = scratch / f"{name}.home", scratch / name
        self.env = {**os.environ, "PEERFS_HOME": str(self.home)}
        self.cli("init", "--name", name, "--listen", "127.0.0.1:0")

    def cli(self, *words):
        done = subprocess.run([self.build / "peerfs", *words], env=self.env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode:
            sys.exit(f"peerfs {' '.join(words[:2])} on {self.name}: {done.stderr.strip()}")
        return done.stdout

    def stop(self):
        for words in (["umount", str(self.mount), "--lazy"], ["daemon", "stop"]):
            subprocess.run([self.build / "peerfs", *words], env=self.env, check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def show(name, value, unit):
    print(f"{name} {value:.6g} {unit}", flush=True)


def wait_for(what, condition, seconds=120, pause=0.002):
    """Looks again and again; what is measured by it is late by one pause at most."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(pause)


def count(path):
    try:
        return len(os.listdir(path))
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def scratch(prefix, where=None):
    """A directory that is gone afterwards, whatever happens; so SIGTERM ends a run in good order."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    top = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=where))
    try:
        yield top
    finally:
        shutil.rmtree(top, ignore_errors=True)


@contextlib.contextmanager
def two(build, top):
    """Two devices that share one mounted folder, stopped afterwards."""
    made = []
    try:
        for name in "a", "b":
            made.append(Device(build, top, name))
        made[0].cli("create", "bench", str(made[0].mount))
        made[1].cli("join", made[0].cli("invite", "bench", "--print").strip(), str(made[1].mount))
        yield made
    finally:
        for device in made:
            device.stop()
