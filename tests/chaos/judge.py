# SPDX-License-Identifier: MIT
"""What must hold when all is healed: one tree everywhere, whole contents, nothing lost.

A segment that was acknowledged is either in the final tree, or somebody did away with it: an entry
of the ledger that had seen it.  Between the look of whoever removes or replaces a file and the act
itself another device's version may arrive; what can have gone that way, and only that, is counted as
not to be judged: the act's device could hear the writer's during that time, and the act was on the
same inode, or on a name that the file ever had.  The same holds for a write whose own mount did not show it afterwards: a removal
may have arrived between its last look at the file and the version's cut.
"""

import base64
import errno
import hashlib
import json
import os
import stat
import zlib

from content import HEADER, between, ids_in, parse, whole

IN_FLIGHT = 5.0  # seconds that something sent before a cut may be under way


# ---- trees ----

def metadata(top):
    """path -> type and mode, links, inode, size, time, owner, extended attributes, target."""
    shown = {}
    for folder, folders, files in os.walk(top, onerror=fail):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = {"mode": st.st_mode, "ino": st.st_ino, "uid": st.st_uid, "gid": st.st_gid}
            if not stat.S_ISDIR(st.st_mode):
                what.update(nlink=st.st_nlink, size=st.st_size, mtime=st.st_mtime_ns)
            if stat.S_ISLNK(st.st_mode):
                what["target"] = os.readlink(path)
            else:
                what["xattrs"] = {k: os.getxattr(path, k).hex() for k in sorted(os.listxattr(path))}
            shown[os.path.relpath(path, top)] = what
    return shown


def fail(error):
    raise error


def differences(one, other):
    """What is told of two trees that are not equal; nothing, if they are."""
    for path in sorted(set(one) | set(other)):
        if path not in one or path not in other:
            yield f"{path}: only on {'the other' if path not in one else 'the first'}"
        elif one[path] != other[path]:
            yield f"{path}: {one[path]} on the first, {other[path]} on the other"


def digests(top, tree):
    """path -> hash of all bytes of each regular file."""
    found = {}
    for path, what in tree.items():
        if stat.S_ISREG(what["mode"]):
            with open(os.path.join(top, path), "rb") as f:
                data = f.read()
            if len(data) != what["size"]:
                raise AssertionError(f"{path}: {len(data)} bytes read, {what['size']} told")
            found[path] = hashlib.blake2b(data).hexdigest()
    return found


# ---- the ledger ----

def read_ledgers(paths):
    entries = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            entries += [json.loads(line) for line in f]
    return entries


def reachable(history, a, b, since, until):
    """Whether anything could get from a to b then, over others too; links are those that were open
    at any moment of it, which allows rather too much."""
    links = set()
    for k, (moment, opened) in enumerate(history):
        end = history[k + 1][0] if k + 1 < len(history) else until
        if moment <= until and end >= since:
            links |= opened
    known, edge = {a}, {a}
    while edge:
        edge = {y for x, y in links if x in edge} - known
        known |= edge
    return b in known


class Judge:
    """The verdict on a ledger, given the final tree's contents."""

    def __init__(self, entries, history, deaths=()):
        self.entries, self.history, self.deaths = entries, history, deaths
        self.removers = {}  # id -> entries that did away with it
        self.windows = {}  # inode or name -> entries that may have met what they had not seen
        self.places = {}  # id -> writes in place that concern it
        self.names = {}  # inode -> last names that it ever was given
        for e in entries:
            if not e.get("orphan"):
                for name in e.get("gone", ()):
                    self.removers.setdefault(name, []).append(e)
            if "gone" in e and not e.get("exact", True):
                for key in {e.get("ino"), e.get("name")} - {None}:
                    self.windows.setdefault(key, []).append(e)
            for ino, name in e.get("named", ()):
                self.names.setdefault(ino, set()).add(name)
            for name in {n for n, _ in e.get("before", []) + e.get("after", [])}:
                self.places.setdefault(name, []).append(e)

    def verdicts(self, found):
        """Of each acknowledged id: (verdict, id, its entry)."""
        for e in self.entries:
            if e["sure"] and not e.get("orphan"):
                for name in e.get("made", ()):
                    yield self.verdict(name, e, found), name, e

    def verdict(self, name, e, found):
        if name in found:
            return "found"
        removers = self.removers.get(name, [])
        # One of several names of a file takes nothing with it; all of them do.
        if len(removers) > 1 or any(not r.get("left") for r in removers):
            return "superseded"
        for key in {e.get("ino"), e.get("name"), *self.names.get(e.get("ino"), ())} - {None}:
            for r in self.windows.get(key, ()):
                if r["node"] != e["node"] and (self.met(e, r) or self.unshown(e, r)):
                    return "open"
        return "open" if self.merged(e) else "lost"

    def merged(self, e):
        """Whether e was written into a conflict copy that had ended before it was cut: where the
        copy's version was the file itself, somebody wrote on."""
        return "(conflict " in e.get("name", "") and any(
            r["node"] != e["node"] and self.unshown(e, r)
            for name, _ in e.get("before", ()) for r in self.places.get(name, ()))

    def survived(self, name, e):
        """Whether another device did away with the file without having seen what was written."""
        return any(r["node"] != e["node"] and r["sure"] and r.get("left") == 0 and
                   name not in r["gone"] and not self.met(e, r) and not self.unshown(e, r)
                   for r in self.windows.get(e.get("ino"), ()))

    def met(self, e, r):
        """Whether what e wrote may have come to r's device between r's look and r's act."""
        return r["t1"] > e["t0"] and reachable(self.history, node(e), node(r),
                                               max(e["t0"], r["t0"] - IN_FLIGHT), r["t1"])

    def unshown(self, e, r):
        """Whether r's removal may have come to e's device before e's version was cut."""
        return not e.get("shown") and r["t0"] < e["t1"] and \
            reachable(self.history, node(r), node(e), r["t0"], e["t1"])

    def explained(self, data):
        """Whether these bytes may stand in a file: whole segments, or a write in place halfway."""
        if not parse(data)[1]:
            return True
        heads = [h.group(1).decode() for h in HEADER.finditer(data)]
        near = {id(e): e for name in heads for e in self.places.get(name, ())}
        if not heads:  # less than a header
            near = {id(e): e for e in self.entries if "after" in e}
        return any(between(data, whole(e.get("before", [])), whole(e["after"]))
                   for e in near.values() if "after" in e)

    def died(self, e):
        """Whether the error is the kernel's, whose request or reply a killed daemon was copying."""
        return e["error"] == errno.EIO and any(
            k == node(e) and e["t0"] <= moment <= e["t1"] for moment, k in self.deaths)

    def looks(self):
        """Entries of those who read what may not stand in a file, and of unexpected errors."""
        for e in self.entries:
            if "strange" in e and not self.died(e):
                yield f"{e['node']}: {e['op']} {e.get('name', '')}: {e['strange']}"
            if "torn" in e and not self.explained(zlib.decompress(base64.b64decode(e["torn"]))):
                yield f"{e['node']}: {e['op']} {e.get('name', '')}: read what nobody wrote"


def node(e):
    return int(e["node"][1:])


def contents(top, tree):
    """The ids that a tree holds, and the bytes of files that are not whole segments."""
    found, broken = set(), {}
    for path, what in tree.items():
        if path.startswith("wild"):
            continue
        if "target" in what:
            found.add(what["target"])
        elif stat.S_ISREG(what["mode"]):
            with open(os.path.join(top, path), "rb") as f:
                data = f.read()
            found.update(ids_in(data))
            if parse(data)[1]:
                broken[path] = data
    return found, broken
