# SPDX-License-Identifier: MIT
"""The rows of the page as cases: a tree that all know, what each device does, what all must show.

Each row is played at the object it speaks of; and either side of it against an act on the directory
above, on an entry below, and on another entry beside.  Whoever plays a case (matrix.py on the core in
C, two-matrix.py on mounts) gives what a device shows as {path: Entry}, and compare() says what is
wrong with it.
"""
import itertools
from collections import namedtuple

import rows

# data: bytes or target; mtime_ms None: not looked at.  conflict copies are named f~DEVICE.
Entry = namedtuple("Entry", "type data mode xattrs owner mtime_ms nlink ino")
Step = namedtuple("Step", "device act")

BORN = ("d", "d/g", "d/s", "e", "f", "h", "a", "b", "t")
DIRS = ("d", "d/s", "e")


class Base:
    """What all devices know, below the directory top; which objects it has hangs on the acts.

    early, late: the devices that made the two versions of f, when it has a copy.
    """

    def __init__(self, top, acts, early="A", late="B"):
        self.top, self.early, self.late = top, early, late
        self.plain = rows.Plain()
        self.steps, self.split = [], []  # split: edits of f that make its copy, concurrently
        for k in range(1, top.count("/") + 1):
            self.step("mkdir", "/".join(top.split("/")[:k + 1]))
        named = {p.lstrip("/") for a in acts for p in rows.paths_of(a)}
        twin = any(p.partition("/")[0].rstrip("~").endswith("2") for p in named)
        for mark in ("", "2") if twin else ("",):
            self.objects({p.replace("2", "") for p in named if ("2" in p) == bool(mark)}, mark)
        self.make("mkdir", "/side")
        self.make("create", "/side/s", "s0")

    def make(self, op, path, *args):
        self.step(op, self.top + path, *args)

    def step(self, *act):
        self.steps.append(Step("A", act))
        self.plain.run([act], "")

    def objects(self, named, mark):
        named |= {p[:k] for p in named for k in range(len(p)) if p[k] == "/"}
        named |= {"d/g"} & {p + "/g" for p in named} | {"f"} & {p[:1].replace("h", "f") for p in named}
        for name in BORN:
            if name not in named:
                continue
            path = "/" + name.replace(name[0], name[0] + mark, 1)
            if name in DIRS:
                self.make("mkdir", path)
            elif name == "h":
                self.step("link", self.top + "/f" + mark, self.top + path)
            else:
                self.make("create", path, name[-1] + "0")
                self.make("setxattr", path, "who", name)
                self.make("setxattr", path, "k", "0")
        if "f~" in named:
            self.divide(self.top + "/f" + mark)

    def divide(self, path):
        f = self.plain.at[path]
        for d, data in ((self.early, "early"), (self.late, "late")):
            self.split.append(Step(d, ("write", path, data)))
        f.data = "late"
        copy = self.plain.at[path + "~" + self.early] = rows.copy.copy(f)
        copy.token, copy.copy_of, copy.data = f.token + "'", f.token, "early"
        copy.xattrs = dict(f.xattrs)

    def place(self, path):
        """A path of a scenario as one of this base."""
        if path.endswith("~"):
            path += self.early
        return self.top + path


class Case:
    """who: the devices of each part; order: all that act, the one with the earliest stamps first."""

    def __init__(self, title, base, parts, who, order, expect):
        self.title, self.base, self.who, self.order = title, base, who, order
        self.parts = [self.filled(acts, "ABC"[k]) for k, acts in enumerate(parts)]
        self.merge = rows.Merge(base.plain, self.parts, who, order)
        try:
            expect(self.merge)
        except (rows.Unclear, KeyError, ValueError, AssertionError) as e:
            raise rows.Unclear("%s: %r" % (title, e)) from e
        self.listed = self.merge.conflicts()

    def filled(self, acts, mark):
        out = []
        for k, act in enumerate(acts):
            act = rows.mapped(act, self.base.place)
            data = {"@": "%s%d" % (mark, k), "=": "same"}
            out.append(tuple(data.get(x, x) for x in act))
        return out

    def acts(self, device):
        return next((self.parts[k] for k, w in enumerate(self.who) if device in w), [])

    def compare(self, got, listed, acted_ms=None, text=lambda s: s, ids=None):
        """What differs between what a device shows and what it must; None if nothing.

        listed: {(kind, path)}; ids: what base paths had for inodes; acted_ms: {device: when it acted}.
        """
        want = self.merge.tree.at
        if set(want) != set(got):
            return "paths: missing %s, unwanted %s" % (sorted(set(want) - set(got)), sorted(set(got) - set(want)))
        if listed != self.listed:
            return "listed: %s, should be %s" % (sorted(listed), sorted(self.listed))
        inos, tokens = {}, {}
        known = {x.token: p for p, x in self.base.plain.at.items()}
        for p, x in sorted(want.items()):
            e = got[p]
            if (e.type, e.data, e.mode, e.xattrs) != (x.type, text(x.data), *x.shown()[2:]):
                return "%s is %s, should be %s" % (p, e, (text(x.data), x.shown()))
            if x.owner is not None and e.owner != x.owner:
                return "%s: owner %s, should be %s" % (p, e.owner, x.owner)
            if x.times is not None and e.mtime_ms != x.times * 1000:
                return "%s: time %s, should be %s s" % (p, e.mtime_ms, x.times)
            if x.type != "dir" and not self.linked_twice(x) and e.nlink != sum(y.token == x.token for y in want.values()):
                return "%s has %d links" % (p, e.nlink)
            if x.token != "?":
                if inos.setdefault(x.token, e.ino) != e.ino or tokens.setdefault(e.ino, x.token) != x.token:
                    return "%s: inode %s of another" % (p, e.ino)
                if ids and x.token in known and ids[known[x.token]] != e.ino:
                    return "%s: inode %s, was %s" % (p, e.ino, ids[known[x.token]])
        for p, k in self.merge.dated.items():
            if acted_ms and got[p].mtime_ms != acted_ms[self.merge.device(k, max)]:
                return "%s: time %s, should be that of the later" % (p, got[p].mtime_ms)
        return None

    def linked_twice(self, x):
        """Whether two devices gave x the same new name: it shows once, and is two live names."""
        return any(len(w) > 1 and a[0] == "link" and self.base.plain.at[a[1]].token == x.token
                   for w, p in zip(self.who, self.parts) for a in p)


# ---- who does which part, and in which order ---------------------------------------------------

PAIRS = [([["A"], ["B"]], order) for order in ("AB", "BA")] + [([["B"], ["A"]], order) for order in ("AB", "BA")]
TRIPLES = [(who, "".join(o)) for who in ([["A", "C"], ["B"]], [["A"], ["B", "C"]])
           for o in itertools.permutations("ABC")]
ALL_OTHER = [([["A"], ["B"], ["C"]], "".join(o)) for o in itertools.permutations("ABC")]


def scenarios(page):
    """(row, acts of A, acts of B); every row has its scenario and every scenario its row."""
    found = {}
    for row in page:
        if (row.a, row.b) not in rows.SCENARIOS:
            raise rows.Unclear("nobody plays the row %r | %r" % (row.a, row.b))
        if (row.a, row.b) in found:
            raise rows.Unclear("twice on the page: %r | %r" % (row.a, row.b))
        found[row.a, row.b] = row
    for key in rows.SCENARIOS:
        if key not in found:
            raise rows.Unclear("the page lacks the row %r | %r" % key)
    return [(found[key], *acts) for key, acts in rows.SCENARIOS.items()]


def copies(acts):
    """Who may have written the copy, if there is one: (early, late)."""
    return [("A", "B"), ("B", "A")] if any("~" in p for a in acts for p in rows.paths_of(a)) else [("A", "B")]


def build(title, top, parts, groups, expect):
    for early, late in copies([a for p in parts for a in p]):
        for who, order in groups:
            name = "%s; %s, %s last, copy by %s" % (title, " and ".join("+".join(w) for w in who), order[-1], early)
            base = Base(top, [a for p in parts for a in p], early, late)
            yield Case(name, base, parts, who, order, expect)


def title(row):
    return "%s | %s" % (row.a, row.b)


def at_object(page, top, groups=tuple(PAIRS)):
    for row, a, b in scenarios(page):
        yield from build(title(row), top, (a, b), groups, lambda m, r=row: m.read(r.outcome, top))


CONTENT = ("write", "safe_save", "create", "symlink", "append")


def three_contents(page, top):
    """Rows where two contend for a name, with a third that has bytes of its own."""
    for row, a, b in scenarios(page):
        if "keeps" in row.outcome and len(a) == 1 and a[0][0] in CONTENT and b[-1][0] != "mkdir" and len(b) == 1:
            yield from build(title(row) + " | " + row.a, top, (a, b, a), ALL_OTHER,
                             lambda m, r=row: m.read(r.outcome, top))


# ---- other positions ---------------------------------------------------------------------------

def beside(page, top, groups=tuple(PAIRS)):
    """A at the object, B the same with other entries of the directory: both, whatever the two are."""
    def other(path):
        return "/" + path[1] + "2" + path[2:]
    for row, a, b in scenarios(page):
        twins = tuple(rows.mapped(x, other) for x in b)
        if b:
            yield from build("beside: " + title(row), top, (a, twins), groups, rows.Merge.commuting)


def singles(page):
    """Each act, or acts, of the table once."""
    seen = {}
    for row, a, b in scenarios(page):
        seen.setdefault(a, row.a)
        seen.setdefault(b, row.b)
    return [(text, acts) for acts, text in seen.items() if acts]


def above(page, top, groups=tuple(PAIRS)):
    """Each act in a directory that the other renames, changes or removes."""
    inner = top + "/p"
    for text, acts in singles(page):
        for what, over in (("rename", ("rename", "", "-q")), ("chmod", ("chmod", "", "448")),
                           ("setxattr", ("setxattr", "", "k", "P"))):
            yield from build("above: %s of the directory | %s" % (what, text), inner, (acts, (over,)),
                             groups, rows.Merge.commuting)
        yield from build("above: rm -r of the directory | " + text, inner, (acts, (("rmrf", ""),)),
                         groups, lambda m: m.survivors(inner))


BELOW = (("edit", ("write", "/g", "@")), ("safe-save", ("safe_save", "/g", "@")), ("unlink", ("unlink", "/g")),
         ("rename", ("rename", "/g", "/r")), ("link", ("link", "/g", "/r")), ("create", ("create", "/r", "@")),
         ("mkdir", ("mkdir", "/r")), ("chmod", ("chmod", "/g", "384")), ("setxattr", ("setxattr", "/g", "k", "B")))


def below(page, top, groups=tuple(PAIRS)):
    """Each act on a directory against acts on what is in it."""
    for text, acts in singles(page):
        if len(acts) != 1 or acts[0][0] not in ("rename", "rmrf") or acts[0][1] != "/d":
            continue
        for what, act in BELOW:
            act = rows.mapped(act, lambda p: "/d" + p)
            expect = rows.Merge.commuting if acts[0][0] == "rename" else lambda m: m.survivors(top + "/d")
            yield from build("below: %s | %s in d" % (text, what), top, (acts, (act,)), groups, expect)
