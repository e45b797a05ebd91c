#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-errors - what goes wrong is said, with the exit code that fits, and leaves nothing behind"""

import errno
import json
import os
import random
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import eventually, free_port, pair, read, run, same, write  # noqa: E402


def said(device, *words):
    for word in words:
        assert word in device.error, (word, device.error)


def nothing_left(device):
    folders = os.path.join(device.home, "data", "folders")
    assert not os.path.isdir(folders) or not os.listdir(folders), os.listdir(folders)
    with open(os.path.join(device.home, "peerfs.conf"), encoding="utf-8") as f:
        assert "docs" not in f.read()
    assert not device.json("status")["folders"]


def invitations(make):
    """Wrong, used and expired invitations are refused: exit 9, and nothing is left behind."""
    a, b, c = make("alpha"), make("beta"), make("gamma")
    a.create()
    good = a.invite()
    b.run("join", "rubbish", b.dir, code=9)
    said(b, "not an invitation")
    damaged = good[:40] + ("A" if good[40] != "A" else "B") + good[41:]
    b.run("join", damaged, b.dir, code=9)
    assert not os.path.exists(b.log), "no daemon is started for a wrong invitation"
    b.run("join", good, b.dir)
    c.run("join", good, c.dir, code=9)
    said(c, "used", "ask for a new one")
    nothing_left(c)
    assert not os.path.exists(c.dir), "nor the directory that was made for it"
    short = a.invite("--expires", "1s")
    gone = time.monotonic() + 1.1
    eventually(lambda: time.monotonic() > gone, what="its end")
    c.run("join", short, c.dir, code=9)
    said(c, "expired")
    nothing_left(c)
    b.run("invite", "docs", "--print", code=9)
    said(b, "admin")
    b.run("join", a.invite(), os.path.join(os.path.dirname(b.dir), "again"), code=1)
    said(b, "already")
    c.run("join", a.invite(), c.dir)
    assert c.status()["members"] == 3


def nobody_answers(make):
    """An invitation of a device that is away ends in time: exit 7, and nothing is left behind."""
    a, b = make("alpha"), make("beta")
    a.create()
    good = a.invite()
    a.unmount()
    a.stop()
    begun = time.monotonic()
    b.run("join", good, b.dir, code=7)
    assert time.monotonic() - begun < 30
    said(b, "no answer", f"127.0.0.1:{a.port}")
    nothing_left(b)
    a.start()
    b.join(good)


def roles(make):
    """A reader reads and cannot write, whatever it tries."""
    a, b = make("alpha"), make("beta")
    a.create()
    write(a.path("f"), b"text")
    b.join(a.invite("--role", "reader"))
    eventually(lambda: read(b.path("f")) == b"text", what="f")
    for act in (lambda: write(b.path("f"), b"x"), lambda: os.unlink(b.path("f")),
                lambda: os.mkdir(b.path("d")), lambda: os.rename(b.path("f"), b.path("g"))):
        try:
            act()
            raise AssertionError("a reader wrote")
        except OSError as e:
            assert e.errno in (errno.EROFS, errno.EACCES, errno.EPERM), e
    assert set(same(a, b)) == {"f"}


def mount_points(make):
    """A mount point must be empty; it is made if it is not there; missing folders are named."""
    a = make("alpha")
    os.mkdir(a.dir)
    write(a.path("something"), b"")
    a.run("create", "docs", a.dir, code=1)
    said(a, "not empty", a.dir)
    assert not os.path.exists(a.log), "nothing was done"
    os.unlink(a.path("something"))
    a.create()
    a.run("create", "docs", os.path.join(os.path.dirname(a.dir), "other"), code=1)
    said(a, "already")
    a.run("create", "a/b", os.path.join(os.path.dirname(a.dir), "other"), code=2)
    a.run("mount", "docs", code=1)
    said(a, a.dir)
    a.run("create", "second", a.dir, code=1)
    said(a, "already", "umount")
    assert len(a.json("status")["folders"]) == 1, "no folder that could not be mounted"
    a.run("mount", "nothing", a.dir, code=10)
    said(a, "nothing")
    a.run("umount", os.path.dirname(a.dir), code=10)
    a.run("umount", "/proc", code=10)  # which root could
    a.run("status", a.path("nothing"), code=10)
    a.run("status", "/", code=10)
    a.run("create", "x", code=2)
    a.run("frobnicate", code=2)
    a.run("invite", "docs", "--print", "--role", "king", code=2)
    a.run("invite", "docs", "--print", "--role", "helper", code=2)


def no_device(make):
    """Without /dev/fuse nothing is begun, and the reason is said."""
    a = make("alpha")
    subprocess.check_call(["mount", "-t", "tmpfs", "tmpfs", "/dev"])
    try:
        with open("/dev/null", "w", encoding="ascii"):
            pass
        a.run("create", "docs", a.dir, code=1)
        said(a, "/dev/fuse")
    finally:
        subprocess.check_call(["umount", "/dev"])
    assert not os.path.exists(a.log)


def ports(make):
    """A port in use is named, and what to do; a second daemon is refused."""
    a, b = make("alpha"), make("beta")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        s.listen()
        a.run("config", "set", "device.listen", f"127.0.0.1:{s.getsockname()[1]}")
        a.run("daemon", "start", code=1)
        said(a, "in use", "device.listen")
    a.run("config", "set", "device.listen", f"127.0.0.1:{free_port()}")
    a.run("daemon", "start")
    a.run("daemon", "start")
    a.run("daemon", "run", code=1)
    said(a, "another daemon")
    pid = a.pid()
    a.run("daemon", "stop")
    a.run("daemon", "stop", code=5)
    assert a.ended(pid)
    b.run("status", code=5)


def configuration(make):
    """A configuration that cannot be understood stops the start, with file and line."""
    a = make("alpha")
    conf = os.path.join(a.home, "peerfs.conf")
    a.run("config", "check")
    with open(conf, "a", encoding="utf-8") as f:
        f.write("lissten = 1.2.3.4:5\n")
    a.run("config", "check", code=2)
    said(a, conf, "listen")
    a.run("daemon", "start", code=2)
    said(a, conf, "listen")
    assert a.run("config", "get", "device.nothing", code=2) == ""
    os.unlink(conf)
    os.mkdir(conf)
    a.run("daemon", "start", code=2)
    said(a, conf, "Is a directory")


def odd_names(make):
    """A name is bytes: one that is not UTF-8 can be asked about."""
    a = make("alpha")
    a.create()
    odd = os.fsdecode(os.fsencode(a.dir) + b"/bad\xff\xfe")
    write(odd, b"12345")
    about = json.loads(a.run("status", odd, "--json"))
    assert about["size"] == 5 and about["type"] == "file", about
    a.run("status", odd + "x", code=10)
    said(a, "no such file")


def garbage(make):
    """Garbage sent to the port disturbs nobody."""
    a, b = pair(make)
    random.seed(7)
    for size in (1, 16, 100, 65535, 300000):
        with socket.create_connection(("127.0.0.1", a.port), timeout=10) as s:
            try:
                s.sendall(random.randbytes(size))
                s.shutdown(socket.SHUT_WR)
                s.settimeout(10)
                while s.recv(4096):
                    pass
            except OSError:  # it hangs up when it has seen enough
                pass
    held = [socket.create_connection(("127.0.0.1", a.port), timeout=10) for _ in range(20)]
    write(b.path("f"), b"still here")
    eventually(lambda: read(a.path("f")) == b"still here", what="f")
    for s in held:
        s.close()
    assert b"is no member and was hung up on" in read(a.log)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.path.join(a.home, "run", "ctl.sock"))
        s.sendall(b"{]\0")
        assert s.recv(100) == b""
    assert a.connected() == 1


def bytes_nobody_has(make):
    """A read of bytes that no reachable device has fails within a second, and status says why."""
    a, b = pair(make)
    write(a.path("f"), os.urandom(300000))
    eventually(lambda: os.path.exists(b.path("f")), what="f")
    a.unmount()
    a.stop()
    eventually(lambda: b.connected() == 0, what="the end of the connection")
    begun = time.monotonic()
    try:
        read(b.path("f"))
        raise AssertionError("bytes out of nowhere")
    except OSError as e:
        assert e.errno in (errno.EIO, errno.EHOSTUNREACH), e
    assert time.monotonic() - begun < 2
    assert os.stat(b.path("f")).st_size == 300000
    about = b.about("f")
    assert about["last_failure"] and about["state"] == "remote", about
    assert "failed" in b.run("status", b.path("f"))
    assert "a read of /f failed: no reachable device" in read(b.log).decode()
    a.start()
    eventually(lambda: b.connected() == 1, 60, what="a connection")
    assert read(b.path("f")) == read(a.path("f"))
    assert "last_failure" not in b.about("f")


def full_disk(make):
    """On a full store writes fail with ENOSPC, reads and removals go on, and space heals it."""
    a, b = make("alpha"), make("beta")
    store = os.path.join(a.home, "data", "folders")
    os.mkdir(store)
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", store])
    try:
        a.create()
        b.join(a.invite())
        write(a.path("kept"), b"kept")
        written = 0
        try:
            for k in range(100):
                write(a.path(f"f{k}"), os.urandom(1 << 20))
                written += 1
            raise AssertionError("the disk is not full")
        except OSError as e:
            assert e.errno == errno.ENOSPC, e
        assert written > 3
        assert read(a.path("kept")) == b"kept"
        assert len(read(a.path("f0"))) == 1 << 20
        os.unlink(a.path("f1"))
        os.mkdir(b.path("from-b"))
        assert a.json("status")["pid"]
        subprocess.check_call(["mount", "-o", "remount,size=256m", store])
        eventually(lambda: write(a.path("again"), b"again") is None, 30, "room")
        eventually(lambda: read(b.path("again")) == b"again", 60, "again")
        eventually(lambda: os.path.isdir(a.path("from-b")), 60, "from-b")
        same(a, b)
    finally:
        a.unmount()
        a.stop()
        subprocess.call(["umount", "-l", store])


def damaged_tail(make):
    """A journal that ends in the middle of a frame is cut there; all before it is kept."""
    a, b = pair(make)
    write(a.path("f"), b"f" * 5000)
    same(a, b)
    a.kill()
    journal = os.path.join(a.home, "data", "folders", "docs", "journal")
    with open(journal, "ab") as f:
        f.write(b"\x40\0\0\0torn and never whole")
    a.start()
    assert read(a.path("f")) == b"f" * 5000
    write(a.path("g"), b"g")
    with open(a.log, encoding="utf-8") as f:
        assert "cut off" in f.read()
    eventually(lambda: read(b.path("g")) == b"g", 60, "g")
    same(a, b)


def another_key(make):
    """A folder that is not this device's is not opened, and status does not hide it."""
    a = make("alpha")
    a.create()
    a.unmount()
    a.stop()
    os.rename(os.path.join(a.home, "data", "device.key"), os.path.join(a.home, "away"))
    a.run("daemon", "start")
    status = a.json("status")
    assert not status["folders"] and status["folders_unopened"] == 1, status
    assert "log says why" in a.run("status")
    assert "another device key" in read(a.log).decode()


def lost_index(make):
    """The index is derived: removed or damaged, it is made again."""
    a, b = pair(make)
    for k in range(50):
        write(a.path(f"f{k}"), os.urandom(1000 * k))
    before = same(a, b)
    index = os.path.join(b.home, "data", "folders", "docs", "index")
    b.unmount()
    b.stop()
    for name in os.listdir(index):
        os.unlink(os.path.join(index, name))
    b.start()
    assert same(a, b) == before
    b.unmount()
    b.stop()
    write(os.path.join(index, "data.mdb"), b"not an index at all" * 1000)
    b.start()
    assert same(a, b) == before


def unmounted_under_a_reader(make):
    """A directory that is open when its mount is taken away in force leaves nothing behind; a
    build that looks for leaks says so."""
    a = make("alpha")
    a.create()
    for k in range(3):
        write(a.path(f"f{k}"), b"x")
    folder = os.open(a.dir, os.O_RDONLY | os.O_DIRECTORY)
    with os.scandir(folder) as entries:
        next(entries)
        a.unmount()
        a.stop()
    os.close(folder)


if __name__ == "__main__":
    run(invitations, nobody_answers, roles, mount_points, no_device, ports, configuration, odd_names, garbage,
        bytes_nobody_has, full_disk, damaged_tail, another_key, lost_index, unmounted_under_a_reader)
