#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""twodevices - two daemons on loopback, measured beside the machine's own figures in the same run

	twodevices.py BUILD [--dir SCRATCH] [--rounds N] [--samples N] [--files N] [--mib N]

BUILD holds peerfs, peerfsd and the bench programs.  SCRATCH (a temporary directory by default; a tmpfs
keeps the host's file system out of the figures) takes stores and mounts, and is removed.  Prints lines
"name value unit" for bench/report.py, and "# " lines with the ratios to the aims.  Needs /dev/fuse, and root
to drop the page cache.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time


class Device:
    def __init__(self, build, scratch, name):
        self.build, self.name = build, name
        self.home, self.mount = scratch / f"{name}.home", scratch / name
        self.env = {**os.environ, "PEERFS_HOME": str(self.home)}
        self.cli("init", "--name", name, "--listen", "127.0.0.1:0")

    def cli(self, *words):
        done = subprocess.run([self.build / "peerfs", *words], env=self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"peerfs {' '.join(words[:2])} on {self.name}: {done.stderr.strip()}")
        return done.stdout

    def stop(self):
        for words in (["umount", str(self.mount)], ["daemon", "stop"]):
            subprocess.run([self.build / "peerfs", *words], env=self.env,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def show(name, value, unit):
    print(f"{name} {value:.3f} {unit}", flush=True)


def run(*words):
    out = subprocess.run([str(w) for w in words], text=True, stdout=subprocess.PIPE, check=True).stdout
    print(out, end="", flush=True)
    return {line.split()[0]: float(line.split()[1]) for line in out.splitlines() if line.strip()}


def wait_for(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.002)


def count(path):
    try:
        return len(os.listdir(path))
    except FileNotFoundError:
        return 0


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("1\n")


def warm(scratch, mib):
    """Memory touched for the first time is dear on a virtual machine: touch it before, and give it back."""
    with open(scratch / "warm", "wb") as f:
        for _ in range(mib):
            f.write(bytes(1 << 20))
    os.unlink(scratch / "warm")


def small_files(a, b, scratch, number, tag):
    source = scratch / "source"
    if not source.exists():
        source.mkdir()
        for k in range(number):
            (source / f"f{k}").write_bytes(os.urandom(16384))
    start = time.monotonic()
    subprocess.run(["cp", "-r", source, a.mount / tag], check=True)
    copied = time.monotonic()
    show("copy-in", copied - start, "s")
    wait_for("listing", lambda: count(b.mount / tag) == number)
    show("small-listed", time.monotonic() - copied, "s")
    subprocess.run(f"cd '{b.mount / tag}' && cat * >/dev/null", shell=True, check=True)
    show("small-read", time.monotonic() - copied, "s")


def big_file(a, b, scratch, mib, tag):
    with open(a.mount / tag, "wb") as f:
        for _ in range(mib):
            f.write(os.urandom(1 << 20))
    wait_for("the large file", lambda: (b.mount / tag).exists()
             and (b.mount / tag).stat().st_size == mib << 20)
    drop_caches()
    warm(scratch, 3 * mib)
    start = time.monotonic()
    with open(b.mount / tag, "rb", buffering=0) as f:
        while f.read(1 << 20):
            pass
    show("cold-read", (time.monotonic() - start) * 1e9 / (mib << 20), "ns/byte")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build", type=pathlib.Path)
    p.add_argument("--dir")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--samples", type=int, default=1000)
    p.add_argument("--files", type=int, default=10000)
    p.add_argument("--mib", type=int, default=1024)
    o = p.parse_args()
    build = o.build.resolve()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="twodevices.", dir=o.dir))
    devices = []
    try:
        a, b = Device(build, scratch, "a"), Device(build, scratch, "b")
        devices = [a, b]
        a.cli("create", "bench", str(a.mount))
        b.cli("join", a.cli("invite", "bench", "--print").strip(), str(b.mount))
        for k in range(o.rounds):
            run(build / "bench/machine_waits", scratch)
            run(build / "bench/machine_calls")
            run(build / "bench/visible", a.mount, b.mount, o.samples)
            small_files(a, b, scratch, o.files, f"small{k}")
            big_file(a, b, scratch, o.mib, f"big{k}")
    finally:
        for d in devices:
            d.stop()
        shutil.rmtree(scratch, ignore_errors=True)


main()
