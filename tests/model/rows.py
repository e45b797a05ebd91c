# SPDX-License-Identifier: MIT
"""The table of peerfs-semantics(7): its rows, what two devices do in each, what its outcomes mean.

A row of the page is three texts: what A does, what B does, the outcome.  SCENARIOS says for the first
two what is done; the outcome is read, clause by clause, into the tree and the list of conflicts that
every device must show.  So the page is the only place where an outcome is written down.

What one device does alone is worked out on Plain, a tree as POSIX has it.  A conflict copy of f that
device A wrote has the path f~A there.
"""
import copy
import os
import re
from collections import namedtuple

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../man/peerfs-semantics.7")
SECTION = "CONCURRENT CHANGES"

Row = namedtuple("Row", "a b outcome")
# What the page calls an outcome that its test does not understand, or a row that nobody plays.


class Unclear(Exception):
    pass


def page_rows(path=PAGE):
    """The rows of the page's table, as written."""
    rows, here, table = [], False, False
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith(".Sh "):
                here = line[4:].strip() == SECTION
            elif here and line.startswith(".Bl -column"):
                table = True
            elif line.startswith(".El"):
                table = False
            elif table and line.startswith(".It "):
                cells = [" ".join(c.split()) for c in line[4:].split(" Ta ")]
                if cells[0].startswith("Sy "):
                    continue
                if len(cells) != 3 or not all(cells):
                    raise Unclear("not three columns: " + line.strip())
                rows.append(Row(*cells))
            elif table:
                raise Unclear("not a row: " + line.strip())
    if not rows:
        raise Unclear("no table in section " + SECTION)
    return rows


# ---- what is done ------------------------------------------------------------------------------
# An act is an operation and its arguments.  "@" stands for bytes that nobody else writes, "=" for
# bytes that the others write, too; /f~ for the path of the conflict copy that f has.

Scenario = namedtuple("Scenario", "a b")


def do(*acts):
    return tuple(tuple(a.split()) for a in acts)


NOTHING = ()
SCENARIOS = {
    ("edit f", "edit f"): (do("write /f @"), do("write /f @")),
    ("edit f", "edit f, same bytes"): (do("write /f ="), do("write /f =")),
    ("truncate f", "edit f"): (do("truncate /f 1"), do("write /f @")),
    ("append to f", "append to f"): (do("append /f @"), do("append /f @")),
    ("fallocate f", "edit f"): (do("fallocate /f 100"), do("write /f @")),
    ("edit f", "edit h, the same file"): (do("write /f @"), do("write /h @")),
    ("safe-save f", "safe-save f"): (do("safe_save /f @"), do("safe_save /f @")),
    ("safe-save f", "safe-save f, same bytes"): (do("safe_save /f ="), do("safe_save /f =")),
    ("safe-save f", "edit f"): (do("safe_save /f @"), do("write /f @")),
    ("safe-save f", "edit f, same bytes"): (do("safe_save /f ="), do("write /f =")),
    ("safe-save f", "rename f to n"): (do("safe_save /f @"), do("rename /f /n")),
    ("safe-save f", "unlink f"): (do("safe_save /f @"), do("unlink /f")),
    ("edit f", "unlink f, its last name"): (do("write /f @"), do("unlink /f")),
    ("edit f", "unlink h, then f"): (do("write /f @"), do("unlink /h", "unlink /f")),
    ("edit f", "unlink f, h is left"): (do("write /f @"), do("unlink /f", "nothing /h")),
    ("edit f", "unlink f, then create f"): (do("write /f @"), do("unlink /f", "create /f @")),
    ("rename f to n", "unlink f"): (do("rename /f /n"), do("unlink /f")),
    ("rename f to n", "edit f"): (do("rename /f /n"), do("write /f @")),
    ("rename f to n", "rename f to u"): (do("rename /f /n"), do("rename /f /u")),
    ("rename d to n", "rename d to u"): (do("rename /d /n"), do("rename /d /u")),
    ("rename a over t", "edit t"): (do("rename /a /t"), do("write /t @")),
    ("rename a over t", "rename t to u"): (do("rename /a /t"), do("rename /t /u")),
    ("rename a over t", "unlink t"): (do("rename /a /t"), do("unlink /t")),
    ("rename a over t", "edit a"): (do("rename /a /t"), do("write /a @")),
    ("rename a over t", "rename a to u"): (do("rename /a /t"), do("rename /a /u")),
    ("rename a over t", "unlink a"): (do("rename /a /t"), do("unlink /a")),
    ("rename a over t", "rename t over a"): (do("rename /a /t"), do("rename /t /a")),
    ("create n", "create n"): (do("create /n @"), do("create /n @")),
    ("create n", "create n, same bytes"): (do("create /n ="), do("create /n =")),
    ("symlink n", "symlink n"): (do("symlink /n @"), do("symlink /n @")),
    ("symlink n", "symlink n, same target"): (do("symlink /n ="), do("symlink /n =")),
    ("symlink n", "create n"): (do("symlink /n @"), do("create /n @")),
    ("create n", "mkdir n"): (do("create /n @"), do("mkdir /n")),
    ("symlink n", "mkdir n"): (do("symlink /n @"), do("mkdir /n")),
    ("mkdir n", "mkdir n"): (do("mkdir /n", "create /n/x @"), do("mkdir /n", "create /n/y @")),
    ("rename a to n", "create n"): (do("rename /a /n"), do("create /n @")),
    ("rename a to n", "rename b to n"): (do("rename /a /n"), do("rename /b /n")),
    ("rename a to n", "mkdir n"): (do("rename /a /n"), do("mkdir /n")),
    ("rename d to n", "mkdir n"): (do("rename /d /n"), do("mkdir /n", "create /n/x @")),
    ("rename d to n", "rename e to n"): (do("rename /d /n"), do("rename /e /n")),
    ("move d into e", "move e into d"): (do("rename /d /e/d"), do("rename /e /d/e")),
    ("move d into e", "move e deep into d"): (do("rename /d /e/d"), do("rename /e /d/s/e")),
    ("rmdir e", "create n in e"): (do("rmdir /e"), do("create /e/n @")),
    ("rmdir e", "mkdir n in e"): (do("rmdir /e"), do("mkdir /e/n")),
    ("rmdir e", "move f into e"): (do("rmdir /e"), do("rename /f /e/f")),
    ("rmdir e", "rename e to n"): (do("rmdir /e"), do("rename /e /n")),
    ("rm -r d", "create n in d"): (do("rmrf /d"), do("create /d/n @")),
    ("rm -r d", "edit d/g"): (do("rmrf /d"), do("write /d/g @")),
    ("rm -r d", "move f into d"): (do("rmrf /d"), do("rename /f /d/f")),
    ("rm -r d", "create x in a new d/n"): (do("rmrf /d"), do("mkdir /d/n", "create /d/n/x @")),
    ("rm -r d", "rename d to n"): (do("rmrf /d"), do("rename /d /n")),
    ("rm -r d, then create d", "create n in d"): (do("rmrf /d", "create /d @"), do("create /d/n @")),
    ("rename d to n", "create n in d"): (do("rename /d /n"), do("create /d/n @")),
    ("rename d to n", "edit d/g"): (do("rename /d /n"), do("write /d/g @")),
    ("link f to k", "unlink h, another name"): (do("link /f /k"), do("unlink /h")),
    ("link f to k", "unlink f, its last name"): (do("link /f /k"), do("unlink /f")),
    ("unlink f", "unlink h, its other name"): (do("unlink /f"), do("unlink /h")),
    ("chmod f", "chmod f"): (do("chmod /f 384"), do("chmod /f 416")),
    ("chown f", "chown f"): (do("chown /f 11"), do("chown /f 12")),
    ("utimes f", "utimes f"): (do("utimes /f 1001"), do("utimes /f 1002")),
    ("chmod f", "chown f"): (do("chmod /f 384"), do("chown /f 12")),
    ("chmod f", "utimes f"): (do("chmod /f 384"), do("utimes /f 1002")),
    ("chmod f", "setxattr k of f"): (do("chmod /f 384"), do("setxattr /f k B")),
    ("chmod f", "edit f"): (do("chmod /f 384"), do("write /f @")),
    ("chmod f", "rename f to n"): (do("chmod /f 384"), do("rename /f /n")),
    ("chmod f", "unlink f"): (do("chmod /f 384"), do("unlink /f")),
    ("setxattr k of f", "setxattr k of f"): (do("setxattr /f k A"), do("setxattr /f k B")),
    ("setxattr k of f", "removexattr k of f"): (do("setxattr /f k A"), do("removexattr /f k")),
    ("setxattr k of f", "setxattr l of f"): (do("setxattr /f k A"), do("setxattr /f l B")),
    ("setxattr k of f", "edit f"): (do("setxattr /f k A"), do("write /f @")),
    ("edit the copy", "rename the copy to n"): (do("write /f~ @"), do("rename /f~ /n")),
    ("edit the copy", "unlink the copy"): (do("write /f~ @"), do("unlink /f~")),
    ("edit the copy", "resolve: keep f"): (do("write /f~ @"), do("nothing /f~", "resolve /f /f")),
    ("edit the copy", "edit the copy"): (do("write /f~ @"), do("write /f~ @")),
    ("unlink the copy", "edit f"): (do("unlink /f~"), do("write /f @")),
    ("unlink the copy", "unlink the copy"): (do("unlink /f~"), do("unlink /f~")),
    ("rename the copy to n", "(nothing)"): (do("rename /f~ /n"), NOTHING),
    ("rename the copy to n", "rename the copy to u"): (do("rename /f~ /n"), do("rename /f~ /u")),
    ("rename the copy over f", "(nothing)"): (do("rename /f~ /f"), NOTHING),
    ("rename the copy over f", "edit f"): (do("rename /f~ /f"), do("write /f @")),
    ("unlink f, with a copy", "(nothing)"): (do("unlink /f", "nothing /f~"), NOTHING),
    ("unlink f, with a copy", "unlink the copy"): (do("unlink /f"), do("unlink /f~")),
}

# Which arguments of an operation are paths.
PATHS = {"rename": (0, 1), "link": (0, 1), "resolve": (0, 1)}


def paths_of(act):
    return [act[1 + k] for k in PATHS.get(act[0], (0,))]


def mapped(act, change):
    """The act with each path put through change."""
    at = PATHS.get(act[0], (0,))
    return (act[0], *(change(x) if k in at else x for k, x in enumerate(act[1:])))


# ---- a tree as one device would have it alone --------------------------------------------------

class Thing:
    """An inode: a directory, file or symlink."""

    def __init__(self, token, type_, data, born):
        self.token, self.type, self.data, self.born = token, type_, data, born
        self.mode = {"dir": 0o755, "symlink": 0o777}.get(type_, 0o644)
        self.xattrs, self.owner, self.times = {}, None, None
        self.copy_of = None  # token of the file of which it is the conflict copy
        self.written = False  # a copy that got an inode of its own where it is shown

    def clone(self):
        x = copy.copy(self)
        x.xattrs = dict(self.xattrs)
        return x

    def shown(self):
        return (self.type, self.data, self.mode, tuple(sorted(self.xattrs.items())))


def under(path, top):
    return path == top or path.startswith(top + "/")


class Plain:
    """path -> Thing; two paths of one Thing are hard links."""

    def __init__(self):
        self.at = {}
        self.made = {}

    def clone(self):
        new, things = Plain(), {}
        new.made = dict(self.made)
        for p, x in self.at.items():
            new.at[p] = things.setdefault(id(x), x.clone())
        return new

    def run(self, acts, who):
        for act in acts:
            getattr(self, "do_" + act[0])(who, *act[1:])
        return self

    def make(self, who, type_, path, data=None):
        assert path not in self.at, path
        self.made[who] = self.made.get(who, 0) + 1
        self.at[path] = Thing("%s%d" % (who, self.made[who]), type_, data, len(self.at))

    def do_nothing(self, who, path):
        assert path in self.at, path

    def do_create(self, who, path, data):
        self.make(who, "file", path, data)

    def do_symlink(self, who, path, data):
        self.make(who, "symlink", path, data)

    def do_mkdir(self, who, path):
        self.make(who, "dir", path)

    def do_write(self, who, path, data):
        self.at[path].data = data
        self.touched(self.at[path])

    def do_truncate(self, who, path, size):
        self.do_write(who, path, self.at[path].data[:int(size)])

    def do_fallocate(self, who, path, size):
        self.do_write(who, path, self.at[path].data.ljust(int(size), "\0"))

    def do_append(self, who, path, data):
        self.do_write(who, path, self.at[path].data + data)

    def do_safe_save(self, who, path, data):
        old = self.at[path]
        self.leave(old)
        del self.at[path]
        self.make(who, "file", path, data)

    def do_link(self, who, path, new):
        self.touched(self.at[path])
        self.at[new] = self.at[path]

    def do_unlink(self, who, path):
        self.leave(self.at.pop(path))

    do_rmdir = do_unlink

    def do_rmrf(self, who, path):
        for p in sorted(self.at, reverse=True):
            if under(p, path):
                self.leave(self.at.pop(p))

    def do_rename(self, who, path, new):
        moved = {p: x for p, x in self.at.items() if under(p, path)}
        if new in self.at:
            self.leave(self.at[new])
        self.leave(self.at[path])
        for p in moved:
            del self.at[p]
        self.at.update({new + p[len(path):]: x for p, x in moved.items()})
        self.at[new].copy_of = None  # a copy that somebody named is a file like any other

    def do_resolve(self, who, path, keep):
        token = self.at[path].token
        for p in [p for p, x in self.at.items() if x.copy_of == token]:
            del self.at[p]

    def do_chmod(self, who, path, mode):
        self.at[path].mode = int(mode)

    def do_chown(self, who, path, owner):
        self.at[path].owner = int(owner)

    def do_utimes(self, who, path, when):
        self.at[path].times = int(when)

    def do_setxattr(self, who, path, key, value):
        self.at[path].xattrs["user." + key] = value

    def do_removexattr(self, who, path, key):
        self.at[path].xattrs.pop("user." + key)

    def touched(self, x):
        x.written |= x.copy_of is not None

    def leave(self, x):
        """A file goes away from where it was: its copies are written down where they are."""
        for c in self.at.values():
            if c.copy_of == x.token:
                c.written = True

    def path_of(self, token):
        return min((p for p, x in self.at.items() if x.token == token), default=None)


# ---- what must come of it ----------------------------------------------------------------------

class Merge:
    """Two or more parts that went on from base, each done by one device or by several alike.

    parts: for each [act, ...]; who: for each the devices that did it; order: the devices, the one
    with the earliest stamps first.
    """

    def __init__(self, base, parts, who, order):
        self.base, self.parts, self.who, self.order = base, parts, who, order
        self.alone = [base.clone().run(acts, "P%d." % k) for k, acts in enumerate(parts)]
        self.tree = base.clone()
        self.placed = {}  # path -> Thing, as a clause says
        self.came = set()  # tokens of directories that are united elsewhere
        self.along = {}  # what came with a directory, unless a clause says otherwise
        self.beside = {}  # path of a conflict copy -> kind, as it is listed
        self.listed = None  # does the row say so
        self.twice = set()  # paths of what went to two places
        self.skipped = set()
        self.dated = {}  # path -> part whose time of change it has

    # -- who was first --

    def rank(self, k, pick):
        return pick(self.order.index(d) for d in self.who[k])

    def device(self, k, pick):
        return self.order[self.rank(k, pick)]

    def having(self, path):
        """Parts with something at path that base has not: new there, or other bytes."""
        out = []
        for k, p in enumerate(self.alone):
            x, was = p.at.get(path), self.base.at.get(path)
            if x and (not was or was.token != x.token or was.data != x.data):
                out.append(k)
        return out

    def base_thing(self, path):
        if path not in self.base.at:
            raise Unclear("nothing was at " + path)
        return self.base.at[path].clone()

    def edited(self, x):
        """What the one part that edited x made of it."""
        found = [p.at[q] for p in self.alone for q in [p.path_of(x.token)] if q and p.at[q].data != x.data]
        if not found or len({y.data for y in found}) != 1:
            raise Unclear("not edited by one: " + x.token)
        return found[0].clone()

    def put(self, path, x):
        if path in self.placed:
            raise Unclear("said twice: " + path)
        self.placed[path] = x

    def put_beside(self, path, k, first, losers=None):
        """What part k has at path goes beside first, which keeps it."""
        x = self.alone[k].at[path].clone()
        same = x.token == first.token
        new = not same and x.token not in {y.token for y in self.base.at.values()}
        saved = new and any(a[0] == "safe_save" for a in self.parts[k])
        who = self.device(k, min if new and not saved else max)
        if same:
            x.token += "'" + who  # a version of the file that gets an id of its own
            x.copy_of = None
        at = "%s~%s" % (path, who)
        self.put(at, x)
        self.beside[at] = "content" if same else "name"

    def keeps(self, path, parts, winner):
        first = self.alone[winner].at[path].clone()
        self.put(path, first)
        for k in parts:
            if k != winner:
                self.put_beside(path, k, first)

    # -- clauses --

    def later_keeps(self, path, other=None):
        parts = self.having(path)
        if len(parts) < 2:
            raise Unclear("nobody contends for " + path)
        self.keeps(path, parts, max(parts, key=lambda k: self.rank(k, max)))
        if other:
            self.put(other, self.placed[path])

    def born_keeps(self, path):
        parts = self.having(path)
        known = {x.token: x.born for x in self.base.at.values()}  # in the order of their making

        def born(k):
            return known.get(self.alone[k].at[path].token, 1000 + self.rank(k, min))
        self.keeps(path, parts, min(parts, key=born))

    def kind_keeps(self, path):
        parts = [k for k, p in enumerate(self.alone) if path in p.at]
        dirs = [k for k in parts if self.alone[k].at[path].type == "dir"]
        if len(dirs) != 1:
            raise Unclear("not one directory at " + path)
        self.keeps(path, parts, dirs[0])

    def stays(self, path, edited=None, beside=None):
        self.is_(path, path, edited, beside)

    def is_(self, path, was, edited=None, beside=None):
        x = self.base_thing(was)
        if edited:
            x = self.edited(x)
        if x.copy_of and path != was:
            x.copy_of = None
        if beside:
            for k in self.having(path):
                if self.alone[k].at[path].token != x.token:
                    self.put_beside(path, k, x)
        self.put(path, x)
        if x.type == "dir" and path != was:
            for p, y in self.base.at.items():
                if under(p, was) and p != was:
                    self.along[path + p[len(was):]] = y.clone()

    def is_new(self, path):
        parts = [k for k in self.having(path) if self.alone[k].at[path].token[0] == "P"]
        if len(parts) != 1:
            raise Unclear("not new by one: " + path)
        self.put(path, self.alone[parts[0]].at[path].clone())

    def one(self, path, dated=None):
        parts = self.having(path)
        if len(parts) < 2 or len({self.alone[k].at[path].data for k in parts}) != 1:
            raise Unclear("not the same bytes at " + path)
        last = max(parts, key=lambda k: self.rank(k, max))
        x = self.alone[last].at[path].clone()
        if len({self.alone[k].at[path].token for k in parts}) > 1:
            x.token = "?"
        self.put(path, x)
        if dated:
            self.dated[path] = last

    def one_directory(self, path):
        for p in self.alone:
            for q, x in p.at.items():
                if under(q, path):
                    self.placed.setdefault(q, x.clone())
        self.came |= {p.at[path].token for p in self.alone}
        self.placed[path].token = "?"  # that of the one born first

    def later_place(self, path):
        x = self.base_thing(path)
        last = max((k for k, p in enumerate(self.alone) if p.path_of(x.token) != path),
                   key=lambda k: self.rank(k, max))
        new = self.alone[last].path_of(x.token)
        for q, y in self.alone[last].at.items():
            if under(q, new):
                self.put(q, y.clone())
        self.twice.add(new)

    def move_skipped(self):
        last = max(range(len(self.parts)), key=lambda k: self.rank(k, max))
        moved = [a for a in self.parts[last] if a[0] == "rename"]
        if len(self.parts) != 2 or len(moved) != 1:
            raise Unclear("one move each")
        self.tree = self.alone[1 - last].clone()
        self.skipped.add(self.tree.path_of(self.base.at[moved[0][1]].token))

    def gone(self, path):
        self.placed[path] = None

    def together(self, last_wins):
        """One after the other, by their stamps; whether the order matters is what the row says."""
        ks = sorted(range(len(self.parts)), key=lambda k: self.rank(k, max))
        ways = []
        for way in (ks, ks[::-1]):
            tree = self.base.clone()
            for k in way:
                for act in self.parts[k]:
                    tree.run([self.follow(tree, act)], "P%d." % k)
            ways.append({p: (x.token, x.owner, x.times, x.shown()) for p, x in tree.at.items()})
            if way is ks:
                self.tree = tree
        if (ways[0] != ways[1]) != last_wins:
            raise Unclear("the order of the two %s" % ("makes no difference" if last_wins else "matters"))

    def follow(self, tree, act):
        """The act with paths to where tree has what they meant: edits follow renames."""
        new = {"create": (0,), "mkdir": (0,), "symlink": (0,), "rename": (1,), "link": (1,)}.get(act[0], ())

        def now(path):
            x = self.base.at.get(path)
            here = to(path)
            known = not x or here in tree.at and tree.at[here].token == x.token
            return here if known else tree.path_of(x.token) or here

        def to(path):
            head, _, name = path.rpartition("/")
            return now(head) + "/" + name if head else path
        at = PATHS.get(act[0], (0,))
        return (act[0], *((to if k in new else now)(x) if k in at else x for k, x in enumerate(act[1:])))

    CLAUSES = (
        (r"the later keeps (NAME)(?: and (NAME))?, the other beside (?:it|f)", later_keeps),
        (r"the earlier-born keeps (NAME), the other beside it", born_keeps),
        (r"the directory keeps (NAME), the other beside it", kind_keeps),
        (r"(NAME) stays(, edited)?(, the new one beside it)?", stays),
        (r"(NAME) is new", is_new),
        (r"(NAME) is gone", gone),
        (r"(NAME) is (NAME)(, edited)?(, the other beside it)?", is_),
        (r"one (NAME)(, its times of the later)?", one),
        (r"one directory (NAME), with what both put there", one_directory),
        (r"(NAME) goes to the later place", later_place),
        (r"the later move is skipped", move_skipped),
        (r"the later value", lambda m: m.together(True)),
        (r"both", lambda m: m.together(False)),
    )

    def path(self, name):
        if name == "the copy":
            return next(p for p in self.base.at if "~" in p)
        return self.top + "/" + name

    def read(self, text, top=""):
        """The outcome as the page words it."""
        self.top, self.listed = top, False
        for clause in text.split("; "):
            if clause == "listed":
                self.listed = True
                continue
            for pattern, run in self.CLAUSES:
                name = r"the copy|[a-z](?:/[a-z])*"
                m = re.fullmatch(pattern.replace("NAME", name), clause)
                if m:
                    args = [self.path(g) if g and re.fullmatch(name, g) else g for g in m.groups()]
                    run(self, *args)
                    break
            else:
                raise Unclear("no test understands %r" % clause)
        self.settle()
        if self.listed != bool(self.conflicts()):
            raise Unclear("%r, yet listed would be: %s" % (text, self.conflicts()))
        return self

    def settle(self):
        """The tree, from what the clauses placed: what is placed elsewhere is no longer where it was."""
        self.placed = {**self.along, **self.placed}
        tokens = {x.token for x in self.placed.values() if x} | self.came
        for p in [p for p, x in self.tree.at.items() if p not in self.placed and x.token in tokens]:
            for q in [q for q in self.tree.at if under(q, p) and q not in self.placed]:
                del self.tree.at[q]
        for p, x in self.placed.items():
            self.tree.at.pop(p, None)
            if x:
                self.tree.at[p] = x

    # -- in every position --

    def commuting(self):
        self.together(False)
        return self

    def survivors(self, top):
        """One part removed all below top; there stays what the others made, moved or edited."""
        keep = {}
        known = {x.token: x for x in self.base.at.values()}
        for p, tree in enumerate(self.alone):
            for q, x in tree.at.items():
                was = self.base.at.get(q)
                if any(a == ("rmrf", top) for a in self.parts[p]):
                    continue
                old = known.get(x.token)
                if not was or was.token != x.token or (x.written and not old.written):
                    if not old or x.written or self.moved_itself(tree, q):
                        keep[q] = x
                elif x.data != was.data and q == min(r for r in self.base.at if self.base.at[r].token == x.token):
                    keep[q] = x
        for q in list(keep):
            while under(q, top) and q != top:
                q = q.rpartition("/")[0]
                x = next(t.at[q] for t in self.alone if q in t.at)
                keep.setdefault(q, x)
        for q in [q for q in self.tree.at if under(q, top)]:
            del self.tree.at[q]
        self.tree.at.update({q: x.clone() for q, x in keep.items()})
        return self

    def moved_itself(self, tree, path):
        """Whether what is at path was moved or linked there, not what is above it."""
        was = self.base.path_of(tree.at[path].token)
        return was is None or was.rpartition("/")[2] != path.rpartition("/")[2] or \
            tree.at.get(path.rpartition("/")[0]) is None or \
            self.base.path_of(tree.at[path.rpartition("/")[0]].token) != was.rpartition("/")[0]

    # -- the list --

    def conflicts(self):
        """{(kind, path)}, as every device must list them; each path once."""
        out = {p: "renamed twice" for p in self.twice}
        out.update(dict.fromkeys(self.skipped, "move skipped"))
        out.update(self.beside)
        known = {x.token: x for x in self.base.at.values()}
        for p, x in self.tree.at.items():
            old = known.get(x.token)
            if x.copy_of:
                written = any(y.token == x.token and y.written for t in self.alone for y in t.at.values())
                out.setdefault(p, "copy" if written else "content")
            elif old and self.removed(old) and not self.placed_anew(old):
                out.setdefault(p, "kept: has survivors" if x.type == "dir" else "kept: edited while deleted")
        return {(kind, p) for p, kind in out.items()}

    def removed(self, x):
        return any(not t.path_of(x.token) for t in self.alone)

    def placed_anew(self, x):
        """Whether a part gave x a name that it had not."""
        if x.copy_of:
            return True
        for t in self.alone:
            for p, y in t.at.items():
                if y.token == x.token and (p not in self.base.at or self.base.at[p].token != x.token):
                    if self.moved_itself(t, p):
                        return True
        return False
