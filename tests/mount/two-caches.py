#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-caches - what the kernel remembers of a mount is never wrong for longer than a moment

The kernel is told to believe names and attributes for a day; so each change from elsewhere must
reach it exactly.  The last case compares what a mount shows through hot caches with what it shows
when it is mounted afresh.
"""

import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import eventually, pair, read, run, same, tree, write  # noqa: E402


def names_and_attributes(make):
    """Whatever was looked at before, what another device does to it shows: names, modes, sizes."""
    a, b = pair(make)
    os.makedirs(a.path("d", "e"))
    write(a.path("d", "f"), b"one")
    write(a.path("x"), b"x")
    eventually(lambda: read(b.path("x")) == b"x", what="x")

    assert not os.path.exists(b.path("d", "new"))
    write(a.path("d", "new"), b"")
    eventually(lambda: os.path.exists(b.path("d", "new")), what="a name looked for in vain before")

    os.chmod(a.path("d", "f"), 0o640)
    eventually(lambda: os.stat(b.path("d", "f")).st_mode & 0o777 == 0o640, what="the mode")
    os.utime(a.path("d", "f"), ns=(5, 5))
    eventually(lambda: os.stat(b.path("d", "f")).st_mtime_ns == 5, what="the time")
    write(a.path("d", "f"), b"longer than one")
    eventually(lambda: os.stat(b.path("d", "f")).st_size == 15, what="the size")
    assert read(b.path("d", "f")) == b"longer than one"
    os.truncate(a.path("d", "f"), 4)
    eventually(lambda: read(b.path("d", "f")) == b"long", what="the truncation")

    fd = os.open(b.path("d", "e"), os.O_RDONLY | os.O_DIRECTORY)
    os.rename(a.path("d", "e"), a.path("moved"))
    eventually(lambda: os.path.isdir(b.path("moved")), what="a directory that moved")
    assert not os.path.exists(b.path("d", "e"))
    write(a.path("moved", "inside"), b"1")
    eventually(lambda: os.listdir(fd) == ["inside"], what="a name in a directory held open")
    os.close(fd)

    os.unlink(a.path("x"))
    eventually(lambda: not os.path.exists(b.path("x")), what="the removal")
    os.link(a.path("d", "f"), a.path("hard"))
    eventually(lambda: os.stat(b.path("d", "f")).st_nlink == 2, what="the link count")
    ino = os.stat(b.path("hard")).st_ino
    assert ino == os.stat(b.path("d", "f")).st_ino
    os.setxattr(a.path("hard"), "user.k", b"v")
    eventually(lambda: os.listxattr(b.path("d", "f")) == ["user.k"], what="the attribute")


def replaced_under_a_reader(make):
    """A file replaced on the other device is old or new here, never neither, never a mixture."""
    a, b = pair(make)
    size = 200_000
    write(a.path("t"), b"0" * size)
    eventually(lambda: len(read(b.path("t"))) == size, what="t")
    stop = threading.Event()
    seen, wrong = set(), []

    def reader():
        while not stop.is_set():
            try:
                data = read(b.path("t"))
            except OSError as e:
                wrong.append(repr(e))
                continue
            seen.add(data[:1])
            if len(data) != size or data.strip(data[:1]):
                wrong.append((len(data), {data[k:k + 1] for k in range(0, len(data), 4096)}))

    threads = [threading.Thread(target=reader) for _ in range(2)]
    for t in threads:
        t.start()
    for k in range(30):
        digit = b"%d" % (k % 10)
        if k % 2:
            write(a.path("temporary"), digit * size)
            os.rename(a.path("temporary"), a.path("t"))
        else:
            write(a.path("t"), digit * size)
        eventually(lambda d=digit: d in seen, what="the next version")
        seen.clear()
    stop.set()
    for t in threads:
        t.join()
    assert not wrong, (len(wrong), wrong[:3])


def old_handles(make):
    """Handle and mapping keep their version, size and number; what is written by one merges."""
    a, b = pair(make)
    write(a.path("f"), b"a" * 100_000)
    os.link(a.path("f"), a.path("g"))
    eventually(lambda: len(read(b.path("g"))) == 100_000, what="f")
    fd = os.open(b.path("f"), os.O_RDWR)
    with mmap.mmap(fd, 100_000, prot=mmap.PROT_READ) as m:
        assert m[0:1] == b"a"
        ino = os.fstat(fd).st_ino
        write(a.path("f"), b"b" * 50_000)
        for name in "f", "g":
            eventually(lambda n=name: read(b.path(n)) == b"b" * 50_000, what="the new version")
            assert os.stat(b.path(name)).st_ino == ino
        assert os.fstat(fd).st_size == 100_000 and os.fstat(fd).st_ino == ino
        assert m[99_999:] == b"a" and m[50_000:50_001] == b"a"
    assert os.pread(fd, 10, 99_990) == b"a" * 10
    os.pwrite(fd, b"w", 0)
    assert os.pread(fd, 2, 0) == b"wa" and read(b.path("f"))[:2] == b"bb"
    os.close(fd)
    shown = same(a, b)
    contents = {what for _, what in shown.values()}
    assert b"b" * 50_000 in contents, "the other device's version is lost"
    assert b"w" + b"a" * 99_999 in contents, "what was written by the old handle is lost"


def unlinked_elsewhere(make):
    """A file removed on the other device is read to its end by who has it open here."""
    a, b = pair(make)
    write(a.path("f"), b"a" * 100_000)
    eventually(lambda: len(read(b.path("f"))) == 100_000, what="f")
    with open(b.path("f"), "rb") as f:
        os.unlink(a.path("f"))
        eventually(lambda: not os.path.exists(b.path("f")), what="the removal")
        assert len(f.read()) == 100_000
        assert os.fstat(f.fileno()).st_nlink == 0


def removed_and_back(make):
    """A folder removed here, and kept for what another device made in it, can be worked in."""
    a, b = pair(make)
    for name in "d", "over", "by":
        os.mkdir(a.path(name))
        eventually(lambda n=name: os.path.isdir(b.path(n)), what=name)
    same(a, b)
    held = [os.open(b.path(n), os.O_RDONLY | os.O_DIRECTORY) for n in ("d", "over")]
    a.stop()
    os.rmdir(b.path("d"))
    os.rename(b.path("by"), b.path("over"))
    pid = b.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        a.start()
        write(a.path("d", "unseen"), b"1")
        write(a.path("over", "unseen"), b"1")
    finally:
        os.kill(pid, signal.SIGCONT)
    for name in "d", "over":
        eventually(lambda n=name: read(b.path(n, "unseen")) == b"1", what=name + " back")
        write(b.path(name, "new"), b"2")
    same(a, b)
    for fd in held:
        os.close(fd)


def waiting_reads_hold_up_nobody(make):
    """Hundreds of reads that wait for an absent peer: names and local files answer at once."""
    a, b = pair(make)
    files = 300
    os.mkdir(a.path("far"))
    for k in range(files):
        write(a.path("far", str(k)), os.urandom(70_000))
    write(b.path("near"), b"near" * 1000)
    same_names = [str(k) for k in range(files)]
    eventually(lambda: sorted(os.listdir(b.path("far"))) == sorted(same_names), 60, "names")
    eventually(lambda: b.settled() and a.settled(), what="quiet")
    pid = a.pid()
    os.kill(pid, signal.SIGSTOP)  # connected still, and silent
    try:
        readers = [subprocess.Popen(["cat", b.path("far", str(k))], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL) for k in range(files)]
        begun, slowest = time.monotonic(), 0
        while time.monotonic() - begun < 1:
            t = time.monotonic()
            os.stat(b.path("far", "7"))
            assert not os.path.exists(b.path("nothing"))
            assert read(b.path("near")) == b"near" * 1000
            write(b.path("written"), b"w")
            os.statvfs(b.dir)
            slowest = max(slowest, time.monotonic() - t)
        assert slowest < 1, slowest
        waiting = [p for p in readers if p.poll() is None]
        assert len(waiting) > files // 2, "the reads did not wait"
        for p in waiting[:20]:
            p.kill()
        for p in waiting[:20]:
            p.wait(5)  # a fatal signal ends a wait
    finally:
        os.kill(pid, signal.SIGCONT)
    for p in readers:
        p.wait(60)
    assert all(p.returncode in (0, -9, 1) for p in readers)
    same(a, b)


def act(rng, top):
    """One random operation on a small tree; failures are part of it."""
    def name():
        parts = [rng.choice("abcd") for _ in range(rng.randrange(1, 4))]
        return os.path.join(top, *parts)

    what = rng.randrange(10)
    try:
        if what < 2:
            os.makedirs(name(), exist_ok=True)
        elif what < 5:
            write(name(), os.urandom(8) * rng.randrange(1, 2000))
        elif what < 6:
            os.unlink(name())
        elif what < 8:
            os.rename(name(), name())
        elif what < 9:
            os.link(name(), name())
        else:
            os.chmod(name(), rng.choice([0o600, 0o644, 0o755, 0o700]))
    except OSError:
        pass


def walk(top, stop):
    """Keep the kernel's caches hot."""
    while not stop.is_set():
        try:
            for folder, folders, files in os.walk(top):
                for n in folders + files:
                    os.lstat(os.path.join(folder, n))
                for n in "abcd":
                    os.path.exists(os.path.join(folder, n))
                for n in files[:2]:
                    read(os.path.join(folder, n))
        except OSError:
            pass


def attributes(top):
    shown = {}
    for folder, folders, files in os.walk(top):
        for n in folders + files:
            path = os.path.join(folder, n)
            st = os.lstat(path)
            shown[os.path.relpath(path, top)] = (st.st_ino, st.st_mode, st.st_size,
                                                 st.st_mtime_ns, st.st_nlink)
    return shown


def hot_and_cold(make):
    """After random work on both devices at once, hot caches show what a fresh mount shows."""
    a, b = pair(make)
    for _ in range(4):
        stop = threading.Event()
        seeds = random.randrange(2**32), random.randrange(2**32)
        walkers = [threading.Thread(target=walk, args=(d.dir, stop)) for d in (a, b)]
        for t in walkers:
            t.start()
        workers = [threading.Thread(target=lambda d=d, k=k: [
            act(rng, d.dir) for rng in [random.Random(seeds[k])] for _ in range(150)])
            for k, d in enumerate((a, b))]
        for t in workers:
            t.start()
        for t in workers:
            t.join()
        stop.set()
        for t in walkers:
            t.join()
        same(a, b)
    for d in (a, b):
        hot = attributes(d.dir), tree(d.dir)
        d.run("umount", d.dir)
        eventually(lambda d=d: d.status()["mount"] == "", what="it to be unmounted")
        d.run("mount", "docs", d.dir)
        cold = attributes(d.dir), tree(d.dir)
        assert hot[1] == cold[1], "contents differ between hot and cold caches"
        wrong = {p: (hot[0].get(p), cold[0].get(p)) for p in set(hot[0]) | set(cold[0])
                 if hot[0].get(p) != cold[0].get(p)}
        assert not wrong, wrong


if __name__ == "__main__":
    run(names_and_attributes, replaced_under_a_reader, old_handles, unlinked_elsewhere,
        removed_and_back, waiting_reads_hold_up_nobody, hot_and_cold)
