#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-conflicts - conflicts are listed with both sides and their base, and ended for everyone"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import eventually, pair, read, run, same, write  # noqa: E402


def sealed(device):
    """All that was written is versions; they may wait for somebody to send them to."""
    return not device.status()["files_unsealed"]


def rest(device):
    device.unmount()
    device.stop()


def apart(a, b, on_a, on_b):
    """Each does its part while the other is away, b the later; then they meet."""
    rest(b)
    on_a()
    eventually(lambda: sealed(a), what="the versions of " + a.name)
    rest(a)
    b.start()
    on_b()
    eventually(lambda: sealed(b), what="the versions of " + b.name)
    a.start()
    eventually(lambda: a.connected() and b.connected(), what="a session")
    same(a, b)


def listed(device):
    return device.json("conflicts")["conflicts"]


def agree(a, b):
    """The list, which is the same on both, whoever looks."""
    same(a, b)
    assert listed(a) == listed(b), (listed(a), listed(b))
    return listed(a)


def ended(a, b):
    """Once is enough: nobody lists it any more."""
    eventually(lambda: not listed(a) and not listed(b), what="the end of it")
    same(a, b)
    assert sorted(os.listdir(a.dir)) == sorted(os.listdir(b.dir))


def edited_twice(make, base=b"base"):
    a, b = pair(make)
    write(a.path("f.txt"), base)
    same(a, b)
    eventually(lambda: sealed(a), what="a version")
    apart(a, b, lambda: write(a.path("f.txt"), b"of a"), lambda: write(b.path("f.txt"), b"b's own"))
    return a, b


def copies(device):
    return [n for n in os.listdir(device.dir) if "(conflict" in n]


def listing(make):
    """Who, when, the other side and the base, each conflict once."""
    a, b = edited_twice(make)
    c, = agree(a, b)
    copy, = copies(a)
    assert c["path"] == "/" + copy and c["kind"] == "content", c
    assert (c["device"], c["size"]) == ("alpha", 4), c
    with_b = c["with"]
    assert (with_b["path"], with_b["device"], with_b["size"]) == ("/f.txt", "beta", 7), c
    assert (c["base"]["device"], c["base"]["size"]) == ("alpha", 4), c
    assert c["base"]["time_ms"] < c["time_ms"] < with_b["time_ms"] <= time.time() * 1000
    text = b.run("conflicts")
    assert "base" in text and "beta" in text and "edited twice" in text
    a.run("resolve", a.path("f.txt"), code=2)
    a.run("resolve", a.path("none"), "--keep", "mine", code=10)
    a.run("resolve", a.path("f.txt"), "--keep", "other", code=8)
    assert copy in a.error


def resolved(make, who, keep, want):
    """One command on one device; what is left is the same on both."""
    a, b = edited_twice(make)
    agree(a, b)
    d = a if who == "a" else b
    d.run("resolve", d.path("f.txt"), "--keep", keep)
    ended(a, b)
    assert os.listdir(a.dir) == ["f.txt"]
    assert read(a.path("f.txt")) == read(b.path("f.txt")) == want
    d.run("resolve", d.path("f.txt"), "--keep", keep, code=10)
    assert "is in no conflict" in d.error


def keep_mine(make):
    """The device's own version stays: here the one that had lost the name."""
    resolved(make, "a", "mine", b"of a")


def keep_theirs(make):
    """The other device's version stays."""
    resolved(make, "a", "theirs", b"b's own")


def keep_theirs_there(make):
    """The same on the other device, whose name it is."""
    resolved(make, "b", "theirs", b"of a")


def keep_base(make):
    """Neither: what both had before."""
    resolved(make, "b", "base", b"base")


def keep_both(make):
    """Both stay as they are shown, as files of their own."""
    a, b = edited_twice(make)
    copy, = copies(a)
    b.run("resolve", b.path(copy), "--keep", "both")
    ended(a, b)
    assert read(b.path(copy)) == read(a.path(copy)) == b"of a"
    assert read(b.path("f.txt")) == read(a.path("f.txt")) == b"b's own"
    write(b.path(copy), b"still a file")
    same(a, b)
    assert not listed(b)


def keep_named(make):
    """The one to stay is named, and takes the name."""
    a, b = edited_twice(make)
    copy, = copies(a)
    a.run("resolve", a.path(copy), "--keep", a.path(copy))
    ended(a, b)
    assert os.listdir(b.dir) == ["f.txt"] and read(b.path("f.txt")) == b"of a"
    # What was not kept is history.
    b.run("restore", b.path("f.txt"))
    eventually(lambda: read(a.path("f.txt")) == b"b's own", what="the other one")


def deleted(make):
    """Simply removing the copy ends it; so does removing the file that has the name."""
    a, b = edited_twice(make)
    copy, = copies(a)
    os.unlink(b.path(copy))
    ended(a, b)
    assert os.listdir(a.dir) == ["f.txt"] and read(a.path("f.txt")) == b"b's own"


def renamed(make):
    """Simply renaming the copy ends it, over the file or elsewhere."""
    a, b = edited_twice(make)
    copy, = copies(a)
    os.rename(a.path(copy), a.path("f.txt"))
    ended(a, b)
    assert os.listdir(b.dir) == ["f.txt"] and read(b.path("f.txt")) == b"of a"
    apart(a, b, lambda: write(a.path("f.txt"), b"again"), lambda: write(b.path("f.txt"), b"and b"))
    copy, = copies(b)
    os.rename(b.path(copy), b.path("aside.txt"))
    ended(a, b)
    assert read(a.path("aside.txt")) == b"again" and read(a.path("f.txt")) == b"and b"


def replace(device, name, data):
    write(device.path(name + "~"), data)
    eventually(lambda: sealed(device), what="a version")
    os.rename(device.path(name + "~"), device.path(name))


def saved_by_rename(make):
    """Two editors that save by rename: the base is the file that both replaced."""
    a, b = pair(make)
    write(a.path("f"), b"the base")
    same(a, b)
    eventually(lambda: sealed(a), what="a version")
    apart(a, b, lambda: replace(a, "f", b"a's"), lambda: replace(b, "f", b"that of b"))
    c, = agree(a, b)
    assert c["kind"] == "name" and c["base"]["size"] == 8, c
    b.run("resolve", b.path("f"), "--keep", "base")
    ended(a, b)
    assert os.listdir(a.dir) == ["f"] and read(a.path("f")) == b"the base"


def edited_while_removed(make):
    """A file that was removed there and edited here stays, is listed, and is kept or not."""
    for keep in ("both", None):
        a, b = pair(lambda n, keep=keep: make(n + (keep or "")))
        write(a.path("f"), b"base")
        same(a, b)
        eventually(lambda: sealed(a), what="a version")
        apart(a, b, lambda: write(a.path("f"), b"edited"), lambda: os.unlink(b.path("f")))
        c, = agree(a, b)
        assert c["kind"] == "kept" and c["base"]["size"] == 4, c
        if keep:
            b.run("resolve", b.path("f"), "--keep", keep)
        else:
            os.unlink(b.path("f"))
        ended(a, b)
        assert os.listdir(a.dir) == (["f"] if keep else [])


def file_renamed_away(make):
    """The copy of a file that was renamed stays, and is ended by itself."""
    a, b = edited_twice(make)
    copy, = copies(a)
    os.rename(b.path("f.txt"), b.path("g.txt"))
    same(a, b)
    c, = agree(a, b)
    assert c["kind"] == "copy" and c["path"] == "/" + copy, c
    assert c["with"]["path"] == "/g.txt" and c["base"]["size"] == 4, c
    a.run("resolve", a.path(copy), "--keep", "both")
    ended(a, b)
    assert sorted(os.listdir(b.dir)) == [copy, "g.txt"]


def renamed_twice(make):
    """A file that both renamed has one name; which can be said once and for all."""
    a, b = pair(make)
    write(a.path("f"), b"base")
    os.makedirs(a.path("d", "x"))
    same(a, b)
    eventually(lambda: sealed(a), what="a version")
    apart(a, b, lambda: os.rename(a.path("f"), a.path("f-a")),
          lambda: os.rename(b.path("f"), b.path("f-b")))
    c, = agree(a, b)
    assert c["kind"] == "renamed-twice" and c["path"] == "/f-b", c
    a.run("resolve", a.path("f-b"), "--keep", "both")
    ended(a, b)
    # A directory that was removed while it was filled.
    apart(a, b, lambda: write(a.path("d", "x", "new"), b"new"),
          lambda: (os.rmdir(b.path("d", "x")), os.rmdir(b.path("d"))))
    kinds = {c["path"]: c["kind"] for c in agree(a, b)}
    assert kinds == {"/d": "survivors", "/d/x": "survivors"}, kinds
    b.run("resolve", b.path("d", "x"), "--keep", "both")
    b.run("resolve", b.path("d"), "--keep", "both")
    ended(a, b)
    assert read(b.path("d", "x", "new")) == b"new"
    # Moves that would make a loop.
    apart(a, b, lambda: (os.mkdir(a.path("e")), os.mkdir(a.path("g"))), lambda: None)
    apart(a, b, lambda: os.rename(a.path("e"), a.path("g", "e")),
          lambda: os.rename(b.path("g"), b.path("e", "g")))
    c, = agree(a, b)
    assert c["kind"] == "move-skipped", c
    a.run("resolve", a.path(c["path"][1:]), "--keep", "both")
    ended(a, b)


def a_reader(make):
    """A reader lists what there is and may not end it."""
    a, b = edited_twice(make)
    third = make("gamma")
    third.join(a.invite("--role", "reader"))
    same(a, b, third)
    assert listed(third) == listed(a)
    third.run("resolve", third.path("f.txt"), "--keep", "both", code=9)
    third.run("resolve", third.path("f.txt"), "--keep", "mine", code=8)
    assert "none is this device's" in third.error
    a.run("resolve", a.path("f.txt"), "--keep", "mine")
    eventually(lambda: not listed(third), what="the end of it")
    same(a, b, third)


if __name__ == "__main__":
    run(listing, keep_mine, keep_theirs, keep_theirs_there, keep_base, keep_both, keep_named,
        deleted, renamed, saved_by_rename, edited_while_removed, file_renamed_away, renamed_twice,
        a_reader)
