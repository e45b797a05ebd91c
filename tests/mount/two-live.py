#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-live - programs that watch a mount hear of what another device does, and nothing depends on it

A marker, made by the other device behind each change, says when all events must have come: those
before it are compared as a whole, so that an event too many fails as one too few does.
"""

import ctypes
import errno
import importlib
import itertools
import mmap
import os
import pwd
import random
import select
import shutil
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import (PEERFS, Device, eventually, pair, read, run, same, write)  # noqa: E402
from inotify import Watch  # noqa: E402

AT_FDCWD = -100
EXCHANGE = 2
numbers = itertools.count()


class Busy(threading.Thread):
    """Renames in a folder of a device until told to stop."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.stopped = threading.Event()
        for k in range(20):
            os.mknod(os.path.join(folder, f"file {k}"))

    def run(self):
        for k in itertools.cycle(range(20)):
            if self.stopped.is_set():
                return
            name = os.path.join(self.folder, f"file {k}")
            os.rename(name, name + " there")
            os.rename(name + " there", name)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join()


def hear(watch, events):
    """Until so many events have come."""
    heard = 0
    while heard < events:
        assert select.select([watch.fd], [], [], 20)[0], "no events"
        heard += len(watch.take())


def live(d):
    eventually(lambda: d.status()["inotify"], what="peerfs-poke")


def pokes(d):
    """The process ids of peerfs-poke for this device's mount."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            args = read(f"/proc/{pid}/cmdline").split(b"\0")
        except OSError:
            continue
        if os.path.basename(args[0]) == b"peerfs-poke" and os.fsencode(d.dir) in args:
            found.append(int(pid))
    return found


class Watched:
    """A folder of both devices, watched on b."""

    def __init__(self, a, b, *names):
        self.a, self.b, self.names = a, b, names
        self.watch = Watch(b.path(*names))
        marker = f"marker {next(numbers)}"
        os.mkdir(a.path(*names, marker))  # what was done before may still be told
        self.watch.until([("CREATE", b.path(*names), marker + "/")])

    def told(self, change, *wanted):
        """change() is told on b by exactly these events, in this order: (kind, name)."""
        marker = f"marker {next(numbers)}"
        change()
        eventually(self.a.settled, what="contents sealed, which the marker would overtake")
        os.mkdir(self.a.path(*self.names, marker))
        where = self.b.path(*self.names)
        seen = self.watch.until([("CREATE", where, marker + "/")])
        seen = [(kind, name) for kind, path, name in seen if path == where]
        assert seen == list(wanted) + [("CREATE", marker + "/")], (wanted, seen)


def exchange(one, two):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(two), EXCHANGE) == 0


def each_kind(make):
    """Every kind of change is told once, as if it had been made here."""
    a, b = pair(make)
    live(b)
    os.makedirs(a.path("d", "deep", "er"))
    eventually(lambda: os.path.isdir(b.path("d", "deep", "er")), what="d")
    w = Watched(a, b, "d")

    def on(*names):
        return a.path("d", *names)

    w.told(lambda: write(on("f"), b"one"), ("CREATE", "f"))
    w.told(lambda: write(on("f"), b"longer"), ("MODIFY", "f"))
    assert read(b.path("d", "f")) == b"longer"
    w.told(lambda: os.chmod(on("f"), 0o640), ("ATTRIB", "f"))
    w.told(lambda: os.utime(on("f"), ns=(5, 5)), ("ATTRIB", "f"))
    w.told(lambda: os.setxattr(on("f"), "user.k", b"v"), ("ATTRIB", "f"))
    w.told(lambda: os.truncate(on("f"), 2), ("MODIFY", "f"))
    w.told(lambda: os.rename(on("f"), on("g")), ("MOVED_FROM", "f"), ("MOVED_TO", "g"))
    cookies = [kinds for kinds in w.watch.cookies.values() if len(kinds) == 2]
    assert cookies == [[("MOVED_FROM", "f"), ("MOVED_TO", "g")]], w.watch.cookies
    w.told(lambda: os.link(on("g"), on("h")), ("CREATE", "h"))
    w.told(lambda: os.unlink(on("g")), ("DELETE", "g"))
    w.told(lambda: os.mkdir(on("s")), ("CREATE", "s/"))
    w.told(lambda: write(on("s", "below"), b"1"))
    w.told(lambda: os.rename(on("s"), on("t")), ("MOVED_FROM", "s/"), ("MOVED_TO", "t/"))
    assert read(b.path("d", "t", "below")) == b"1"
    w.told(lambda: os.symlink("nowhere", on("l")), ("CREATE", "l"))
    w.told(lambda: os.mkfifo(on("p")), ("CREATE", "p"))
    w.told(lambda: os.rename(on("h"), a.path("h")), ("MOVED_FROM", "h"))
    w.told(lambda: os.rename(a.path("h"), on("h")), ("MOVED_TO", "h"))
    w.told(lambda: os.rename(on("t"), on("deep", "t")), ("MOVED_FROM", "t/"))
    w.told(lambda: exchange(on("l"), on("p")), ("MOVED_FROM", "l"), ("MOVED_TO", "p"),
           ("MOVED_FROM", "p"), ("MOVED_TO", "l"))
    for name in "l", "p", "h":
        w.told(lambda n=name: os.unlink(on(n)), ("DELETE", name))
    w.told(lambda: shutil.rmtree(on("deep")), ("DELETE", "deep/"))
    same(a, b)
    assert b.status()["inotify_missed"] == 0


def saved_by_rename(make):
    """A file saved by way of a temporary name is one rename over it; who watches it is told, too."""
    a, b = pair(make)
    live(b)
    write(a.path("text"), b"old")
    eventually(lambda: read(b.path("text")) == b"old", what="text")
    w = Watched(a, b)
    itself = Watch(b.path("text"))

    def save():
        write(a.path(".text.new"), b"new" * 5000)
        os.rename(a.path(".text.new"), a.path("text"))

    save()
    itself.until([("DELETE_SELF", b.path("text"), "")])
    assert read(b.path("text")) == b"new" * 5000
    seen = [(k, n) for k, _, n in w.watch.until([("MOVED_TO", b.dir, "text")])]
    assert seen[-2:] == [("MOVED_FROM", ".text.new"), ("MOVED_TO", "text")], seen
    assert set(seen[:-2]) <= {("CREATE", ".text.new")}, seen  # told before it was renamed
    same(a, b)


def watched_themselves(make):
    """Events of a file or folder that is itself watched reach its own watch; links left stay."""
    a, b = pair(make)
    live(b)
    write(a.path("f"), b"one")
    os.link(a.path("f"), a.path("link"))
    os.mkdir(a.path("d"))
    eventually(lambda: read(b.path("link")) == b"one" and os.path.isdir(b.path("d")), what="f")
    w = Watch(b.path("f"), b.path("d"))
    write(a.path("f"), b"two")
    w.until([("MODIFY", b.path("f"), "")])
    os.unlink(a.path("f"))
    eventually(lambda: not os.path.exists(b.path("f")), what="the removal")
    os.chmod(a.path("d"), 0o700)
    w.until([("ATTRIB", b.path("d"), "")])
    os.rename(a.path("d"), a.path("e"))
    seen = w.until([("MOVE_SELF", b.path("d"), "")])
    assert ("DELETE_SELF", b.path("f"), "") not in seen, "another link of it is left"
    write(a.path("link"), b"three")
    w.until([("MODIFY", b.path("f"), "")])
    os.unlink(a.path("link"))
    w.until([("DELETE_SELF", b.path("f"), "")])
    os.rmdir(a.path("e"))
    w.until([("DELETE_SELF", b.path("d"), "")])
    same(a, b)


def no_echo(make):
    """What is told makes no record: nothing goes back, and a reader is told as a writer is."""
    a, b, c = *pair(make), make("gamma")
    c.join(a.invite("--role", "reader"))
    for d in a, b, c:
        live(d)
    os.mkdir(a.path("d"))
    for d in b, c:
        eventually(lambda d=d: os.path.isdir(d.path("d")), what="d")
    watches = [Watch(d.path("d")) for d in (b, c)]
    for k in range(40):
        write(a.path("d", f"f{k}"), b"%d" % k)
        os.chmod(a.path("d", f"f{k}"), 0o600)
        os.rename(a.path("d", f"f{k}"), a.path("d", f"g{k}"))
        if k % 2:
            os.unlink(a.path("d", f"g{k}"))
    os.mkdir(a.path("d", "last"))
    for d, w in zip((b, c), watches):
        w.until([("CREATE", d.path("d"), "last/")])
    same(a, b, c)
    eventually(lambda: len({d.status()["bundles"] for d in (a, b, c)}) == 1, what="all bundles")
    before = a.status()["bundles"]
    os.mkdir(b.path("b's own"))  # behind anything that b would have had to say before
    for d in a, c:
        eventually(lambda d=d: os.path.isdir(d.path("b's own")), what="b's own")
    eventually(lambda: {d.status()["bundles"] for d in (a, b, c)} == {before + 1},
               what="one bundle for the one change of b's own")


def own_changes_once(make):
    """What a program does here itself is told by the kernel as ever, and not again."""
    a, b = pair(make)
    live(b)
    os.mkdir(b.path("d"))
    eventually(lambda: os.path.isdir(a.path("d")), what="d")
    w = Watched(a, b, "d")

    def work():
        write(b.path("d", "f"), b"1" * 100_000)
        os.chmod(b.path("d", "f"), 0o600)
        os.rename(b.path("d", "f"), b.path("d", "g"))
        eventually(lambda: read(a.path("d", "g")) == b"1" * 100_000, what="g")
        os.unlink(b.path("d", "g"))
        eventually(lambda: not os.path.exists(a.path("d", "g")), what="the removal")

    w.told(work, ("CREATE", "f"), ("MODIFY", "f"), ("ATTRIB", "f"), ("MOVED_FROM", "f"),
           ("MOVED_TO", "g"), ("DELETE", "g"))
    same(a, b)


def switched_off(make):
    """inotify = no: changes come as ever, events do not, and no process is there."""
    a, b = pair(make)
    b.run("umount", b.dir)
    b.stop()
    b.run("config", "set", "folder.docs.inotify", "no")
    b.start()
    assert not b.status()["inotify"] and not pokes(b)
    w = Watch(b.dir)
    write(a.path("f"), b"1")
    eventually(lambda: read(b.path("f")) == b"1", what="f")
    os.unlink(a.path("f"))
    eventually(lambda: not os.path.exists(b.path("f")), what="the removal")
    os.mkdir(b.path("own"))
    assert w.until([("CREATE", b.dir, "own/")]) == [("CREATE", b.dir, "own/")]
    command = os.path.join(os.path.dirname(PEERFS), "peerfs-poke")
    p = subprocess.run([command, "docs", b.dir], env=dict(os.environ, PEERFS_HOME=b.home),
                       stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert p.returncode == 9 and "switched off" in p.stderr, p


def open_files_and_folders(make):
    """Old handles and mappings keep their version; whoever is told finds the new one by name."""
    a, b = pair(make)
    live(b)
    os.mkdir(a.path("d"))
    write(a.path("d", "f"), b"0" * 100_000)
    eventually(lambda: len(read(b.path("d", "f"))) == 100_000, what="f")
    folder = os.open(b.path("d"), os.O_RDONLY | os.O_DIRECTORY)
    fd = os.open(b.path("d", "f"), os.O_RDONLY)
    w = Watch(b.path("d"))
    with mmap.mmap(fd, 100_000, prot=mmap.PROT_READ) as m:
        for digit in b"123456789":
            new = bytes([digit]) * (100_000 - digit)
            write(a.path("d", "f"), new)
            w.until([("MODIFY", b.path("d"), "f")])
            assert read(b.path("d", "f")) == new, "told of what is not there yet"
            assert os.stat(b.path("d", "f")).st_size == len(new)
            assert os.pread(fd, 100_000, 0) == b"0" * 100_000
            assert m[:] == b"0" * 100_000
    os.close(fd)
    for k in range(50):
        write(a.path("d", f"n{k}"), b"")
        w.until([("CREATE", b.path("d"), f"n{k}")])
        assert f"n{k}" in os.listdir(folder)
    os.rename(a.path("d"), a.path("e"))
    write(a.path("e", "in e"), b"")
    eventually(lambda: "in e" in os.listdir(folder), what="a name in the folder that moved")
    os.close(folder)
    same(a, b)


class Shadow(threading.Thread):
    """What a program believes a folder to hold, who lists it once and then listens."""

    def __init__(self, folder):
        super().__init__()
        self.watch = Watch(folder)
        self.folder = folder
        self.names = set(os.listdir(folder))
        self.stopped = threading.Event()
        self.overflow = False
        self.events = 0

    def listen(self):
        for kind, _, name in self.watch.take():
            self.events += 1
            self.overflow |= kind == "Q_OVERFLOW"
            if kind in ("CREATE", "MOVED_TO"):
                self.names.add(name.rstrip("/"))
            elif kind in ("DELETE", "MOVED_FROM"):
                self.names.discard(name.rstrip("/"))

    def run(self):
        while not self.stopped.is_set():
            if select.select([self.watch.fd], [], [], 0.1)[0]:
                self.listen()

    def right(self):
        return self.names == set(os.listdir(self.folder))


def act(rng, top, tag):
    """A random change of names that are this device's alone, in a folder that all work in."""
    def name():
        return os.path.join(top, rng.choice("de"), f"{tag}{rng.randrange(15)}")

    what = rng.randrange(12)
    try:
        if what < 4:
            write(name(), os.urandom(8) * rng.randrange(1, 500))
        elif what < 6:
            os.rename(name(), name())
        elif what < 8:
            os.unlink(name())
        elif what < 9:
            os.link(name(), name())
        elif what < 10:
            os.mkdir(name())
        elif what < 11:
            os.rmdir(name())
        else:
            os.chmod(name(), rng.choice([0o600, 0o644]))
    except OSError as e:
        assert e.errno in (errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR,
                           errno.ENOTEMPTY, errno.EPERM, errno.ESTALE), e


def under_load(make):
    """Thousands of changes on both devices: who only listens knows at the end what is there."""
    caches = importlib.import_module("two-caches")
    a, b = pair(make)
    for d in a, b:
        live(d)
    for name in "d", "e":
        os.mkdir(a.path(name))
        eventually(lambda n=name: os.path.isdir(b.path(n)), what=name)
    changes = 10_000 if os.environ.get("PEERFS_FULL") == "1" else 5000
    shadows = [Shadow(d.path(n)) for d in (a, b) for n in "de"]
    stop = threading.Event()
    walkers = [threading.Thread(target=caches.walk, args=(d.dir, stop)) for d in (a, b)]
    failed = []

    def work(d, tag, seed):
        rng = random.Random(seed)
        try:
            for _ in range(changes):
                act(rng, d.dir, tag)
        except Exception as e:  # pylint: disable=broad-except
            failed.append(e)

    workers = [threading.Thread(target=work, args=(d, d.name, random.randrange(2**32)))
               for d in (a, b)]
    for t in shadows + walkers + workers:
        t.start()
    for t in workers:
        t.join()
    stop.set()
    for t in walkers:
        t.join()
    assert not failed, failed
    same(a, b)
    try:
        eventually(lambda: all(s.right() for s in shadows), 60, "the shadows to be right")
    finally:
        for s in shadows:
            s.stopped.set()
            s.join()
            left = os.listdir(s.folder)
            print(s.folder, s.events, "events; wrong:", sorted(s.names ^ set(left))[:20])
        print({d.name: {k: v for k, v in d.status().items() if k.startswith("inotify")}
               for d in (a, b)})
    assert not any(s.overflow for s in shadows)
    for d in a, b:
        hot = caches.attributes(d.dir)
        d.run("umount", d.dir)
        eventually(lambda d=d: not d.status()["mount"], what="it to be unmounted")
        d.start()
        cold = caches.attributes(d.dir)
        wrong = {p: (hot.get(p), cold.get(p)) for p in set(hot) | set(cold)
                 if hot.get(p) != cold.get(p)}
        assert not wrong, wrong
        assert b"Assert" not in read(d.log)


def same_names_at_once(make):
    """A program here and one there make the same names in one moment: neither loses anything."""
    a, b = pair(make)
    live(b)
    os.mkdir(a.path("d"))
    eventually(lambda: os.path.isdir(b.path("d")), what="d")
    rounds, made = 150, {}

    def work(d, other):
        for k in range(rounds):
            name = d.path("d", str(k))
            data = f"{d.name} {k}".encode()
            try:
                fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                continue
            os.write(fd, data)
            os.close(fd)
            made[data] = True
            if k % 3 == 0:
                os.rename(name, d.path("d", f"{k} {other}"))

    threads = [threading.Thread(target=work, args=args) for args in ((a, "of a"), (b, "of b"))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    shown = same(a, b)
    contents = {what for _, what in shown.values()}
    lost = [data for data in made if data not in contents]
    assert not lost, lost


def flood(make):
    """With peerfs-poke stopped changes come all the same; what is too much is said once, dropped."""
    a, b = pair(make)
    live(b)
    os.mkdir(a.path("d"))
    eventually(lambda: os.path.isdir(b.path("d")), what="d")
    w = Watch(b.path("d"))
    (pid,) = pokes(b)
    os.kill(pid, signal.SIGSTOP)
    names = [f"{k}" for k in range(5000)]
    try:
        for name in names:
            os.mknod(a.path("d", name))
        eventually(lambda: len(os.listdir(b.path("d"))) == len(names), what="all names")
        write(b.path("d", "own"), b"own")
        assert read(b.path("d", "own")) == b"own"
        missed = b.status()["inotify_missed"]
        assert missed > 800, missed  # 4,096 names wait
    finally:
        os.kill(pid, signal.SIGCONT)
    w.until([("CREATE", b.path("d"), names[4000])])
    log = read(b.log).decode()
    assert log.count("faster than they can be told") == 1, log
    w.take()
    os.mkdir(a.path("d", "last"))
    w.until([("CREATE", b.path("d"), "last/")])
    same(a, b)


def process_dies(make):
    """kill -9 of peerfs-poke, in the midst of work: nothing hangs; the next mount has a new one."""
    a, b = pair(make)
    live(b)
    os.mkdir(a.path("d"))
    eventually(lambda: os.path.isdir(b.path("d")), what="d")
    with Busy(a.path("d")):
        for _ in range(5):
            (pid,) = pokes(b)
            w = Watch(b.path("d"))
            hear(w, 20)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not b.status()["inotify"], what="the daemon to notice")
            w.close()
            write(b.path("d", "own"), b"%d" % pid)
            assert read(b.path("d", "own")) == b"%d" % pid
            b.run("umount", b.dir)
            eventually(lambda: not b.status()["mount"], what="it to be unmounted")
            b.start()
            live(b)
    same(a, b)
    Watched(a, b, "d").told(lambda: os.mknod(a.path("d", "again")), ("CREATE", "again"))


def daemon_dies(make):
    """kill -9 of the daemon while events are told: the process goes, and mounting works again."""
    a, b = pair(make)
    live(b)
    os.mkdir(a.path("d"))
    eventually(lambda: os.path.isdir(b.path("d")), what="d")
    with Busy(a.path("d")):
        for _ in range(4):
            (pid,) = pokes(b)
            w = Watch(b.path("d"))
            hear(w, 20)
            b.kill()
            eventually(lambda p=pid: Device.ended(p), what="peerfs-poke to go with the daemon")
            w.close()
            b.start()
            live(b)
            eventually(lambda: b.connected() == 1, what="a connection")
    same(a, b)


def unmounting(make):
    """The process holds nothing: unmounting works while it works, and it goes with the mount."""
    a, b = pair(make)
    with Busy(a.dir):
        for _ in range(8):
            live(b)
            (pid,) = pokes(b)
            w = Watch(b.dir)
            hear(w, 5)
            w.close()
            b.run("umount", b.dir)
            eventually(lambda p=pid: Device.ended(p), what="peerfs-poke to go with the mount")
            assert os.listdir(b.dir) == [], "something was made below the mount point"
            b.start()
    same(a, b)


def another_mount_in_its_place(make):
    """What is mounted over the folder is never changed; the process notices, and goes on after."""
    a, b = pair(make)
    live(b)
    write(a.path("f"), b"1")
    eventually(lambda: read(b.path("f")) == b"1", what="f")
    w = Watched(a, b)
    subprocess.check_call(["mount", "-t", "tmpfs", "tmpfs", b.dir])
    try:
        os.mkdir(b.path("e"))
        write(b.path("f"), b"not the folder's")
        before = os.stat(b.path("f"))
        for change in (lambda: os.mknod(a.path("new")), lambda: write(a.path("f"), b"2"),
                       lambda: os.unlink(a.path("f"))):
            missed = b.status()["inotify_missed"]
            change()
            eventually(lambda m=missed: b.status()["inotify_missed"] > m, what="a refusal")
        assert sorted(os.listdir(b.dir)) == ["e", "f"]
        after = os.stat(b.path("f"))
        assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    finally:
        subprocess.check_call(["umount", b.dir])
    w.told(lambda: os.rename(a.path("new"), a.path("newer")),
           ("MOVED_FROM", "new"), ("MOVED_TO", "newer"))


def process_namespaces(make):
    """Who it is, is told by the kernel's numbers of the mount, wherever anybody lives."""
    a, b = pair(make)
    live(b)
    environ = dict(os.environ, PEERFS_HOME=b.home)
    command = os.path.join(os.path.dirname(PEERFS), "peerfs-poke")
    inner = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.call(inner + ["true"], stderr=subprocess.DEVNULL) != 0:
        print("left out: no process namespaces here")
        return
    w = Watched(a, b)

    def replaced(*args):
        (pid,) = pokes(b)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not b.status()["inotify"], what="the daemon to notice")
        return subprocess.Popen(args, env=environ, stdin=subprocess.PIPE)

    # the process in a namespace below the mount's
    below = replaced(*inner, command, "docs", b.dir)
    live(b)
    w.told(lambda: os.mknod(a.path("one")), ("CREATE", "one"))
    b.run("umount", b.dir)
    below.wait(20)
    eventually(lambda: not b.status()["mount"], what="it to be unmounted")

    # mounted from a namespace that the daemon is not in
    shell = subprocess.Popen([*inner, "sh", "-c", f"'{PEERFS}' mount docs && cat"], env=environ,
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    live(b)
    w = Watched(a, b)
    w.told(lambda: os.mknod(a.path("two")), ("CREATE", "two"))

    # and a process that this namespace does not see: refused, and all else goes on
    outside = replaced(command, "docs", b.dir)
    outside.wait(20)
    assert not b.status()["inotify"]
    assert "another process namespace" in read(b.log).decode()
    write(b.path("three"), b"3")
    eventually(lambda: read(a.path("three")) == b"3", what="three")
    shell.stdin.close()
    shell.wait(20)


class Ordinary(Device):
    """A device of the user nobody."""

    def __init__(self, top, name):
        self.user = pwd.getpwnam("nobody")
        os.chmod(top, 0o755)
        for made in os.path.join(top, name), os.path.join(top, "mnt-" + name):
            os.mkdir(made)
            os.chown(made, self.user.pw_uid, self.user.pw_gid)
        super().__init__(top, name)

    def command(self, *args):
        return ["setpriv", "--reuid", str(self.user.pw_uid), "--regid", str(self.user.pw_gid),
                "--clear-groups", *args]


def ordinary_user(make):
    """Mounted by an ordinary user: told of the same, of files that he may not write, too."""
    user = importlib.import_module("user")
    if not shutil.which("setpriv") or not shutil.which("fusermount3"):
        print("left out: no setpriv(1) or no fusermount3(1)")
        return
    a = make("alpha")
    top = os.path.dirname(a.home)
    b = make("beta", Ordinary)
    if subprocess.call(b.command("test", "-x", PEERFS)) != 0:
        print("left out: nobody cannot reach", PEERFS)
        return
    user.open_device()
    a.create()
    b.join(a.invite())
    live(b)
    os.mkdir(a.path("d"))
    write(a.path("d", "f"), b"1")
    os.chmod(a.path("d", "f"), 0o444)
    log = os.path.join(top, "events")
    watcher = subprocess.Popen(
        b.command(sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"
                  "from inotify import Watch\nimport os, time\n"
                  "while not os.path.isdir(sys.argv[2]): time.sleep(.005)\n"
                  "w = Watch(sys.argv[2]); print('ready', flush=True)\n"
                  "print([(k, n) for k, _, n in w.until([('DELETE', sys.argv[2], 'f')])])\n",
                  os.path.dirname(os.path.abspath(__file__)), b.path("d")),
        stdout=subprocess.PIPE, text=True)
    assert watcher.stdout.readline() == "ready\n", log
    for change in (lambda: write(a.path("d", "new"), b""), lambda: write(a.path("d", "f"), b"22"),
                   lambda: os.chmod(a.path("d", "f"), 0o400),
                   lambda: os.rename(a.path("d", "new"), a.path("d", "newer")),
                   lambda: os.unlink(a.path("d", "f"))):
        told = b.status()["inotify_told"]
        change()
        eventually(lambda t=told: b.status()["inotify_told"] > t, what="an event")
    out, _ = watcher.communicate(timeout=20)
    assert out.strip() == str([("CREATE", "new"), ("MODIFY", "f"), ("ATTRIB", "f"),
                               ("MOVED_FROM", "new"), ("MOVED_TO", "newer"), ("DELETE", "f")]), out
    (pid,) = pokes(b)
    assert os.stat(f"/proc/{pid}").st_uid == b.user.pw_uid
    b.run("umount", b.dir)
    eventually(lambda: Device.ended(pid), what="peerfs-poke to go with the mount")


if __name__ == "__main__":
    run(each_kind, saved_by_rename, watched_themselves, no_echo, own_changes_once, switched_off,
        open_files_and_folders, under_load, same_names_at_once, flood, process_dies, daemon_dies,
        unmounting, another_mount_in_its_place, process_namespaces, ordinary_user)
