# SPDX-License-Identifier: MIT
"""Checks of the merge model: the matrix, small histories exhaustively, long ones at random.

    check.py [--random N] [--seed S] [--exhaustive] [--slice I/N]

Every history is checked for: each local operation changes the local view exactly as POSIX says; equal views
and conflict lists everywhere and in any causal order of arrival; a valid tree; no content lost; silence
after convergence. A failing history is shrunk and printed as a script.
"""
import argparse
import itertools
import pickle
import random
import re
import sys
import time

import peerfs_model as m
from peerfs_model import Replica, PosixError

BASE = [("A", "mkdir", "/a"), ("A", "mkdir", "/b"), ("A", "create", "/f", "f0"),
        ("A", "create", "/a/g", "g0"), ("A", "link", "/f", "/h")]


class Fail(Exception):
    pass


def need(cond, what, *detail):
    if not cond:
        raise Fail(" ".join([what] + [str(d) for d in detail]))


# ---- what POSIX says a local operation does to a view ------------------------------------------

def under(path, top):
    return path == top or path.startswith(top + "/")


def expect(r, view, op, args):
    """The view after a successful op; inode id None stands for a new one."""
    v = dict(view)
    shares = {p: s.ino for p, s in r.build()[0].items() if s.kind == "copy"}
    if op == "create":
        v[args[0]] = ("file", args[1], 0o644, (), None)
    elif op == "mkdir":
        v[args[0]] = ("dir", None, 0o755, (), None)
    elif op == "symlink":
        v[args[0]] = ("symlink", args[1], 0o777, (), None)
    elif op == "write":
        for p, e in view.items():
            if e[4] == view[args[0]][4]:
                v[p] = (e[0], args[1], *e[2:])
    elif op == "safe_save":
        v[args[0]] = ("file", args[1], 0o644, (), None)
    elif op in ("unlink", "rmdir"):
        del v[args[0]]
    elif op == "link":
        v[args[1]] = v[args[0]]
    elif op == "rename":
        src, dst = args
        same = src == dst or (dst in view and view[src][4] == view[dst][4])
        if not same:
            v = {p: e for p, e in view.items() if not under(p, src) and p != dst}
            v.update({dst + p[len(src):]: e for p, e in view.items() if under(p, src)})
    elif op == "exchange":
        a, b = args
        if view[a][4] != view.get(b, view[a])[4]:
            v = {p: e for p, e in view.items() if not under(p, a) and not under(p, b)}
            v.update({b + p[len(a):]: e for p, e in view.items() if under(p, a)})
            v.update({a + p[len(b):]: e for p, e in view.items() if under(p, b)})
    elif op in ("chmod", "setxattr"):
        for p, e in view.items():           # a derived copy has the attributes of its file
            if view[args[0]][4] in (e[4], shares.get(p)):
                if op == "chmod":
                    v[p] = (e[0], e[1], args[1], e[3], e[4])
                else:
                    x = dict(e[3])
                    x["user." + args[1]] = args[2]
                    v[p] = (*e[:3], tuple(sorted(x.items())), e[4])
    else:
        return None
    return v


def match(want, got):
    return want.keys() == got.keys() and all(
        w[:4] == got[p][:4] and (w[4] is None or w[4] == got[p][4]) for p, w in want.items())


def differ(a, b):
    return {p: (a.get(p), b.get(p)) for p in sorted(a.keys() | b.keys()) if a.get(p) != b.get(p)}


def do(r, op, args):
    """Run a local operation and check what it did; False if POSIX refuses it."""
    if op == "rmrf":
        try:
            top = [p for p in sorted(r.view(), reverse=True) if under(p, args[0])]
        except PosixError:
            return False
        for p in top:
            do(r, "rmdir" if r.view()[p][0] == "dir" else "unlink", (p,))
        return True
    r.begin()
    before = r.view()
    want = expect(r, before, op, args) if args[0] in before or op in ("create", "mkdir", "symlink") else None
    try:
        getattr(r, op)(*args)
    except PosixError:
        need(r.view() == before, "refused operation changed the view:", r.dev, op, args)
        return False
    if want is not None:
        got = r.view()
        need(match(want, got), "not POSIX:", r.dev, op, args, differ(want, got))
    return True


# ---- a world of devices ------------------------------------------------------------------------

class World:
    def __init__(self, devs, base=BASE, gc=False):
        self.devs, self.gc = devs, gc
        self.r = {d: Replica(d, devs if gc else ()) for d in devs}
        for step in base:
            self.step(step)
        self.converge()

    def step(self, s):
        d, op, *args = s
        r = self.r[d]
        if op == "pull":
            r.pull(self.r[args[0]], args[1] if len(args) > 1 else None)
        elif op == "cut":
            r.cut()
        elif op == "restart":
            self.r[d] = pickle.loads(r.dump())
        elif op == "hold":
            try:
                r.hold(args[0])
            except PosixError:
                pass
        elif op == "release":
            r.release()
        elif op == "tick":
            r.now += args[0]
        elif op == "gc":
            if self.gc:
                before = r.view(), r.conflicts()
                r.collect()
                need(before == (r.view(), r.conflicts()), "gc changed the view of", d,
                     differ(before[0], r.view()))
        else:
            if "?" in args:
                args[args.index("?")] = next((p for p in sorted(r.view()) if "(conflict" in p), "/none")
            do(r, op, args)

    def converge(self):
        for _ in range(2):
            for a, b in itertools.permutations(self.devs, 2):
                self.r[a].pull(self.r[b])


def arrive(log, order):
    """A replica without local operations that receives bundles in the given order of devices."""
    r = Replica("Z")
    pos = dict.fromkeys(log, 0)
    todo = list(order)
    while todo:
        for k, d in enumerate(todo):
            if r.receive(log[d][pos[d]]):
                pos[d] += 1
                del todo[k]
                break
        else:
            raise Fail("causal deadlock")
    return r


def check_tree(view):
    for p in view:
        head = p.rpartition("/")[0]
        need(not head or view.get(head, ("none",))[0] == "dir", "parent is no directory:", p)


def check_lost(r, view):
    recs = [x for bs in r.log.values() for b in bs for x in b.recs]
    shown = {e[1] for e in view.values() if e[0] == "file"}
    for w in recs:
        if w.kind != "content" or w.val.content is m.DROPPED or w.val.content in shown:
            continue
        homes = {w.key, m.copy_id(w.key, w)}
        ok = any(m.saw(x, w) and ((x.kind == "content" and m.dot(w) in x.val.bases)
                 or (x.kind == "link" and not x.val.place and x.key[1] in homes)) for x in recs)
        need(ok, "lost content", w.val.content, "by", w.dev)


def check_end(w, orders=2, rng=None):
    """Everything that must hold once all bundles are everywhere."""
    for d in w.devs:
        w.r[d].release()
    w.converge()
    first = w.r[w.devs[0]]
    view, conf = first.view(), first.conflicts()
    check_tree(view)
    check_lost(first, view)
    for d in w.devs[1:]:
        need(w.r[d].view() == view, "views differ:", w.devs[0], d, differ(view, w.r[d].view()))
        need(w.r[d].conflicts() == conf, "conflict lists differ:", d, conf, w.r[d].conflicts())
    log = first.log
    names = [d for d in log for _ in log[d]]
    if orders == "all":
        skip = {d: len(w.base_log[d]) for d in w.base_log}
        tail = [d for d in log for _ in log[d][skip.get(d, 0):]]
        head = [d for d in skip for _ in range(skip[d])]
        ways = [head + list(t) for t in sorted(set(itertools.permutations(tail)))]
    else:
        ways = []
        for _ in range(orders):
            rng.shuffle(names)
            ways.append(list(names))
    for way in ways:
        z = arrive(log, way)
        need(z.view() == view, "view depends on order of arrival:", way, differ(view, z.view()))
        need(z.conflicts() == conf, "conflicts depend on order of arrival")
    for d in w.devs:
        need(not w.r[d].open, "wrote while quiet", d)
    for a, b in itertools.permutations(w.devs, 2):
        need(w.r[a].pull(w.r[b]) == 0, "bundles after convergence", a, b)
    for d in w.devs if w.gc else ():
        w.step((d, "gc"))
        w.step((d, "gc"))
        for i, names in w.r[d].links.items():
            left = [h for hs in names.values() for h in hs if not h.val.place]
            need(not left or w.r[d].inodes[i].type == "dir" or w.r[d].kept_removal(i),
                 "garbage left", d, i)
    again = pickle.loads(first.dump())
    need(again.view() == view, "restart changed the view")


# ---- histories ---------------------------------------------------------------------------------

def play(devs, steps, gc=False, orders=2, seed=0, base=BASE):
    w = World(devs, base, gc)
    w.base_log = {d: list(bs) for d, bs in w.r[devs[0]].log.items()}
    for s in steps:
        w.step(s)
    check_end(w, orders, random.Random(seed))
    return w


def failing(devs, steps, **kw):
    try:
        play(devs, steps, **kw)
    except Exception as e:                      # a crash of the model is a failure too
        return "%s: %s" % (type(e).__name__, e)
    return None


def shrink(devs, steps, **kw):
    steps = list(steps)
    size = max(1, len(steps) // 2)
    while size:
        k = 0
        while k < len(steps):
            less = steps[:k] + steps[k + size:]
            if failing(devs, less, **kw):
                steps = less
            else:
                k += size
        size //= 2
    return steps


class Tally:
    def __init__(self):
        self.passed = self.failed = 0
        self.t0 = time.time()

    def run(self, title, devs, steps, **kw):
        why = failing(devs, steps, **kw)
        if not why:
            self.passed += 1
            return True
        self.failed += 1
        if self.failed <= 5:
            steps = shrink(devs, steps, **kw)
            print("FAILED %s\n  %s" % (title, failing(devs, steps, **kw) or why))
            for s in steps:
                print("    ", s)
        return False


# ---- the matrix --------------------------------------------------------------------------------
# A row: name, what both have seen, what A does, what B does, the view expected. W and L stand for the devices
# whose operations are stamped later and earlier; "?" for the path of the conflict copy; ~X for (conflict X ...).

M = [("A", "mkdir", "/d"), ("A", "mkdir", "/e"), ("A", "create", "/d/g", "g0"), ("A", "create", "/f", "f0"),
     ("A", "create", "/t", "t0")]
ALL = {"/d": "dir", "/e": "dir", "/d/g": "g0", "/f": "f0", "/t": "t0"}
HARD = [("link", "/f", "/h")]
BOTH = [("A", "write", "/f", "fA"), ("B", "write", "/f", "fB")]
SPLIT = {"/f": "fW", "/f~L": "fL"}


def plus(new=(), gone=()):
    return {**{p: c for p, c in ALL.items() if p not in gone}, **dict(new)}


MATRIX = [
    ("edit | edit", [], [("write", "/f", "fA")], [("write", "/f", "fB")], plus(SPLIT)),
    ("edit | edit, same bytes", [], [("write", "/f", "s")], [("write", "/f", "s")], plus({"/f": "s"})),
    ("safe-save | safe-save", [], [("safe_save", "/f", "fA")], [("safe_save", "/f", "fB")], plus(SPLIT)),
    ("safe-save | edit", [], [("safe_save", "/f", "fA")], [("write", "/f", "fB")], plus(SPLIT)),
    ("safe-save | safe-save, same bytes", [], [("safe_save", "/f", "s")], [("safe_save", "/f", "s")], plus({"/f": "s"})),
    ("safe-save | edit, same bytes", [], [("safe_save", "/f", "s")], [("write", "/f", "s")], plus({"/f": "s"})),
    ("safe-save | unlink", [], [("safe_save", "/f", "s")], [("unlink", "/f")], plus({"/f": "s"})),
    ("safe-save | rename", [], [("safe_save", "/f", "s")], [("rename", "/f", "/n")], plus({"/f": "s", "/n": "f0"})),
    ("edit | unlink", [], [("write", "/f", "s")], [("unlink", "/f")], plus({"/f": "s"})),
    ("edit | unlink, then create there", [], [("write", "/f", "s")], [("unlink", "/f"), ("create", "/f", "n")],
     plus({"/f": "s", "/f~B": "n"})),
    ("edit | unlink of all names", HARD, [("write", "/f", "s")], [("unlink", "/h"), ("unlink", "/f")], plus({"/f": "s"})),
    ("edit | unlink of one of two names", HARD, [("write", "/f", "s")], [("unlink", "/f")], plus({"/h": "s"}, ["/f"])),
    ("rename | unlink", [], [("rename", "/f", "/n")], [("unlink", "/f")], plus({"/n": "f0"}, ["/f"])),
    ("rename | edit", [], [("rename", "/f", "/n")], [("write", "/f", "s")], plus({"/n": "s"}, ["/f"])),
    ("rename | rename of a file", [], [("rename", "/f", "/nA")], [("rename", "/f", "/nB")], plus({"/nW": "f0"}, ["/f"])),
    ("rename | rename of a directory", [], [("rename", "/e", "/nA")], [("rename", "/e", "/nB")], plus({"/nW": "dir"}, ["/e"])),
    ("rename over t | edit of t, later", [], [("rename", "/f", "/t")], [("write", "/t", "s")],
     lambda late: plus({"/t": "s", "/t~A": "f0"} if late == "B" else {"/t": "f0", "/t~B": "s"}, ["/f"])),
    ("rename over t | rename of t", [], [("rename", "/f", "/t")], [("rename", "/t", "/u")], plus({"/t": "f0", "/u": "t0"}, ["/f"])),
    ("rename over t | unlink of t", [], [("rename", "/f", "/t")], [("unlink", "/t")], plus({"/t": "f0"}, ["/f"])),
    ("rename f over t | edit of f", [], [("rename", "/f", "/t")], [("write", "/f", "s")], plus({"/t": "s"}, ["/f"])),
    ("rename f over t | rename of f", [], [("rename", "/f", "/t")], [("rename", "/f", "/u")], plus({"/t": "f0", "/u": "f0"}, ["/f"])),
    ("rename f over t | unlink of f", [], [("rename", "/f", "/t")], [("unlink", "/f")], plus({"/t": "f0"}, ["/f"])),
    ("rename f over t | rename t over f", [], [("rename", "/f", "/t")], [("rename", "/t", "/f")], plus({"/t": "f0", "/f": "t0"})),
    ("create | create", [], [("create", "/n", "fA")], [("create", "/n", "fB")], plus({"/n": "fL", "/n~W": "fW"})),
    ("create | create, same bytes", [], [("create", "/n", "s")], [("create", "/n", "s")], plus({"/n": "s"})),
    ("create | mkdir", [], [("create", "/n", "s")], [("mkdir", "/n")], plus({"/n": "dir", "/n~A": "s"})),
    ("mkdir | mkdir", [], [("mkdir", "/n"), ("create", "/n/x", "fA"), ("create", "/n/p", "1")],
     [("mkdir", "/n"), ("create", "/n/x", "fB"), ("create", "/n/q", "2")],
     plus({"/n": "dir", "/n/x": "fL", "/n/x~W": "fW", "/n/p": "1", "/n/q": "2"})),
    ("symlink | symlink", [], [("symlink", "/n", "s")], [("symlink", "/n", "s")], plus({"/n": "s"})),
    ("symlink | symlink, other target", [], [("symlink", "/n", "fA")], [("symlink", "/n", "fB")], plus({"/n": "fL", "/n~W": "fW"})),
    ("symlink | create", [], [("symlink", "/n", "fA")], [("create", "/n", "fB")], plus({"/n": "fL", "/n~W": "fW"})),
    ("rename to n | create n", [], [("rename", "/f", "/n")], [("create", "/n", "s")], plus({"/n": "f0", "/n~B": "s"}, ["/f"])),
    ("rename to n | rename to n", [], [("rename", "/t", "/n")], [("rename", "/f", "/n")], plus({"/n": "f0", "/n~A": "t0"}, ["/f", "/t"])),
    ("rename to n | rename to n, directories", [], [("rename", "/d", "/n")], [("rename", "/e", "/n")],
     plus({"/n": "dir", "/n/g": "g0"}, ["/d", "/e", "/d/g"])),
    ("rename to n | mkdir n", [], [("rename", "/d", "/n")], [("mkdir", "/n"), ("create", "/n/x", "s")],
     plus({"/n": "dir", "/n/g": "g0", "/n/x": "s"}, ["/d", "/d/g"])),
    ("move d into e | move e into d", [], [("rename", "/d", "/e/d")], [("rename", "/e", "/d/e")],
     lambda late: plus({"/d/e": "dir"}, ["/e"]) if late == "A" else plus({"/e/d": "dir", "/e/d/g": "g0"}, ["/d", "/d/g"])),
    ("rm -r d | create in d", [], [("rmrf", "/d")], [("create", "/d/x", "s")], plus({"/d/x": "s"}, ["/d/g"])),
    ("rm -r d | edit in d", [], [("rmrf", "/d")], [("write", "/d/g", "s")], plus({"/d/g": "s"})),
    ("rm -r d | move into d", [], [("rmrf", "/d")], [("rename", "/f", "/d/f")], plus({"/d/f": "f0"}, ["/d/g", "/f"])),
    ("rm -r d | mkdir and create below", [], [("rmrf", "/d")], [("mkdir", "/d/s"), ("create", "/d/s/x", "s")],
     plus({"/d/s": "dir", "/d/s/x": "s"}, ["/d/g"])),
    ("rm -r d, create file d | create in d", [], [("rmrf", "/d"), ("create", "/d", "n")], [("create", "/d/x", "s")],
     plus({"/d/x": "s", "/d~A": "n"}, ["/d/g"])),
    ("rmdir e | move e", [], [("rmdir", "/e")], [("rename", "/e", "/n")], plus({"/n": "dir"}, ["/e"])),
    ("move d | create in d", [], [("rename", "/d", "/n")], [("create", "/d/x", "s")],
     plus({"/n": "dir", "/n/g": "g0", "/n/x": "s"}, ["/d", "/d/g"])),
    ("link | unlink of another name", HARD, [("link", "/f", "/k")], [("unlink", "/h")], plus({"/k": "f0"})),
    ("link | unlink of the last name", [], [("link", "/f", "/k")], [("unlink", "/f")], plus({"/k": "f0"}, ["/f"])),
    ("unlink | unlink of the only two names", HARD, [("unlink", "/f")], [("unlink", "/h")], plus({}, ["/f"])),
    ("edit of one name | edit of the other", HARD, [("write", "/f", "fA")], [("write", "/h", "fB")],
     plus({"/h": "fW", **SPLIT})),
    ("chmod | chmod", [], [("chmod", "/f", 0o600)], [("chmod", "/f", 0o600)], plus()),
    ("chmod | edit", [], [("chmod", "/f", 0o600)], [("write", "/f", "s")], plus({"/f": "s"})),
    ("chmod | rename", [], [("chmod", "/f", 0o600)], [("rename", "/f", "/n")], plus({"/n": "f0"}, ["/f"])),
    ("chmod | unlink", [], [("chmod", "/f", 0o600)], [("unlink", "/f")], plus({}, ["/f"])),
    ("setxattr | setxattr", [], [("setxattr", "/f", "k", "1")], [("setxattr", "/f", "l", "2")], plus()),
    ("copy: rename | edit", BOTH, [("rename", "?", "/m")], [("write", "?", "s")], plus({"/f": "fW", "/m": "s"})),
    ("copy: unlink | edit", BOTH, [("unlink", "?")], [("write", "?", "s")], plus({"/f": "fW", "/f~L": "s"})),
    ("copy: unlink | unlink", BOTH, [("unlink", "?")], [("unlink", "?")], plus({"/f": "fW"})),
    ("copy: unlink | edit of the file", BOTH, [("unlink", "?")], [("write", "/f", "s")], plus({"/f": "s"})),
    ("copy: edit | edit", BOTH, [("write", "?", "1")], [("write", "?", "2")],
     lambda late: plus({"/f": "fW", "/f~L": "12"["AB".index(late)], "/f~L~!": "21"["AB".index(late)]})),
    ("copy: over its file | edit of the file", BOTH, [("rename", "?", "/f")], [("write", "/f", "s")],
     lambda late: plus({"/f": "s", "/f~A": "fL"} if late == "B" else {"/f": "fL", "/f~B": "s"})),
    ("copy: its bytes written to the file", BOTH, [("write", "/f", "fA")], [],
     lambda late: plus({"/f": "fA", "/f~B": "fB"} if late == "A" else {"/f": "fA", "/f~A": "fA"})),
    ("copy: unlink | unlink of its file", BOTH, [("unlink", "?")], [("unlink", "/f")], plus({"/f~L": "fL"}, ["/f"])),
    ("copy stays when its file is unlinked", BOTH, [("unlink", "/f")], [], plus({"/f~L": "fL"}, ["/f"])),
]


def row_steps(row, late):
    _, seen, a, b, _ = row
    pre = [s if s[0] in "AB" else ("A", *s) for s in seen]
    steps = [(late, "tick", 1000)] + pre
    if len({s[0] for s in pre}) > 1:
        steps += [("A", "pull", "B"), ("B", "pull", "A"), ("A", "tick", 5000), ("B", "tick", 5000)]
    elif pre:
        steps += [("B", "pull", "A")]
    return steps + [(late, "tick", 5000)] + [("A", *s) for s in a] + [("B", *s) for s in b]


def row_want(row, late):
    early = "B" if late == "A" else "A"
    want = row[4](late) if callable(row[4]) else row[4]

    def name(x):
        return re.sub("W$|W(?=~)", late, re.sub("L$|L(?=~)", early, x.replace("!", early)))
    return {name(p): re.sub("^(f)W$", r"\1" + late, re.sub("^(f)L$", r"\1" + early, c)) for p, c in want.items()}


def run_matrix(tally):
    for row in MATRIX:
        for late in "AB":
            steps = row_steps(row, late)
            if not tally.run("matrix: %s, %s later" % (row[0], late), "AB", steps, orders="all", base=M):
                continue
            view = play("AB", steps, base=M).r["A"].view()
            got = {re.sub(r" \(conflict (.) [0-9-]* \d{6}\)", r"~\1", p): e[1] or e[0] for p, e in view.items()}
            if got != row_want(row, late):
                tally.passed -= 1
                tally.failed += 1
                print("MATRIX %s, %s later\n   " % (row[0], late), differ(row_want(row, late), got))


SYNC = [(a, "pull", b) for a in "ABC" for b in "ABC" if a != b] * 2
GCS = SYNC + [(d, "gc") for d in "ABC"] * 2
# A move falls back to the birth place, whose directory p all have removed and forgotten.
BIRTH = [("A", "mkdir", "/p"), ("A", "mkdir", "/p/x"), ("A", "mkdir", "/y"), ("A", "mkdir", "/z"), ("A", "rename", "/p/x", "/z/x"),
         ("A", "rmdir", "/p"), *GCS, ("B", "rename", "/y", "/z/x/y"), ("C", "rename", "/z", "/y/z"), ("A", "tick", 9000),
         ("A", "rename", "/z/x", "/y/x")]
BIRTH2 = [*BIRTH[:-4], ("B", "rename", "/y", "/z/x/y"), ("C", "rename", "/z/x", "/x"), ("C", "rename", "/z", "/x/z"),
          ("A", "tick", 9000), ("A", "rename", "/z/x", "/y/x")]
RING = [("A", "mkdir", "/x"), ("A", "mkdir", "/y"), ("A", "mkdir", "/z"), *SYNC, ("A", "rename", "/x", "/y/x"),
        ("B", "rename", "/y", "/z/y"), ("C", "rename", "/z", "/x/z")]
# At B the removed /d is alive for a while, at A it never is, for C's rename is later and came first.
ALIVE = [("A", "mkdir", "/d"), ("A", "create", "/x", "x0"), *SYNC, ("A", "rmdir", "/d"), ("A", "gc"), ("B", "rename", "/x", "/d/x"),
         ("C", "tick", 9000), ("C", "rename", "/x", "/g"), ("A", "pull", "C"), ("B", "pull", "A", 1), ("A", "pull", "B"),
         ("C", "pull", "A"), ("C", "rename", "/g", "/k"), ("A", "pull", "C"), ("A", "gc"), ("B", "create", "/d/y", "y")]
# A copy is promoted twice, and is shown with a copy of its own; B's mode comes with the second time.
TWICE = [("A", "write", "/h", "A0"), ("D", "write", "/h", "D1"), ("A", "pull", "D", 3), ("C", "pull", "A", 1),
         ("B", "rename", "/h", "/a/g"), ("D", "pull", "C", 1), ("D", "write", "/f (conflict A 1970-01-01 000000)", "D13"),
         ("C", "pull", "A", 3), ("C", "write", "/f (conflict A 1970-01-01 000000)", "same"), ("B", "chmod", "/a/g", 0o640),
         ("B", "pull", "A", 2), ("C", "pull", "D", 2), ("B", "rename", "/a/g", "/g")]
# A move brings the removed /b to life as part of a union, whose other part has a directory of the same name.
REVIVED = [("B", "unlink", "/f"), ("A", "rename", "/a", "/b/a"), ("D", "mkdir", "/a/x.txt"), ("D", "create", "/a/x.txt/f", "D11"),
           ("B", "mkdir", "/f"), ("C", "pull", "B", 2), ("C", "pull", "D"), ("E", "pull", "C"),
           ("C", "rename", "/a/x.txt", "/f/a"), ("E", "pull", "C", 2), ("E", "rename", "/f", "/b")]
# B's version is shown beside A's equal one, for A had seen it; C's, equal and unseen, is behind the later of the two
# whatever else it might be behind: it goes with neither copy's renaming nor an edit of the copy.
ALIKE = [("B", "tick", 1000), ("A", "tick", 9000), ("A", "write", "/f", "x"), ("B", "write", "/f", "y"), ("A", "pull", "B"),
         ("A", "write", "/f", "y"), ("C", "write", "/f", "y"), ("A", "pull", "C"), ("A", "rename", "?", "/n")]
ALIKE2 = [("C", "tick", 5000), *ALIKE[:-1], ("A", "pull", "C"), ("B", "pull", "A")]
# B's file is shown beside A's of that name, and C's equal one is behind it: both go when that is removed.
BEHIND = [("A", "create", "/n", "x"), ("B", "tick", 10), ("C", "tick", 20), ("B", "create", "/n", "y"), ("C", "create", "/n", "y"),
          ("A", "pull", "B"), ("A", "pull", "C"), ("A", "unlink", "?")]
BEHIND2 = [*BEHIND[:-1], ("A", "rename", "?", "/m"), ("B", "pull", "A"), ("B", "unlink", "/m")]
# A conflict within a union that is one only because its parents are.
NESTED = [(d, *op) for d in "AB" for op in (("mkdir", "/d"), ("mkdir", "/d/x"), ("create", "/d/x/f", d))] + \
    [("A", "create", "/f", "A"), ("C", "mkdir", "/d")]
DIRECTED = [("nested unions", "ABC", NESTED), ("behind a loser", "ABC", BEHIND), ("behind a loser 2", "ABC", BEHIND2), ("equal versions", "ABC", ALIKE), ("equal versions 2", "ABC", ALIKE2), ("birth", "ABC", BIRTH), ("birth 2", "ABC", BIRTH2), ("ring of three", "ABC", RING), ("alive elsewhere", "ABC", ALIVE),
            ("promoted twice", "ABCD", TWICE), ("revived in a union", "ABCDE", REVIVED)]


def run_directed(tally):
    for title, devs, steps in DIRECTED:
        for gc in (False, True):
            tally.run("directed: %s, gc %s" % (title, gc), devs, steps, gc=gc)


NAMES = ["f", "g", "n", "x.txt", "c"]
MIXED = ["create", "write", "write", "write", "safe_save", "safe_save", "unlink", "unlink", "mkdir", "rmdir", "rmrf",
         "rename", "rename", "rename", "rename_dir", "rename_over", "exchange", "link", "symlink", "chmod", "setxattr", "resolve"]
PROFILES = [MIXED, MIXED,
            ["mkdir", "mkdir", "rename_dir", "rename_dir", "rename_dir", "rename_dir", "rmdir", "rmrf", "create", "unlink"],
            ["write", "write", "safe_save", "unlink", "rename", "rename_over", "link", "resolve"]]


def random_op(rng, r, d, k, ops):
    view = r.view()
    dirs = [""] + [p for p, e in view.items() if e[0] == "dir"]
    files = [p for p, e in view.items() if e[0] == "file"]
    odd = [p for p in view if "(conf" in p]
    some = sorted(view)
    if odd and rng.random() < 0.3:
        some = odd
        files = [p for p in odd if view[p][0] == "file"] or files
    pick = lambda xs: rng.choice(sorted(xs)) if xs else "/none"
    fresh = pick(dirs) + "/" + rng.choice(NAMES)
    text = "same" if rng.random() < 0.15 else "%s%d" % (d, k)
    op = rng.choice(ops)
    if op in ("create", "symlink"):
        return (d, op, fresh, text)
    if op == "mkdir":
        return (d, op, fresh)
    if op in ("write", "safe_save"):
        return (d, op, pick(files), text)
    if op == "unlink":
        return (d, op, pick(some))
    if op in ("rmdir", "rmrf"):
        return (d, op, pick(dirs))
    if op == "rename":
        return (d, op, pick(some), fresh)
    if op == "rename_dir":
        return (d, "rename", pick(dirs), pick(dirs) + "/" + rng.choice(["a", "b", "c"]))
    if op == "exchange":
        return (d, op, pick(some), pick(some))
    if op == "rename_over":
        return (d, "rename", pick(some), pick(files))
    if op == "link":
        return (d, op, pick(files), fresh)
    if op == "chmod":
        return (d, op, pick(some), rng.choice([0o600, 0o640, 0o755]))
    if op == "setxattr":
        return (d, op, pick(some), "k", text)
    return (d, "resolve", pick(files), rng.choice(["all", pick(files)]))


def random_history(seed, waits=False, devs=None):
    rng = random.Random(seed)
    devs = devs or "ABCDE"[:rng.randint(3, 5)]
    w = World(devs)
    ops = rng.choice(PROFILES)
    steps = []

    def add(s):
        steps.append(s)
        w.step(s)
    for k in range(rng.randint(5, 40)):
        d = rng.choice(devs)
        if rng.random() < 0.3:
            add((d, "tick", rng.choice([1, 400, 2000])))
        add(random_op(rng, w.r[d], d, k, ops))
        if rng.random() < 0.5:
            add((d, "cut"))
        if rng.random() < 0.45:
            a, b = rng.sample(devs, 2)
            add((a, "pull", b, rng.choice([None, None, 1, 2, 3])))
        if rng.random() < 0.05:
            add((rng.choice(devs), "restart"))
        if rng.random() < 0.25:
            add((rng.choice(devs), "gc"))
        if waits and rng.random() < 0.2:
            files = [p for p, e in r_view(w, d) if e[0] == "file"]
            add((d, "hold", rng.choice(files or ["/none"])))
        if waits and rng.random() < 0.15:
            add((rng.choice(devs), "release"))
    return devs, steps


def r_view(w, d):
    return sorted(w.r[d].view().items())


def run_random(tally, count, seed):
    for s in range(seed, seed + count):
        try:
            devs, steps = random_history(s)
        except Exception as e:
            devs, steps = regenerate(s)
        if tally.run("random %d" % s, devs, steps, seed=s):
            tally.run("random %d with gc" % s, devs, steps, seed=s, gc=True)


def run_waiting(tally, count, seed):
    """The same with records that are held back for a while."""
    for s in range(seed, seed + count):
        devs, steps = random_history(s, True)
        if tally.run("waiting %d" % s, devs, steps, seed=s):
            tally.run("waiting %d with gc" % s, devs, steps, seed=s, gc=True)


def regenerate(seed):
    """The steps of a random history up to the one that broke the model."""
    kept = []
    old = World.step

    def step(self, s):
        kept.append(s)
        old(self, s)
    World.step = step
    try:
        random_history(seed)
    except Exception:
        pass
    finally:
        World.step = old
    return "ABCDE"[:random.Random(seed).randint(3, 5)], [s for s in kept if s not in BASE]


ALPHABET = [("write", "/f", "@"), ("safe_save", "/f", "@"), ("unlink", "/f"), ("rename", "/f", "/n"),
            ("rename", "/a/g", "/f"), ("write", "/h", "@"), ("unlink", "/h"), ("write", "/a/g", "@"),
            ("rename", "/a", "/b/a"), ("rename", "/b", "/a/b"), ("mkdir", "/n"), ("create", "/n", "@"),
            ("rmrf", "/a"), ("rmdir", "/b"), ("create", "/a/x", "@"), ("create", "/b/x", "@"),
            ("rename", "/a", "/n"), ("rename", "/a/g", "/b/g"), ("link", "/f", "/b/k")]


def stepper(dev, op, k):
    return (dev, op[0], *("%s%d" % (dev, k) if a == "@" else a for a in op[1:]))


SECOND = [("write", "/f", "@"), ("safe_save", "/f", "@"), ("unlink", "/f"), ("write", "?", "@"), ("unlink", "?"),
          ("rename", "?", "/m"), ("rename", "?", "/f"), ("rename", "/f", "?"), ("unlink", "/h"), ("unlink", "/n"),
          ("rename", "/n", "/m"), ("rename", "/a", "/z"), ("rmrf", "/a"), ("rmrf", "/b"), ("resolve", "/f", "all")]


def run_second(tally, part, parts):
    """One operation each, exchange, one more each, all arrival orders at a third."""
    pairs = itertools.product(ALPHABET, ALPHABET, SECOND, SECOND, "AB")
    for k, (x, y, u, v, late) in enumerate(pairs):
        if k % parts == part:
            steps = [(late, "tick", 5000), stepper("A", x, 0), stepper("B", y, 0), ("A", "pull", "B"), ("B", "pull", "A"),
                     ("A", "tick", 5000), ("B", "tick", 5000), (late, "tick", 5000),
                     stepper("A", u, 1), stepper("B", v, 1)]
            tally.run("second %d" % k, "AB", steps, orders="all")


def run_exhaustive(tally, part, parts):
    """Two devices, up to two operations each, all arrival orders at a third."""
    seqs = [()] + [(x,) for x in ALPHABET] + list(itertools.product(ALPHABET, repeat=2))
    pairs = ((x, y, late) for x in seqs for y in seqs for late in "AB")
    for k, (x, y, late) in enumerate(pairs):
        if k % parts != part:
            continue
        steps = [(late, "tick", 5000)]
        for dev, ops in (("A", x), ("B", y)):
            for j, op in enumerate(ops):
                steps += [stepper(dev, op, j), (dev, "cut")]
        tally.run("exhaustive %d" % k, "AB", steps, orders="all")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--random", type=int, default=300)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--exhaustive", action="store_true")
    ap.add_argument("--slice", default="0/1")
    opt = ap.parse_args()
    tally = Tally()
    run_matrix(tally)
    run_directed(tally)
    if opt.exhaustive:
        part, parts = map(int, opt.slice.split("/"))
        run_second(tally, part, parts)
        print("%d histories with an exchange between" % (tally.passed + tally.failed))
        run_exhaustive(tally, part, parts)
    run_random(tally, opt.random, opt.seed)
    run_waiting(tally, opt.random, opt.seed)
    print("%.0f s" % (time.time() - tally.t0))
    print("%d passed, %d failed" % (tally.passed, tally.failed))
    return tally.failed > 0


if __name__ == "__main__":
    sys.exit(main())
