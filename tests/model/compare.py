#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The view in C against the model: both go through the same histories and must show the same.

    compare.py REPLAY [--random N] [--seed S] [--seconds T] [--matrix] [--exhaustive SLICE/OF] [--watch] [--roles]

Histories come from check.py: the rows of the matrix, random ones, small ones exhaustively.  After each
step the acting device's whole view and conflict list are compared, at the end those of all devices, and
of a replica that received all bundles in another causal order.

With --roles members are removed, retired, rejected, made readers or accepted while they write.  Their bundles and
these decisions are then heard by a node, the whole core with log and roster: in an order in which causes come first
and the tree is compared each time a decision has come, and in one of all orders, where it is compared at the end.
"""
import argparse
import contextlib
import hashlib
import itertools
import random
import subprocess
import sys
import time

import check
import peerfs_model as m


def text_of(r):
    """The view of a replica as replay prints it."""
    out = []
    for path, (typ, data, mode, xattrs, i) in sorted(r.view().items(), key=lambda x: x[0].encode()):
        xs = "".join("%s=%s," % x for x in xattrs)
        out.append("%s\t%s\t%s\t%o\t%s\t%d.%d\n" % (path, typ, data or "", mode, xs, *i))
    out += sorted("! %s\t%s\n" % c for c in r.conflicts())
    return "".join(out)


def digest(text):
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()[:32]


class Script:
    """Runs a history in the model; collects replay's input and the output it must give."""

    def __init__(self, devs, title, full=False, gc=False):
        self.devs, self.full, self.gc = devs, full, gc
        self.lines, self.want = ["-\t" + title], [title]
        self.w = check.World(devs, (), gc)

    def send(self, *words):
        self.lines.append("\t".join(str(x) for x in words))

    def show(self, d, r=None):
        r = r or self.w.r[d]
        if self.full:
            self.send(d, "view")
            self.want += text_of(r).splitlines()
        else:
            self.send(d, "hash")
            self.want.append(digest(text_of(r)))

    def step(self, s, show=True):
        d, op, *args = s
        r = self.w.r[d]
        if op == "gc":
            if self.gc:
                self.w.step(s)
                self.send(d, "gc", "".join(self.devs))
                self.show(d)
            return
        if "?" in args:
            args[args.index("?")] = next((p for p in sorted(r.view()) if "(conflict" in p), "/none")
        if op in ("pull", "cut", "tick", "restart", "rmrf", "hold", "release"):
            self.w.step((d, op, *args))
            self.send(d, op, *[a for a in args if a is not None])
        else:
            if op == "resolve" and args[1] != "all" and m.split(args[0])[0] != m.split(args[1])[0]:
                return
            ok = check.do(r, op, args)
            self.send(d, op, *args)
            self.want.append("ok" if ok else "no")
        if show:
            self.show(d)

    def converge(self):
        for _ in range(2):
            for a, b in itertools.permutations(self.devs, 2):
                self.step((a, "pull", b), False)

    def arrive(self, rng):
        """A replica Z that gets all bundles in some causal order."""
        log = self.w.r[self.devs[0]].log
        todo = [d for d in log for _ in log[d]]
        rng.shuffle(todo)
        z, pos = m.Replica("Z"), dict.fromkeys(log, 0)
        while todo:
            for k, d in enumerate(todo):
                if z.receive(log[d][pos[d]]):
                    self.send("Z", "receive", d)
                    pos[d] += 1
                    del todo[k]
                    break
        self.show("Z", z)

    def play(self, steps, base, rng):
        for s in base:
            self.step(s, False)
        self.converge()
        for s in steps:
            self.step(s)
        for d in self.devs:
            self.step((d, "release"), False)
        self.converge()
        for d in self.devs:
            self.show(d)
        self.arrive(rng)
        for d in self.devs if self.gc else ():
            self.step((d, "gc"))
            self.send(d, "left")
            self.want.append(str(len(self.w.r[d].inodes)))
        for d in self.devs:                     # no operation wrote more than it must
            self.send(d, "ops")
            self.want.append(str(self.w.r[d].ops))
        for d in self.devs:
            self.send(d, "digest")
            self.want.append("DIGEST")
        return self


class Roles(Script):
    """A history, and what a node makes of it that also hears of decisions about its members."""

    def __init__(self, devs, title):
        super().__init__(devs, title)
        self.lines.append("=\tfolder")
        self.decisions = []

    def decide(self, kind, subject, d):
        """With what device d has applied by now."""
        self.step((d, "cut"), False)
        self.decisions.append(m.Decision(kind, subject, dict(self.w.r[d].vec)))

    def say(self, *words):
        self.lines.append("\t".join(["=", *map(str, words)]))

    def shown(self, h):
        z = h.view_of()
        self.say("applied")
        self.want.append("applied " + " ".join(str(z.vec.get(d, 0)) for d in "ABCDEF"))
        self.say("hash")
        self.want.append(digest(text_of(z)))

    def hear(self, h, x):
        if isinstance(x, m.Decision):
            h.decisions.append(x)
            self.say("roster", len(h.decisions))
        else:
            h.held[x.dev].append(x)
            self.say("hear", x.dev, x.seq)

    def causal(self, rng):
        """All bundles in an order in which causes come first, with the decisions among them."""
        todo = [b for d in self.devs for b in self.w.r[d].log[d]]
        z, out = m.Replica("Z"), []
        while todo:
            ready = [b for b in todo if b.seq == z.vec.get(b.dev, 0) + 1 and
                     all(z.vec.get(d, 0) >= s for d, s in b.v.items())]
            b = rng.choice(ready)
            z.vec[b.dev] = b.seq
            todo.remove(b)
            out.append(b)
        for k, at in enumerate(sorted(rng.randint(0, len(out)) for _ in self.decisions)):
            out.insert(at + k, self.decisions[k])
        return out

    def judged(self, rng):
        for d in self.devs:
            self.step((d, "cut"), False)
        self.say("publish")
        for d in self.decisions:
            self.say("decide", d.kind, d.subject, *("%s=%d" % x for x in sorted(d.vec.items())))
        order = self.causal(rng)
        self.say("fresh")
        h = m.Hearer()
        for k, x in enumerate(order):
            self.hear(h, x)
            if isinstance(x, m.Decision) or k == len(order) - 1:
                self.shown(h)
        bundles = [x for x in order if not isinstance(x, m.Decision)]
        rng.shuffle(bundles)
        for k, at in enumerate(sorted(rng.randint(0, len(bundles)) for _ in self.decisions)):
            bundles.insert(at + k, k)
        self.say("fresh")
        for x in bundles:
            self.say(*(("roster", x + 1) if isinstance(x, int) else ("hear", x.dev, x.seq)))
        self.shown(h)
        return self


def roles(t, seed):
    """A random history of two to six devices, one to three decisions in it."""
    rng = random.Random(seed)
    devs = "ABCDEF"[:rng.randint(2, 6)]
    _, steps = check.random_history(seed, seed % 2 == 1, devs)
    s = Roles(devs, "history roles %d" % seed)
    for x in check.BASE:
        s.step(x, False)
    s.converge()
    when = [rng.randrange(len(steps)) for _ in range(rng.randint(1, 3))]
    for k, x in enumerate(steps):
        s.step(x, False)
        for _ in range(when.count(k)):
            s.decide(rng.choice(["remove", "retire", "reject", "reader", "accept"]), *rng.sample(devs, 2))
    for d in devs:
        s.step((d, "release"), False)
    return s.judged(rng)


def all_roles(t, opt, end):
    with incarnations(t):
        run_roles(t, opt, end)


@contextlib.contextmanager
def incarnations(t):
    """The model counts in the incarnations of replay's members."""
    numbers = t.run_text("-\tincs\n=\tincs\n").splitlines()[1:]
    m.INCS.update(zip("ABCDEF", map(int, numbers)))
    try:
        yield
    finally:
        m.INCS.clear()


def run_roles(t, opt, end):
    for seed in range(opt.seed, opt.seed + opt.random):
        if time.time() > end or t.failed > 3:
            break
        try:
            s = roles(t, seed)
        except Exception as e:
            print("the model failed on roles, seed", seed, repr(e))
            t.failed += 1
            continue
        if same(t.run([s])[0], s.want):
            t.passed += 1
            continue
        t.failed += 1
        print("FAILED", s.want[0], "of", devs_of(s))
        for k, (g, w) in enumerate(itertools.zip_longest(t.run([s])[0], s.want)):
            if g != w:
                print("  line %d\n    C     %s\n    model %s" % (k, g, w))
                break


def devs_of(s):
    return "%s, decided: %s" % (s.devs, "; ".join("%s %s %s" % d for d in s.decisions))


def same(got, want):
    """Whether outputs agree; digests only among each other."""
    if len(got) != len(want):
        return False
    first = None
    for g, w in zip(got, want):
        if w == "DIGEST":
            first = first or g
            w = first
        if g != w:
            return False
    return True


class Trial:
    def __init__(self, replay, watch):
        self.replay, self.watch, self.env = replay, watch, None
        self.batch, self.passed, self.failed = [], 0, 0

    def run_text(self, text):
        p = subprocess.run([self.replay], input=text.encode(), stdout=subprocess.PIPE, check=True, env=self.env)
        return p.stdout.decode()

    def run(self, scripts):
        """Output of replay, cut by history."""
        text = "".join("\n".join(s.lines) + "\n" for s in scripts)
        p = subprocess.run([self.replay] + (["-c"] if self.watch else []), input=text.encode(),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out = p.stdout.decode(errors="replace").splitlines()
        parts = []
        for line in out:
            if line.startswith("history "):
                parts.append([])
            if parts:
                parts[-1].append(line)
        if p.returncode:
            parts = parts or [[]]
            parts[-1].append("EXIT %d %s" % (p.returncode, p.stderr.decode(errors="replace")[:3000]))
        return parts + [[]] * (len(scripts) - len(parts))

    def add(self, title, devs, steps, base, seed=0, gc=False):
        title += " with gc" if gc else ""
        try:
            s = Script(devs, "history " + title, gc=gc).play(steps, base, random.Random(seed))
        except Exception as e:
            print("the model failed on", title, repr(e), steps)
            self.failed += 1
            return
        self.batch.append((s, devs, steps, base, seed, gc))
        if len(self.batch) >= 200:
            self.flush()

    def flush(self):
        todo, self.batch = self.batch, []
        while todo:
            parts = self.run([x[0] for x in todo])
            bad = next((k for k, (x, p) in enumerate(zip(todo, parts)) if not same(p, x[0].want)), None)
            if bad is None:
                self.passed += len(todo)
                return
            self.passed += bad
            self.failed += 1
            if self.failed <= 3:
                self.explain(*todo[bad])
            todo = todo[bad + 1:]

    def fails(self, devs, steps, base, seed, gc):
        try:
            s = Script(devs, "history of", gc=gc).play(steps, base, random.Random(seed))
        except Exception:
            return False
        return not same(self.run([s])[0], s.want)

    def explain(self, s, devs, steps, base, seed, gc):
        size = max(1, len(steps) // 2)
        while size:
            k = 0
            while k < len(steps):
                less = steps[:k] + steps[k + size:]
                if self.fails(devs, less, base, seed, gc):
                    steps = less
                else:
                    k += size
            size //= 2
        print("FAILED", s.want[0], "of", devs)
        for x in steps:
            print("    ", x)
        s = Script(devs, "history of", True, gc).play(steps, base, random.Random(seed))
        got = self.run([s])[0]
        for k, (g, w) in enumerate(itertools.zip_longest(got, s.want)):
            if g != w and w != "DIGEST":
                print("  line %d\n    C     %s\n    model %s" % (k, g, w))
                break
        sys.stdout.flush()


def matrix(t):
    for row in check.MATRIX:
        for late in "AB":
            for gc in (False, True):
                t.add("%s, %s later" % (row[0], late), "AB", check.row_steps(row, late), check.M, gc=gc)
    for title, devs, steps in check.DIRECTED:
        for gc in (False, True):
            t.add(title, devs, steps, check.BASE, gc=gc)


def exhaustive(t, part, parts):
    pairs = itertools.product(check.ALPHABET, check.ALPHABET, check.SECOND, check.SECOND, "AB")
    for k, (x, y, u, v, late) in enumerate(pairs):
        if k % parts == part:
            st = check.stepper
            steps = [(late, "tick", 5000), st("A", x, 0), st("B", y, 0), ("A", "pull", "B"), ("B", "pull", "A"),
                     ("A", "tick", 5000), ("B", "tick", 5000), (late, "tick", 5000), st("A", u, 1), st("B", v, 1)]
            t.add("second %d" % k, "AB", steps, check.BASE)


def small(t, part, parts):
    seqs = [()] + [(x,) for x in check.ALPHABET] + list(itertools.product(check.ALPHABET, repeat=2))
    for k, (x, y, late) in enumerate((x, y, late) for x in seqs for y in seqs for late in "AB"):
        if k % parts != part:
            continue
        steps = [(late, "tick", 5000)]
        for dev, ops in (("A", x), ("B", y)):
            for j, op in enumerate(ops):
                steps += [check.stepper(dev, op, j), (dev, "cut")]
        t.add("exhaustive %d" % k, "AB", steps, check.BASE)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("replay")
    ap.add_argument("--random", type=int, default=1000000)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--seconds", type=float, default=25)
    ap.add_argument("--exhaustive", default="")
    ap.add_argument("--watch", action="store_true")
    ap.add_argument("--roles", action="store_true")
    opt = ap.parse_args()
    t, end = Trial(opt.replay, opt.watch), time.time() + opt.seconds
    if opt.roles:
        all_roles(t, opt, end)
        print("%d histories with decisions alike, %d not" % (t.passed, t.failed))
        return t.failed > 0 or t.passed == 0
    matrix(t)
    if opt.exhaustive:
        part, parts = map(int, opt.exhaustive.split("/"))
        exhaustive(t, part, parts)
        small(t, part, parts)
    for seed in range(opt.seed, opt.seed + opt.random):
        if time.time() > end or t.failed > 3:
            break
        try:
            devs, steps = check.random_history(seed, seed % 2 == 1)
        except Exception as e:
            print("the model failed on seed", seed, repr(e))
            continue
        t.add("random %d" % seed, devs, steps, check.BASE, seed)
        t.add("random %d" % seed, devs, steps, check.BASE, seed, True)
    t.flush()
    print("%d histories alike, %d not" % (t.passed, t.failed))
    return t.failed > 0 or t.passed == 0


if __name__ == "__main__":
    sys.exit(main())
