#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-clone - a store that was copied, and one that was put back from a backup: nothing is lost

Both are old images of a device whose life went on.  Each life goes on as an incarnation of its own.
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import eventually, pair, read, run, same, tree, write  # noqa: E402


def shared(make):
    a, b = pair(make)
    write(a.path("base"), b"base")
    eventually(lambda: read(b.path("base")) == b"base", what="base on beta")
    write(b.path("early"), b"from beta")
    eventually(lambda: read(a.path("early")) == b"from beta", what="early on alpha")
    same(a, b)
    return a, b


def end(device):
    device.unmount()
    device.stop()


def contents(device):
    return sorted(what for _, what in tree(device.dir).values() if what is not None)


def copied(make):
    """Two machines with one store, at work at the same time without hearing of each other."""
    a, b = shared(make)
    end(b)
    c = make("gamma")
    shutil.rmtree(c.home)
    shutil.copytree(b.home, c.home, symlinks=True)
    c.run("config", "set", "device.listen", f"127.0.0.1:{c.port}")
    end(a)  # so neither learns from it how far the other has come
    b.start()
    c.run("mount", "docs", c.dir)
    for device, text in ((b, b"one"), (c, b"two")):
        write(device.path("life " + text.decode()), text)
        write(device.path("base"), b"base " + text)
        os.rename(device.path("early"), device.path("early " + text.decode()))
    a.start()
    eventually(lambda: {"life one", "life two"} <= set(os.listdir(a.dir)), 60, "both on alpha")
    same(a, b, c)
    assert contents(a) == [b"base one", b"base two", b"from beta", b"one", b"two"], contents(a)
    assert not a.status()["forks"]
    write(c.path("after"), b"after")
    eventually(lambda: read(b.path("after")) == b"after", 60, "the other life's next file on beta")
    same(a, b, c)


def put_back(make):
    """A backup of a running device's store is put back after it went on."""
    a, b = shared(make)
    write(b.path("late"), b"in the backup")
    end(b)
    backup = b.home + ".backup"
    shutil.copytree(b.home, backup, symlinks=True)
    b.start()
    eventually(lambda: b.connected() == 1, 60, "a connection")
    write(b.path("later"), b"after the backup")
    write(b.path("base"), b"base later")
    eventually(lambda: read(a.path("base")) == b"base later", what="it on alpha")
    same(a, b)
    end(b)
    end(a)
    shutil.rmtree(b.home)
    os.rename(backup, b.home)
    b.start()
    write(b.path("offline"), b"before it has heard of what it did")
    write(b.path("base"), b"base again")
    a.start()
    eventually(lambda: os.path.exists(b.path("later")), 60, "what it did since, on beta")
    same(a, b)
    assert contents(a) == sorted([b"base later", b"base again", b"from beta", b"in the backup",
                                  b"after the backup", b"before it has heard of what it did"])
    assert not a.status()["forks"] and not b.status()["forks"]


if __name__ == "__main__":
    run(copied, put_back)
