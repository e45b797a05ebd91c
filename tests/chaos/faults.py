# SPDX-License-Identifier: MIT
"""What goes wrong in a run: chosen by the seed, one thing after another, each with its end.

A fault is begun, and its end is due after a while; several overlap.  A device has one fault of its
own at a time (killed, stopped, frozen), and so has the network's partition.
"""

import heapq
import time


class Faults:
    """The hand that breaks things, and mends them."""

    def __init__(self, net, nodes, chance, say):
        self.net, self.nodes, self.random, self.say = net, nodes, chance, say
        self.due = []  # (moment, number, function): ends of faults
        self.count = 0
        self.busy = set()  # devices with a fault of their own
        self.parted = set()  # what a partition cut
        self.tally = {}
        self.kinds = [(self.part, 4), (self.isolate, 3), (self.one_way, 3), (self.flap, 1),
                      (self.lossy, 3), (self.cable, 2), (self.crash, 5), (self.freeze, 3),
                      (self.orderly, 1)]

    def later(self, seconds, end):
        self.count += 1
        heapq.heappush(self.due, (time.monotonic() + seconds, self.count, end))

    def during(self, seconds):
        """Breaks and mends for so long, then mends all."""
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            self.begin()
            pause = min(over, time.monotonic() + self.random.uniform(0.05, 1.5))
            while True:
                moment = min(pause, self.due[0][0] if self.due else pause)
                time.sleep(max(0.0, moment - time.monotonic()))  # until something is due
                if not self.due or self.due[0][0] > time.monotonic():
                    if time.monotonic() >= pause:
                        break
                    continue
                heapq.heappop(self.due)[2]()
        self.mend()

    def mend(self):
        while self.due:
            heapq.heappop(self.due)[2]()
        self.parted.clear()
        self.net.heal()
        self.say("healed")

    def begin(self):
        kinds, weights = zip(*self.kinds)
        kind = self.random.choices(kinds, weights)[0]
        if kind():
            self.tally[kind.__name__] = self.tally.get(kind.__name__, 0) + 1

    def free(self):
        """A device without a fault of its own, if there is one."""
        number = self.random.randrange(len(self.nodes))  # drawn always: the next draw is the same
        return None if number in self.busy else self.nodes[number]

    # ---- the network ----

    def separate(self, one, seconds):
        """Cuts a group of devices from the others, in both directions."""
        if self.parted:
            return False
        other = set(range(len(self.nodes))) - set(one)
        pairs = {(a, b) for a in one for b in other} | {(b, a) for a in one for b in other}
        self.say(f"partition {sorted(one)} | {sorted(other)} for {seconds:.1f} s")
        self.parted = pairs
        self.net.cut(pairs)
        self.later(seconds, self.rejoin)
        return True

    def rejoin(self):
        self.say("end of the partition")
        self.net.mend(self.parted)
        self.parted = set()

    def part(self):
        size = self.random.randint(1, len(self.nodes) - 1)
        return self.separate(self.random.sample(range(len(self.nodes)), size),
                             self.random.uniform(0.3, 8))

    def isolate(self):
        return self.separate([self.random.randrange(len(self.nodes))], self.random.uniform(0.3, 6))

    def flap(self):
        """A partition that comes and goes."""
        one = self.random.sample(range(len(self.nodes)), self.random.randint(1, len(self.nodes) - 1))
        times = [self.random.uniform(0.05, 0.4) for _ in range(5)]
        if not self.separate(one, times[0]):
            return False
        at = 0.0
        for length in times[1:]:
            at += length + 0.4
            self.later(at, lambda s=length: self.separate(one, s))
        return True

    def one_way(self):
        a, b = self.random.sample(range(len(self.nodes)), 2)
        seconds = self.random.uniform(0.3, 8)
        if self.parted:
            return False
        self.say(f"n{b} does not hear n{a} for {seconds:.1f} s")
        self.parted = {(a, b)}
        self.net.cut(self.parted)
        self.later(seconds, self.rejoin)
        return True

    def lossy(self):
        k = self.random.randrange(len(self.nodes))
        percent, seconds = self.random.choice((1, 5, 20, 50)), self.random.uniform(0.5, 6)
        self.say(f"n{k} loses {percent} % of what it is sent for {seconds:.1f} s")
        self.net.lose(k, percent)
        self.later(seconds, lambda: self.net.lose(k, 0))
        return True

    def cable(self):
        k, seconds = self.random.randrange(len(self.nodes)), self.random.uniform(0.1, 5)
        if k in self.net.down:
            return False
        self.say(f"n{k}'s cable is out for {seconds:.1f} s")
        self.net.pull(k)
        self.later(seconds, lambda: self.net.plug_in(k))
        return True

    # ---- devices ----

    def back(self, node):
        self.say(f"{node.name} starts")
        node.start()
        self.busy.discard(node.k)

    def crash(self):
        node, seconds = self.free(), self.random.choice((0, 0, self.random.uniform(0, 4)))
        if not node:
            return False
        self.say(f"{node.name} is killed, starts after {seconds:.1f} s")
        self.busy.add(node.k)
        node.kill()
        self.later(seconds, lambda: self.back(node))
        return True

    def orderly(self):
        node, seconds = self.free(), self.random.uniform(0, 3)
        if not node:
            return False
        self.say(f"{node.name} is stopped, starts after {seconds:.1f} s")
        self.busy.add(node.k)
        node.stop()
        self.later(seconds, lambda: self.back(node))
        return True

    def freeze(self):
        node, seconds = self.free(), self.random.uniform(0.05, 4)
        if not node:
            return False

        def thaw():
            node.thaw()
            self.busy.discard(node.k)

        self.say(f"{node.name} is frozen for {seconds:.1f} s")
        self.busy.add(node.k)
        node.freeze()
        self.later(seconds, thaw)
        return True
