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
import subprocess
import time

from pair import count, scratch, show, two, wait_for


def run(*words):
    out = subprocess.run([str(w) for w in words], text=True, stdout=subprocess.PIPE, check=True).stdout
    print(out, end="", flush=True)
    return {line.split()[0]: float(line.split()[1]) for line in out.splitlines() if line.strip()}


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("1\n")


def warm(top, mib):
    """Memory touched for the first time is dear on a virtual machine: touch it before, and give it back."""
    with open(top / "warm", "wb") as f:
        for _ in range(mib):
            f.write(bytes(1 << 20))
    os.unlink(top / "warm")


def small_files(a, b, top, number, tag):
    source = top / "source"
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


def big_file(a, b, mib, tag):
    with open(a.mount / tag, "wb") as f:
        for _ in range(mib):
            f.write(os.urandom(1 << 20))
    wait_for("the large file", lambda: (b.mount / tag).exists()
             and (b.mount / tag).stat().st_size == mib << 20)
    drop_caches()
    warm(b.mount.parent, 3 * mib)
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
    with scratch("twodevices.", o.dir) as top, two(build, top) as (a, b):
        for k in range(o.rounds):
            run(build / "bench/machine_waits", top)
            run(build / "bench/machine_calls")
            run(build / "bench/visible", a.mount, b.mount, o.samples)
            small_files(a, b, top, o.files, f"small{k}")
            big_file(a, b, o.mib, f"big{k}")


main()
