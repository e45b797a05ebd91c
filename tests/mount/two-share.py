#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-share - two devices with real daemons: what one does the other shows, contents on demand"""

import os
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import eventually, free_port, pair, read, run, same, tree, write  # noqa: E402


def visible_both_ways(make):
    """What is written on either device is soon shown on the other, whole."""
    a, b = pair(make)
    for here, there in ((a, b), (b, a)):
        name = "from-" + here.name
        os.mkdir(here.path(name))
        write(here.path(name, "small"), b"hello")
        write(here.path(name, "large"), os.urandom(1 << 20))
        os.symlink("small", here.path(name, "link"))
        os.link(here.path(name, "small"), here.path(name, "hard"))
        os.chmod(here.path(name, "small"), 0o600)
        os.setxattr(here.path(name, "small"), "user.note", b"mine")
        eventually(lambda: os.path.exists(there.path(name, "hard")), what=name)
        same(a, b)
        assert os.getxattr(there.path(name, "small"), "user.note") == b"mine"
        assert os.lstat(there.path(name, "small")).st_ino == \
            os.lstat(there.path(name, "hard")).st_ino
    os.rename(a.path("from-alpha"), a.path("from-beta", "moved"))
    os.unlink(a.path("from-beta", "small"))
    eventually(lambda: os.path.exists(b.path("from-beta", "moved", "link")) and
               not os.path.exists(b.path("from-beta", "small")), what="the move")
    same(a, b)


def whole_or_not_at_all(make):
    """A file that is replaced by rename shows its old or its new content, never another."""
    a, b = pair(make)
    contents = [bytes([65 + k]) * (50000 + k) for k in range(20)]
    write(a.path("f"), contents[0])
    eventually(lambda: os.path.exists(b.path("f")), what="f")
    for data in contents:
        write(a.path("f.new"), data)
        os.rename(a.path("f.new"), a.path("f"))
        assert read(b.path("f")) in contents
    eventually(lambda: read(b.path("f")) == contents[-1], what="the last one")


def reads_move_what_is_asked(make):
    """B lists everything and holds nothing; a read brings what it touches and little more."""
    a, b = pair(make)
    data = os.urandom(32 << 20)
    write(a.path("big"), data)
    write(a.path("other"), data[: 1 << 20])
    eventually(lambda: os.path.exists(b.path("other")) and os.path.exists(b.path("big")),
               what="both names")
    assert os.stat(b.path("big")).st_size == len(data)
    assert b.about("big")["state"] == "remote" and b.about("big")["local"] == 0
    before = b.status()["fetched_bytes"]
    with open(b.path("big"), "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        f.seek(20 << 20)
        assert f.read(4096) == data[20 << 20:(20 << 20) + 4096]
    moved = b.status()["fetched_bytes"] - before
    assert 4096 <= moved <= 3 << 20, moved
    assert b.about("big")["state"] == "partial"
    assert b.about("other")["state"] == "local" or b.about("other")["local"] == 0
    assert read(b.path("big")) == data
    assert b.about("big")["state"] == "local"
    served = [p["served_bytes"] for p in a.json("peers")["peers"] if not p["self"]]
    assert served[0] >= len(data)


def a_small_edit_moves_little(make):
    """Four bytes changed in the middle of a large file move a chunk or two, either way."""
    a, b = pair(make)
    data = bytearray(os.urandom(16 << 20))
    write(a.path("big"), data)
    eventually(lambda: os.path.exists(b.path("big")), what="big")
    with open(b.path("big"), "r+b") as f:  # most of it is not here
        f.seek(8 << 20)
        f.write(b"edit")
    data[8 << 20:(8 << 20) + 4] = b"edit"
    eventually(lambda: read(a.path("big")) == bytes(data), what="the edit on A")
    assert a.status()["fetched_bytes"] < 2 << 20, a.status()["fetched_bytes"]
    assert b.status()["fetched_bytes"] < 4 << 20, b.status()["fetched_bytes"]
    assert read(b.path("big")) == bytes(data)


def holes_cost_nothing(make):
    """A sparse file of a TiB is sealed, shown and read at its end in no time."""
    a, b = pair(make)
    with open(a.path("sparse"), "wb") as f:
        f.write(b"head")
        f.truncate(1 << 40)
        f.seek((1 << 40) - 4)
        f.write(b"tail")
    eventually(lambda: os.stat(b.path("sparse")).st_size == 1 << 40, what="sparse")
    with open(b.path("sparse"), "rb") as f:
        assert f.read(6) == b"head\0\0"
        f.seek(1 << 39)
        assert f.read(100000) == bytes(100000)
        f.seek((1 << 40) - 4)
        assert f.read(10) == b"tail"


def long_holes(make):
    """A hole is sealed in no time, however long it is and whatever was there before."""
    a, b = pair(make)
    write(a.path("f"), b"begins")
    for size in (1 << 40, 1 << 62):
        os.truncate(a.path("f"), size)
        eventually(lambda s=size: os.path.exists(b.path("f")) and os.stat(b.path("f")).st_size == s,
                   10, "the size")


def an_open_file_keeps_its_version(make):
    """Whoever has a file open goes on reading the version it opened."""
    a, b = pair(make)
    write(a.path("f"), b"a" * 300000)
    eventually(lambda: os.path.exists(b.path("f")) and read(b.path("f"))[:1] == b"a", what="f")
    with open(b.path("f"), "rb") as f:
        assert f.read(10) == b"a" * 10
        write(a.path("f"), b"b" * 300000)
        eventually(lambda: read(b.path("f"))[:1] == b"b", what="the new version")
        assert f.read(290000) == b"a" * 290000


def powers_do_not_travel(make):
    """A device node or a setuid bit of one member is nothing to the other, even to its root."""
    a, b = pair(make)
    os.mknod(a.path("zero"), stat.S_IFCHR | 0o666, os.makedev(1, 5))
    write(a.path("f"), b"")
    os.chmod(a.path("f"), 0o4755)
    eventually(lambda: os.stat(b.path("f")).st_mode & 0o7777 == 0o4755, what="the mode")
    for d in (a, b):
        flags = os.statvfs(d.dir).f_flag
        assert flags & os.ST_NOSUID and flags & os.ST_NODEV, flags
        assert stat.S_ISCHR(os.stat(d.path("zero")).st_mode)
        try:
            read(d.path("zero"))
            raise AssertionError("a device was opened")
        except PermissionError:
            pass


def many_small_files(make):
    """Thousands of small files come over, all of them, and read right."""
    a, b = pair(make)
    os.mkdir(a.path("many"))
    for k in range(2000):
        write(a.path("many", str(k)), b"%d " % k * (k % 900))
    eventually(lambda: len(os.listdir(b.path("many"))) == 2000, 60, "all names")
    same(a, b)


def stop_and_start(make):
    """After a clean stop and a start both go on where they were, the same tree, connected."""
    a, b = pair(make)
    write(a.path("f"), b"one")
    same(a, b)
    for d in (a, b):
        mode = stat.S_IMODE(os.stat(os.path.join(d.home, "data", "device.key")).st_mode)
        assert mode == 0o600
        d.unmount()
        d.stop()
        d.run("status", code=5)
        d.start()
    eventually(lambda: a.connected() == 1 and b.connected() == 1, 60, "a connection")
    write(b.path("g"), b"two")
    eventually(lambda: os.path.exists(a.path("g")), what="g")
    assert set(same(a, b)) == {"f", "g"}
    a.run("umount", a.dir)
    eventually(lambda: a.status()["mount"] == "", what="it to be unmounted")
    assert not os.listdir(a.dir)
    write(b.path("h"), b"three")
    a.run("mount", "docs")
    eventually(lambda: read(a.path("h")) == b"three", what="h")


def offline_and_merge(make):
    """Both work while apart; together again nothing is lost and both show the same."""
    a, b = pair(make)
    write(a.path("both"), b"base")
    write(a.path("removed"), b"base")
    write(a.path("moved"), b"base")
    same(a, b)
    a.unmount()
    a.stop()
    write(b.path("both"), b"from b")
    write(b.path("removed"), b"edited on b")
    os.rename(b.path("moved"), b.path("moved-by-b"))
    write(b.path("new-b"), b"b")
    assert b.connected() == 0
    port = b.port
    b.unmount()
    b.stop()
    b.run("config", "set", "device.listen", f"127.0.0.1:{free_port()}")
    a.run("config", "set", "device.listen", f"127.0.0.1:{free_port()}")
    a.start()
    write(a.path("both"), b"from a")
    os.unlink(a.path("removed"))
    os.rename(a.path("moved"), a.path("moved-by-a"))
    write(a.path("new-a"), b"a")
    a.unmount()
    a.stop()
    a.run("config", "set", "device.listen", f"127.0.0.1:{a.port}")
    b.run("config", "set", "device.listen", f"127.0.0.1:{port}")
    a.start()
    b.start()
    eventually(lambda: a.connected() == 1 and b.connected() == 1, 60, "a connection")
    shown = same(a, b)
    contents = [what for _, what in shown.values()]
    for data in (b"from a", b"from b", b"edited on b", b"a", b"b"):
        assert data in contents, (data, shown)
    copies = [p for p in shown if p.startswith("both (conflict ")]
    assert len(copies) == 1, shown
    for d in (a, b):  # kept, though its name was removed: it has one all the same
        assert os.stat(d.path("removed")).st_nlink == 1
    os.link(b.path("removed"), b.path("linked"))
    eventually(lambda: read(a.path("linked")) == b"edited on b", what="the link")
    for d in (a, b):
        assert os.stat(d.path("removed")).st_nlink == os.stat(d.path("linked")).st_nlink == 2
    assert any("both" in c["path"] for c in a.json("conflicts")["conflicts"])
    assert a.about("both")["conflict"] and b.about(copies[0])["conflict_copy"]
    os.unlink(b.path(copies[0]))
    eventually(lambda: copies[0] not in tree(a.dir), what="its end")
    assert not a.about("both")["conflict"]
    same(a, b)


if __name__ == "__main__":
    run(visible_both_ways, whole_or_not_at_all, reads_move_what_is_asked,
        a_small_edit_moves_little, holes_cost_nothing, an_open_file_keeps_its_version,
        long_holes, powers_do_not_travel, many_small_files, stop_and_start, offline_and_merge)
