#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-crash - daemons killed at random moments under load: what was acknowledged is still there

SEED=n chooses the moments, ROUNDS=n how often.  A writer notes what write() and rename()
acknowledged; after each crash and new start, and at the end on every device, each noted content is
shown somewhere: under its name, or as a conflict copy.
"""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from devices import eventually, pair, read, run, same, tree, write  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "6"))


class Writer(threading.Thread):
    """Makes, replaces and removes files of its own until the mount dies or it is told to stop."""

    def __init__(self, device, number, seed):
        super().__init__()
        self.device, self.number = device, number
        self.random = random.Random(seed)
        self.over = False
        self.kept = {}  # name -> content that was acknowledged
        self.unsure = set()  # names whose last change may or may not have happened

    def run(self):
        count = 0
        while not self.over:
            count += 1
            name = f"{self.device.name}-{self.number}-{self.random.randrange(30)}"
            data = (f"{name} {count} ".encode() * 50 +
                    self.random.randbytes(self.random.choice((0, 200, 3000, 150000))))
            self.unsure.add(name)
            try:
                if name in self.kept and self.random.random() < 0.2:
                    os.unlink(self.device.path(name))
                    del self.kept[name]
                elif self.random.random() < 0.3:
                    write(self.device.path(name + ".new"), data)
                    os.rename(self.device.path(name + ".new"), self.device.path(name))
                    self.kept[name] = data
                else:
                    write(self.device.path(name), data)
                    self.kept[name] = data
            except OSError:
                return
            self.unsure.discard(name)

    def check(self, device):
        for name, data in self.kept.items():
            if name not in self.unsure:
                assert read(device.path(name)) == data, name


def crashes(make):
    """Either daemon is killed while both write; nothing acknowledged is lost, and they converge."""
    a, b = pair(make)
    writers = []
    known = {}
    for r in range(ROUNDS):
        writers = [Writer(d, n, random.random()) for d in (a, b) for n in range(2)]
        for w in writers:
            w.kept = known.get((w.device.name, w.number), {})
            w.start()
        time.sleep(random.uniform(0.05, 0.6))  # the moment of the crash
        victim = random.choice((a, b))
        victim.kill()
        for w in writers:
            w.over = True
        victim.start()  # which frees whoever still waits for the dead one
        for w in writers:
            w.join(30)
            assert not w.is_alive(), "a writer hangs on a dead mount"
            known[(w.device.name, w.number)] = {k: v for k, v in w.kept.items()
                                                if k not in w.unsure}
        for w in writers:
            w.check(w.device)
        if r % 3 == 2:
            victim.unmount()
            victim.stop()
            victim.start()
            for w in writers:
                w.check(w.device)
    eventually(lambda: a.connected() == 1 and b.connected() == 1, 60, "a connection")
    same(a, b, seconds=120)
    for w in writers:
        w.check(a)
        w.check(b)


def crash_of_the_reader(make):
    """A daemon that is killed while it fetches goes on after its start with what it had."""
    a, b = pair(make)
    data = os.urandom(24 << 20)
    write(a.path("big"), data)
    eventually(lambda: os.path.exists(b.path("big")), what="big")

    def quietly():
        try:
            read(b.path("big"))
        except OSError:
            pass

    for _ in range(3):
        reader = threading.Thread(target=quietly)
        reader.start()
        time.sleep(random.uniform(0.01, 0.15))  # the moment of the crash
        b.kill()
        b.start()
        reader.join(30)
        assert not reader.is_alive()
    eventually(lambda: b.connected() == 1, 60, "a connection")
    assert read(b.path("big")) == data
    assert b.about("big")["state"] == "local"


def three_relay(make):
    """What A writes reaches C, which only ever meets B."""
    a, b = pair(make)
    c = make("gamma")
    write(a.path("before"), b"before")
    c.join(a.invite())
    eventually(lambda: c.connected() == 2, 60, "all connections")
    same(a, b, c)
    c.unmount()
    c.stop()
    write(a.path("while-away"), b"x" * 200000)
    assert read(a.path("while-away"))
    eventually(lambda: read(b.path("while-away"))[:1] == b"x", what="it on B")
    same(a, b)
    a.unmount()
    a.stop()
    c.start()
    eventually(lambda: c.connected() == 1, 60, "a connection with B")
    eventually(lambda: len(read(c.path("while-away"))) == 200000, 60, "it on C")
    write(c.path("from-c"), b"c")
    eventually(lambda: os.path.exists(b.path("from-c")), 60, "from-c on B")
    c.unmount()
    c.stop()
    a.start()
    eventually(lambda: a.connected() == 1, 60, "a connection")
    eventually(lambda: os.path.exists(a.path("from-c")), 60, "from-c on A")
    c.start()
    eventually(lambda: c.connected() == 2, 60, "all connections")
    shown = same(a, b, c)
    assert set(shown) == {"before", "while-away", "from-c"}
    assert tree(c.dir) == shown


if __name__ == "__main__":
    run(crashes, crash_of_the_reader, three_relay)
