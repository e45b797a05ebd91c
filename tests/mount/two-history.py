#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-history - what was replaced or removed is listed and comes back, on either device"""

import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import eventually, pair, read, run, same, write  # noqa: E402


def save(device, name, data):
    """Write a file, and wait until that is a version."""
    before = versions(device, name)
    write(device.path(name), data)
    eventually(lambda: len(versions(device, name)) > len(before) and device.settled(),
               what="a version of " + name)


def versions(device, name):
    """None is no error here."""
    out = device.run("versions", device.path(name), "--json", code=None)
    return [] if device.code else device_json(out)["versions"]


def device_json(out):
    import json  # pylint: disable=import-outside-toplevel
    return json.loads(out)


def iso(ms, add=0):
    """A TIME for --at."""
    ms += add
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(ms // 1000)) + f".{ms % 1000:03}"


def gone(device, name):
    eventually(lambda: not os.path.lexists(device.path(name)), what=name + " to go")


def shows(device, name, data):
    eventually(lambda: read(device.path(name)) == data, what=name + " with its bytes")


def replaced(make):
    """Each version is listed on both devices with its author, and restored by its time."""
    a, b = pair(make)
    save(a, "f", b"one")
    shows(b, "f", b"one")
    save(b, "f", b"two, by the other")
    shows(a, "f", b"two, by the other")
    save(a, "f", b"three")
    shows(b, "f", b"three")
    for d in (a, b):
        v = versions(d, "f")
        assert [x["device"] for x in v] == ["alpha", "beta", "alpha"], v
        assert [x["size"] for x in v] == [5, 17, 3], v
        assert [x["state"] for x in v] == ["current", "replaced", "replaced"], v
        assert [x.get("by") for x in v] == [None, "alpha", "beta"], v
        assert "beta, 17 bytes" in d.run("versions", d.path("f"))
    first = iso(versions(b, "f")[2]["time_ms"])
    b.run("restore", b.path("f"), "--at", first)
    assert read(b.path("f")) == b"one"
    shows(a, "f", b"one")
    assert "restored" in a.run("restore", a.path("f"))  # undoes that
    assert read(a.path("f")) == b"three"
    shows(b, "f", b"three")
    a.run("restore", a.path("f"), "--at", iso(versions(a, "f")[0]["time_ms"]))  # itself
    a.run("restore", a.path("f"), "--at", "2001-01-01", code=10)
    assert "nothing is remembered of that time" in a.error
    a.run("restore", a.path("f"), "--at", "yesterday", code=2)
    a.run("restore", a.path("never"), code=10)
    a.run("versions", a.path("never"), code=10)
    a.run("versions", "/nowhere/at/all", code=10)
    same(a, b)


def removed(make):
    """What is removed is listed, and the other device brings it back with its attributes."""
    a, b = pair(make)
    data = os.urandom(300000)
    write(a.path("f"), data)
    os.chmod(a.path("f"), 0o640)
    os.setxattr(a.path("f"), "user.note", b"mine")
    eventually(a.settled, what="a version")  # its time is set later
    os.utime(a.path("f"), ns=(1, 1700000000123456789))
    os.symlink("f", a.path("link"))
    same(a, b)
    os.unlink(a.path("f"))
    os.unlink(a.path("link"))
    gone(b, "f")
    gone(b, "link")
    ended = b.json("versions", b.dir)["ended"]
    assert [(x["name"], x["state"], x["by"], x["type"]) for x in ended] == \
        [("f", "removed", "alpha", "file"), ("link", "removed", "alpha", "symlink")], ended
    assert [x["state"] for x in versions(b, "f")] == ["removed"]
    b.run("restore", b.path("f"))
    b.run("restore", b.path("link"))
    for d in (b, a):
        shows(d, "f", data)
        st = os.stat(d.path("f"))
        assert st.st_mode & 0o7777 == 0o640
        assert st.st_mtime_ns == 1700000000123456789
        assert os.getxattr(d.path("f"), "user.note") == b"mine"
        eventually(lambda d=d: os.readlink(d.path("link")) == "f", what="the link")
    a.run("restore", a.path("f"), code=10)
    assert "no earlier version" in a.error
    same(a, b)


def saved_by_rename(make):
    """Editors that write a new file and rename it over the old one have versions all the same."""
    a, b = pair(make)
    for n in range(4):
        write(a.path("f.new"), b"text %d" % n)
        eventually(a.settled, what="a version")
        os.rename(a.path("f.new"), a.path("f"))
        shows(b, "f", b"text %d" % n)
    v = versions(b, "f")
    assert len(v) == 4, v
    assert [x["state"] for x in v] == ["current"] + 3 * ["removed"], v
    b.run("restore", b.path("f"), "--at", iso(v[2]["time_ms"]))
    assert read(b.path("f")) == b"text 1"
    b.run("restore", b.path("f"), "--at", iso(v[3]["time_ms"]))
    assert read(b.path("f")) == b"text 0"
    shows(a, "f", b"text 0")
    os.rename(a.path("f"), a.path("g"))
    assert [x["state"] for x in versions(a, "f")][0] == "moved"
    assert [x["state"] for x in versions(a, "g")][0] == "current"
    assert [x["now"] for x in a.json("versions", a.dir)["ended"] if x["name"] == "f"] == ["/g"]
    a.run("restore", a.path("f"))
    assert read(a.path("f")) == read(a.path("g")) == b"text 0"


def grow(device):
    """A tree; what it shows."""
    os.makedirs(device.path("d", "deep", "er"))
    os.mkdir(device.path("d", "empty"))
    os.chmod(device.path("d", "empty"), 0o700)
    shown = {}
    for n in range(30):
        name = os.path.join("d", ["", "deep", "deep/er"][n % 3], f"file{n}")
        shown[name] = b"contents of %d" % n
        write(device.path(name), shown[name])
    os.symlink("deep", device.path("d", "link"))
    return shown


def check(device, shown, top="d"):
    for name, data in shown.items():
        eventually(lambda name=name, data=data:
                   read(device.path(top + name[1:])) == data, what=name)
    eventually(lambda: os.readlink(device.path(top, "link")) == "deep", what="the link")
    assert os.stat(device.path(top, "empty")).st_mode & 0o777 == 0o700


def removed_tree(make):
    """rm -r is undone by one command, whole, and without what had been removed long before."""
    a, b = pair(make)
    shown = grow(a)
    write(a.path("d", "before"), b"removed long before")
    same(a, b)
    os.unlink(b.path("d", "before"))  # by somebody else: not part of it
    gone(a, "d/before")
    shutil.rmtree(a.path("d"))
    gone(b, "d")
    assert [x["name"] for x in b.json("versions", b.dir)["ended"]] == ["d"]
    out = b.run("restore", b.path("d"))
    assert "35 entries" in out, out
    for d in (b, a):
        check(d, shown)
        assert not os.path.lexists(d.path("d", "before"))
    same(a, b)
    assert "nothing to restore" in b.run("restore", b.path("d"), "--at", "0s")
    # One file deep inside, with its directories.
    shutil.rmtree(a.path("d"))
    gone(b, "d")
    b.run("restore", b.path("d", "deep", "er", "file2"))
    assert os.listdir(b.path("d")) == ["deep"]
    shows(a, "d/deep/er/file2", shown["d/deep/er/file2"])
    same(a, b)


def tree_at_a_time(make):
    """A directory as it was: changed files are put back, removed ones too, new ones stay."""
    a, b = pair(make)
    shown = grow(a)
    same(a, b)
    eventually(a.settled, what="versions")
    moment = int(time.time() * 1000)
    eventually(lambda: time.time() * 1000 > moment + 2, what="time to pass")
    write(a.path("d", "file0"), b"spoilt")
    os.unlink(a.path("d", "deep", "file1"))
    os.rename(a.path("d", "file3"), a.path("d", "elsewhere"))
    os.rename(a.path("d", "deep", "er"), a.path("taken"))
    os.unlink(a.path("d", "link"))
    write(a.path("d", "new"), b"new")
    same(a, b)
    eventually(lambda: a.settled() and b.settled(), what="versions")
    b.run("restore", b.path("d"), code=2)
    assert "--at TIME" in b.error
    b.run("restore", b.path("d"), "--at", iso(moment))
    for d in (b, a):
        check(d, shown)
        shows(d, "d/new", b"new")
        shows(d, "d/elsewhere", shown["d/file3"])
        shows(d, "taken/file2", shown["d/deep/er/file2"])
    same(a, b)


def to_elsewhere(make):
    """--to puts what was beside what is: in the folder, or out of it."""
    a, b = pair(make)
    shown = grow(a)
    big = os.urandom(5 << 20)
    write(a.path("d", "file0"), big)
    shown["d/file0"] = big
    same(a, b)
    shutil.rmtree(a.path("d"))
    gone(b, "d")
    os.mkdir(b.path("back"))
    b.run("restore", b.path("d"), "--to", b.path("back"))
    assert not os.path.lexists(b.path("d"))
    for d in (b, a):
        check(d, shown, "back/d")
    b.run("restore", b.path("d"), "--to", b.path("back"), code=1)
    assert "already" in b.error
    b.run("restore", b.path("d"), "--to", b.path("none"), code=10)
    out = os.path.join(os.path.dirname(b.home), "out")
    os.mkdir(out)
    b.run("restore", b.path("d"), "--to", out)
    for name, data in shown.items():
        assert read(os.path.join(out, name)) == data
    assert os.readlink(os.path.join(out, "d", "link")) == "deep"
    assert os.stat(os.path.join(out, "d", "empty")).st_mode & 0o777 == 0o700
    b.run("restore", b.path("d"), "--to", out, code=1)  # it is there already
    same(a, b)


def after_a_crash(make):
    """Nothing of it is forgotten by a restart, be it clean or not."""
    a, b = pair(make)
    save(a, "f", b"one")
    save(a, "f", b"two")
    write(a.path("g"), b"gone")
    same(a, b)
    os.unlink(a.path("g"))
    gone(b, "g")
    before = versions(a, "f"), versions(a, "g"), a.json("versions", a.dir)
    for how in ("kill", "stop", "index"):
        if how == "kill":
            a.kill()
        else:
            a.unmount()
            a.stop()
        if how == "index":
            shutil.rmtree(os.path.join(a.home, "data", "folders", "docs", "index"))
        a.start()
        assert (versions(a, "f"), versions(a, "g"), a.json("versions", a.dir)) == before, how
    a.run("restore", a.path("g"))
    a.run("restore", a.path("f"))
    for d in (a, b):
        shows(d, "g", b"gone")
        shows(d, "f", b"one")
    same(a, b)


def a_reader(make):
    """A reader sees what was, and takes it out of the folder, but restores nothing in it."""
    a, b = make("alpha"), make("beta")
    a.create()
    b.join(a.invite("--role", "reader"))
    save(a, "f", b"one")
    save(a, "f", b"two")
    shows(b, "f", b"two")
    assert len(versions(b, "f")) == 2
    b.run("restore", b.path("f"), code=9)
    assert "--to DIR" in b.error
    out = os.path.join(os.path.dirname(b.home), "out")
    os.mkdir(out)
    b.run("restore", b.path("f"), "--to", out)
    assert read(os.path.join(out, "f")) == b"one"
    shows(b, "f", b"two")


def while_it_is_open(make):
    """A handle keeps the version it was opened on; one that writes merges as any other edit."""
    a, b = pair(make)
    save(a, "f", b"one")
    save(a, "f", b"two")
    with open(a.path("f"), "rb") as f:
        a.run("restore", a.path("f"))
        assert f.read() == b"two"
    assert read(a.path("f")) == b"one"
    with open(a.path("f"), "r+b") as f:
        f.write(b"new")
        f.flush()
        a.run("restore", a.path("f"))  # waits until that is a version
        assert read(a.path("f")) == b"one"
    same(a, b)


if __name__ == "__main__":
    run(replaced, removed, saved_by_rename, removed_tree, tree_at_a_time, to_elsewhere,
        after_a_crash, a_reader, while_it_is_open)
