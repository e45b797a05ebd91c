#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-brake - a device that removes or rewrites much at once is held until a member decides"""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import eventually, pair, read, run, same, write  # noqa: E402

FILES = 1600  # of which more than 1,000 may not go at once


def fill(device, below="d"):
    os.mkdir(device.path(below))
    for k in range(FILES):
        write(device.path(below, f"f{k}"), b"%d\n" % k)


def count(device, below="d"):
    return len(os.listdir(device.path(below))) if os.path.isdir(device.path(below)) else 0


def held(device):
    return [x for x in device.status()["set_aside"] if x["why"] == "mass change"]


def shared(make):
    a, b = pair(make)
    assert a.run("accept", "beta", code=4) == "" and "nothing of" in a.error, a.error
    assert a.run("accept", "gamma", code=10) == "" and "gamma" in a.error, a.error
    fill(a)
    eventually(lambda: count(b) == FILES and b.settled(), what="all files on beta")
    return a, b


def accepted(make):
    """rm -r of a whole tree is held; the old tree is served meanwhile; accepted, it goes on."""
    a, b = shared(make)
    shutil.rmtree(b.path("d"))
    eventually(lambda: held(a), what="beta's change to be held")
    assert held(a)[0]["name"] == "beta" and held(a)[0]["since_ms"] > 0
    assert "peerfs accept beta" in a.run("status")
    left = count(a)
    assert FILES - 1000 <= left < FILES, left
    name = sorted(os.listdir(a.path("d")))[0]
    assert read(a.path("d", name)) == b"%s\n" % name[1:].encode()
    write(a.path("elsewhere"), b"goes on")
    eventually(lambda: read(b.path("elsewhere")) == b"goes on", what="alpha's own change on beta")
    assert b.run("accept", "beta", code=4) == ""  # nothing is held there
    assert "decided in docs" in a.run("accept", "beta")
    eventually(lambda: count(a) == 0, what="the change to go on")
    same(a, b)
    assert not a.status()["set_aside"]


def rejected(make):
    """Rejected, it is undone on the device that made it, too, which then goes on as ever."""
    a, b = shared(make)
    for k in range(FILES):  # as one that encrypts everything for a ransom
        write(b.path("d", f"f{k}"), b"pay %d" % k)
    eventually(lambda: held(a), what="beta's change to be held")
    a.stop()  # a held change stays so
    a.unmount()
    a.start()
    eventually(lambda: a.connected() == 1 and held(a), what="alpha to be back")
    a.run("reject", "beta", "docs")
    eventually(lambda: read(b.path("d", f"f{FILES - 1}")) == b"%d\n" % (FILES - 1),
               what="the old contents on beta")
    tree = same(a, b)
    assert sum(1 for _, what in tree.values() if what and what.startswith(b"pay")) <= 1100
    assert [x["why"] for x in a.status()["set_aside"]] == ["not accepted"]
    write(b.path("after"), b"from beta")
    eventually(lambda: read(a.path("after")) == b"from beta", what="beta's next change on alpha")
    same(a, b)
    assert "peerfs accept beta" in a.run("status")
    a.run("accept", "beta")  # somebody thinks again
    eventually(lambda: not a.status()["set_aside"], what="what was set aside to be taken in")
    tree = same(a, b)
    assert sum(1 for _, what in tree.values() if what and what.startswith(b"pay")) == FILES


def without(make):
    """brake = no: nothing is held."""
    a, b = make("alpha"), make("beta")
    for d in (a, b):
        d.run("config", "set", "folder.docs.brake", "no")
    a.create()
    b.join(a.invite())
    eventually(lambda: a.connected() == 1, what="a connection")
    fill(a)
    eventually(lambda: count(b) == FILES and b.settled(), what="all files on beta")
    shutil.rmtree(b.path("d"))
    eventually(lambda: count(a) == 0, what="the removal on alpha")
    assert not a.status()["set_aside"]


if __name__ == "__main__":
    run(accepted, rejected, without)
