# SPDX-License-Identifier: MIT
"""Executable model of how peerfs merges: registers, view, local operations, garbage collection.

Ids, hashes and derived names are computed as the C does, so that both come to the same text.

One Replica is one device. It holds bundles of records; view() is a pure function of the records held.
The model recomputes everything; merge.md says what an implementation recomputes when.
"""
import hashlib
import pickle
import time
from collections import namedtuple, defaultdict

ROOT = (0, 1)
DROPPED = None                                  # content of a record that only drops versions

# A record. (dev, idx) is its dot, (t, dev) its stamp, v the vector of its operation; seq: the bundle it travels in.
Rec = namedtuple("Rec", "dev seq idx t v kind key val")
Bundle = namedtuple("Bundle", "dev seq v recs")
# A version of a file's content, kept per inode under its dot.
Version = namedtuple("Version", "dev seq idx t v content")
# Values. birth: place of a directory when made. origin: (inode, Version, attrs) of a promoted copy.
Inode = namedtuple("Inode", "type target birth origin born")
Content = namedtuple("Content", "bases content")
# place None means removed; prev is the place before; pinned: written to keep a shown place, not asked for.
Link = namedtuple("Link", "place prev pinned")
# What a path shows. kind: root dir link copy. at: inode of the shown parent; nominal: name before suffixing.
Shown = namedtuple("Shown", "kind type ino n version at name nominal pref stamp kept hidden parts")


class Seq:
    """The bundle that a record travels in; n is None until its author has cut that."""
    n = None


class Group:
    """The records of one operation: they travel in one bundle, with the vector of that moment."""

    def __init__(self, op, v):
        self.op, self.v, self.seq, self.recs = op, v, Seq(), []

    def inodes(self):
        """The inodes it concerns: it waits for each, and while it waits, later ones of each wait for it."""
        out = set()
        for r in self.recs:
            out.add({"link": 1, "attr": 0}.get(r.kind) is None and r.key or r.key[1 if r.kind == "link" else 0])
            if r.kind == "inode" and r.val.origin:
                out.add(r.val.origin[0])
        return out


class PosixError(Exception):
    pass


def dot(r):
    return (number(r.dev), r.idx)


INCS = {}                                       # device -> incarnation, where it is not the number of the device


def number(dev):
    """The incarnation that a device of a history has: A is 1."""
    return (INCS.get(dev) or ord(dev) - ord("A") + 1) if dev else 0


def stamp(r):
    return (r.t, r.dev)


def saw(r, s):
    """The author of r had applied s when it wrote r."""
    if r.dev == s.dev:                          # one that waited travels later, yet came first
        return r.idx > s.idx
    return s.seq.n is not None and r.v.get(s.dev, 0) >= s.seq.n


def concurrent(r, s):
    return dot(r) != dot(s) and not saw(r, s) and not saw(s, r)


def blake(*numbers):
    return hashlib.blake2b(b"".join(n.to_bytes(8, "little") for n in numbers), digest_size=32).digest()


def copy_id(i, v):
    """As hash_copy_id() of base/hash.h."""
    h = blake(*i, *dot(v))
    return (int.from_bytes(h[:8], "little") | 1 << 63, int.from_bytes(h[8:16], "little"))


def suffixed(name, suffix):
    stem, sep, ext = name.rpartition(".")
    if not stem or " " in ext:
        stem, sep, ext = name, "", ""
    return "%s %s%s%s" % (stem, suffix, sep, ext)


def conflict_name(name, st):
    when = time.strftime("%Y-%m-%d %H%M%S", time.gmtime((st[0] >> 16) / 1000))
    return suffixed(name, "(conflict %s %s)" % (st[1], when))


def split(path):
    head, _, tail = path.rpartition("/")
    return head, tail


class Replica:
    def __init__(self, dev, members=()):
        self.dev, self.members = dev, tuple(members)
        self.vec = {}                           # device -> highest bundle applied
        self.log = defaultdict(list)            # device -> bundles
        self.known = {}                         # member -> vector it is known to have applied
        self.open, self.op = [], 0              # groups in no bundle yet
        self.unsealed = set()                   # inodes whose groups wait
        self.last_t, self.now, self.ops = 0, 0, 0
        self.inodes = {ROOT: Inode("dir", None, None, None, (0, ""))}
        self.links = defaultdict(dict)          # inode -> name id -> [head records]
        self.content = defaultdict(dict)        # inode -> dot -> head Version
        self.attrs = {}                         # (inode, attribute) -> (stamp, value)
        self.gone_at = {}                       # inode -> vector applied when it was found gone
        self.cache = None

    # ---- records -------------------------------------------------------------------------------

    def emit(self, kind, key, val):
        if not self.open or self.open[-1].op != self.op:
            self.open.append(Group(self.op, dict(self.vec)))
        g = self.open[-1]
        self.last_t = max(self.last_t + 1, self.now << 16)
        self.ops += 1
        r = Rec(self.dev, g.seq, self.ops, self.last_t, g.v, kind, key, val)
        g.recs.append(r)
        self.apply(r)
        return r

    def begin(self):
        """An operation begins: what it writes is one group."""
        self.op += 1

    def hold(self, path):
        """What comes later about the file at path waits, as behind content that is not sealed."""
        s = self.find(path)
        if s.type != "file":
            raise PosixError("EISDIR")
        self.cut()
        self.unsealed.add(s.ino)

    def release(self):
        self.unsealed.clear()

    def cut(self):
        """Close bundles of what need not wait: runs of groups that had seen the same."""
        held, keep, runs = set(self.unsealed), [], []
        for g in self.open:
            inodes = g.inodes()
            if inodes & held:
                held |= inodes
                keep.append(g)
            elif runs and runs[-1][0].v == g.v:
                runs[-1].append(g)
            else:
                runs.append([g])
        self.open = keep
        for run in runs:
            seq = self.vec.get(self.dev, 0) + 1
            for g in run:
                g.seq.n = seq
            b = Bundle(self.dev, seq, run[0].v, tuple(r for g in run for r in g.recs))
            self.log[self.dev].append(b)
            self.vec[self.dev] = seq

    def acked(self):
        """What this device acknowledges: all that it is still to publish has seen it."""
        if not self.open:
            return dict(self.vec)
        return {d: min(s, self.vec.get(d, 0)) for d, s in self.open[0].v.items()}

    def receive(self, b):
        """Apply another device's bundle; False if its causes are not all here yet."""
        if b.seq <= self.vec.get(b.dev, 0):
            return True
        if b.seq != self.vec.get(b.dev, 0) + 1 or any(self.vec.get(d, 0) < s for d, s in b.v.items()):
            return False
        for r in b.recs:
            self.apply(r)
            self.last_t = max(self.last_t, r.t)
        self.log[b.dev].append(b)
        self.vec[b.dev] = b.seq                 # no acknowledgement: its author may hold back what had seen less
        return True

    def apply(self, r):
        self.cache = None
        if r.kind == "inode":
            self.apply_inode(r)
        elif r.kind == "link":
            n, i = r.key
            self.gone_at.pop(i, None)
            self.links[i][n] = [h for h in self.links[i].get(n, []) if not saw(r, h)] + [r]
        elif r.kind == "content":
            self.gone_at.pop(r.key, None)
            for d in r.val.bases:
                self.content[r.key].pop(d, None)
            if r.val.content is not DROPPED:
                self.content[r.key][dot(r)] = Version(*r[:5], r.val.content)
        else:
            self.apply_attr(r.key, stamp(r), r.val)

    def apply_attr(self, key, st, val):
        if key not in self.attrs or self.attrs[key][0] < st:
            self.attrs[key] = (st, val)

    def apply_inode(self, r):
        i, ino = r.key, r.val
        if ino.origin:                          # a promoted copy: the version leaves its first inode
            first, v, attrs = ino.origin
            self.gone_at.pop(first, None)
            self.content[first].pop(dot(v), None)
            for name, st, val in attrs:
                self.apply_attr((i, name), st, val)
            if i not in self.inodes:
                self.content[i][dot(v)] = v
        self.inodes.setdefault(i, ino)

    # ---- view ----------------------------------------------------------------------------------

    def heads(self, i):
        """Visible versions of i, primary first: of concurrent equal ones only the latest."""
        out, hidden = [], defaultdict(list)
        for v in sorted(self.content.get(i, {}).values(), key=stamp, reverse=True):
            twin = next((a for a in out if a.content == v.content and concurrent(a, v)), None)
            if twin:
                hidden[dot(twin)].append(dot(v))
            else:
                out.append(v)
        return out, hidden

    def kept_removal(self, i):
        """For an inode without a name: the removal that an unseen edit overrules, and that edit's stamp."""
        rems = [r for hs in self.links[i].values() for r in hs]
        rems = [r for r in rems if not any(saw(x, r) for x in rems)]
        hits = [(stamp(r), r) for r in rems
                if any(concurrent(r, v) for v in self.content.get(i, {}).values())]
        return max(hits)[1] if hits else None

    def place_of(self, i, n):
        """Head that places name n of inode i, or None: the latest, but a pinned one only if there is no other."""
        return max((h for h in self.links[i].get(n, []) if h.val.place),
                   key=lambda h: (not h.val.pinned, stamp(h)), default=None)

    def directories(self):
        """Effective place of each directory, which have a place head, and whose moves were skipped."""
        cands, at, own = {}, {}, set()
        for d, ino in self.inodes.items():
            if ino.type != "dir" or d == ROOT:
                continue
            hs = [h for heads in self.links[d].values() for h in heads]
            if not hs:
                continue
            placed = [h for h in hs if h.val.place]
            best = max(placed or hs, key=stamp)
            if placed:
                own.add(d)
            at[d] = stamp(best)
            cands[d] = [p for p in (best.val.place, best.val.prev) if p] + [ino.birth]
        level = dict.fromkeys(cands, 0)
        skipped = set()
        while True:
            cycles = find_cycles({d: cands[d][level[d]][0] for d in cands})
            if not cycles:
                break
            for c in cycles:
                w = max((d for d in c if level[d] + 1 < len(cands[d])), key=lambda d: at[d])
                level[w] += 1
                skipped.add(w)
        return {d: cands[d][level[d]] for d in cands}, own, skipped

    def build(self):
        if self.cache:
            return self.cache
        eff, own, skipped = self.directories()
        kids = defaultdict(list)                # parent inode -> [(name, n, inode, stamp, kept)]
        anchors = {}                            # inode -> its oldest shown name
        live = {ROOT}

        def alive(d):
            while d not in live:
                live.add(d)
                d = eff[d][0]
        for d in own:
            alive(d)
        for i, ino in self.inodes.items():
            if ino.type == "dir":
                continue
            found = [(self.place_of(i, n), n) for n in self.links[i]]
            found = [(h.val.place, n, stamp(h), False) for h, n in found if h]
            if not found:
                r = self.kept_removal(i)
                if r:
                    found = [(r.val.prev, r.key[0], stamp(self.heads(i)[0][0]), True)]
            for (parent, name), n, st, kept in found:
                kids[parent].append((name, n, i, st, kept))
                alive(parent)
            if found:
                anchors[i] = min(f[1] for f in found)
        dirs = defaultdict(list)
        for d, (parent, name) in eff.items():
            if d in live:
                dirs[parent].append((name, d))
        paths = {"": Shown("root", "dir", ROOT, None, None, None, "", "", None, None, False, (), (ROOT,))}
        todo = [("", (ROOT,))]
        while todo:
            path, parts = todo.pop()
            for name, s in self.build_dir(parts, dirs, kids, anchors).items():
                paths[path + "/" + name] = s
                if s.kind == "dir":
                    todo.append((path + "/" + name, s.parts))
        self.cache = (paths, eff, own, skipped)
        return self.cache

    def build_dir(self, parts, dirs, kids, anchors):
        """Entries of one shown directory, whose constituents are parts (canonical first)."""
        here, out, losers = parts[0], {}, []
        groups, files = defaultdict(list), defaultdict(list)
        for p in parts:
            for name, d in dirs[p]:
                groups[name].append(d)
            for k in kids[p]:
                files[k[0]].append(k)
        for name, ds in groups.items():
            ds = tuple(sorted(ds, key=lambda d: self.inodes[d].born))
            out[name] = Shown("dir", "dir", ds[0], None, None, here, name, name, name, None, False, (), ds)
        for name, ks in files.items():
            ks.sort(key=lambda k: k[3], reverse=True)
            ks.sort(key=lambda k: k[1])         # oldest name id first; within one, latest stamp first
            shown = []
            for k in ks:
                twin = next((s for s in shown if self.same(s[0][2], k[2])), None)
                if twin:
                    twin[1].append((k[1], k[2]))
                else:
                    shown.append((k, []))
            for (_, n, i, st, kept), hidden in shown:
                s = Shown("link", self.inodes[i].type, i, n, None, here, name, name, name, st, kept, tuple(hidden), ())
                if name in out:
                    losers.append(s._replace(pref=conflict_name(name, st)))
                else:
                    out[name] = s
            for k in ks:
                if anchors[k[2]] == k[1]:
                    for v in self.heads(k[2])[0][1:]:
                        losers.append(Shown("copy", "file", k[2], k[1], v, here, name, name,
                                            conflict_name(name, stamp(v)), stamp(v), False, (), ()))
        for s in sorted(losers, key=lambda s: (s.stamp, self.ident(s))):
            name, size = s.pref, 4
            while name in out:
                name = suffixed(s.pref, blake(*self.ident(s)).hex()[:size])
                size += 1
            out[name] = s._replace(name=name)
        return out

    def same(self, a, b):
        """Two non-directories at one place that need not both be shown."""
        if a == b:
            return True
        if self.inodes[a].type != self.inodes[b].type:
            return False
        if self.inodes[a].type == "symlink":
            return self.inodes[a].target == self.inodes[b].target
        va, vb = self.heads(a)[0][0], self.heads(b)[0][0]
        return va.content == vb.content and concurrent(va, vb)

    @staticmethod
    def ident(s):
        return copy_id(s.ino, s.version) if s.kind == "copy" else s.ino

    def view(self):
        """path -> (type, content or target, mode, xattrs, inode id)"""
        out = {}
        for path, s in self.build()[0].items():
            if not path:
                continue
            data = None
            if s.type == "symlink":
                data = self.inodes[s.ino].target
            elif s.type == "file":
                data = (s.version or self.heads(s.ino)[0][0]).content
            attrs = {k[1]: v[1] for k, v in self.attrs.items() if k[0] == s.ino}
            mode = attrs.pop("mode", {"dir": 0o755, "symlink": 0o777}.get(s.type, 0o644))
            xattrs = tuple(sorted((k, v) for k, v in attrs.items() if v is not None))
            out[path] = (s.type, data, mode, xattrs, self.ident(s))
        return out

    def conflicts(self):
        """What a user is told about, each path once, sorted; the same on every replica that holds the same records."""
        paths, eff, own, skipped = self.build()
        out = []
        for path, s in paths.items():
            if s.kind == "copy":
                out.append(("content", path))
            elif s.kind == "link" and s.name != s.nominal:
                out.append(("name", path))
            elif s.kind == "link" and s.kept:
                if not s.hidden:                # else somebody put the same bytes there
                    out.append(("kept: edited while deleted", path))
            elif s.kind == "link":
                asked = [h.val.place for h in self.links[s.ino][s.n] if h.val.place and not h.val.pinned]
                h = self.place_of(s.ino, s.n)
                if len(set(asked)) > 1:
                    out.append(("renamed twice", path))
                elif h and h.val.pinned:
                    out.append(("copy", path))
            elif s.kind == "dir":
                if set(s.parts) & skipped:
                    out.append(("move skipped", path))
                elif set(s.parts) - own:
                    out.append(("kept: has survivors", path))
                elif any(len({h.val.place for h in hs if h.val.place}) > 1
                         for d in s.parts for hs in self.links[d].values()):
                    out.append(("renamed twice", path))
        return sorted(out)

    # ---- local operations ----------------------------------------------------------------------

    def find(self, path):
        if path not in self.build()[0]:
            raise PosixError("ENOENT")
        return self.build()[0][path]

    def parent(self, path):
        """(canonical inode of the shown parent, last name) of a path that need not exist."""
        head, name = split(path)
        s = self.find(head)
        if s.type != "dir":
            raise PosixError("ENOTDIR")
        return s.ino, name

    def free(self, path):
        if path in self.build()[0]:
            raise PosixError("EEXIST")
        return self.parent(path)

    def new_ids(self):
        i = (number(self.dev), self.ops + 1)
        return i, (max(self.last_t + 1, self.now << 16), self.dev, 0)

    def put(self, n, i, place, prev=None, pinned=False):
        self.emit("link", (n, i), Link(place, prev, pinned))

    def promote(self, s, place, pinned, n=None, but=()):
        """Make a derived copy an inode of its own, at place."""
        self.keep(s, but)
        self.drop(s)
        i, v = self.ident(s), s.version
        attrs = tuple((k[1], *val) for k, val in self.attrs.items() if k[0] == s.ino)
        self.emit("inode", i, Inode("file", None, None, (s.ino, v, attrs), stamp(v)))
        n = n or (v.t, v.dev, i[1])
        self.put(n, i, place, None, pinned)
        return i, n

    def drop(self, s, *dots):
        """Drop versions dots of a copy's file, and the equal ones hidden behind the copy."""
        dots += tuple(self.heads(s.ino)[1].get(dot(s.version), []))
        if dots:
            self.emit("content", s.ino, Content(dots, DROPPED))

    def pin(self, s, but=(), pinned=True):
        """Write down the place at which s is shown; returns (inode, name id). but: copies to leave alone."""
        if s.kind == "copy":
            return self.promote(s, (s.at, s.name), pinned, None, but)
        lost = s.name != s.nominal
        copies = self.copies(s.ino, s.n, but) if lost else []
        self.remove_hidden(s.hidden if lost else (), but)
        self.put(s.n, s.ino, (s.at, s.name), None, pinned and lost)
        for o in copies:                        # they were shown beside the nominal name
            self.promote(o, (o.at, o.name), True)
        return s.ino, s.n

    def own_name(self, s):
        """Before content or links of s change: a copy becomes an inode, a kept file gets its name back."""
        if s.kind == "copy" or s.kept:
            return self.pin(s)
        return s.ino, s.n

    def keep(self, s, but=()):
        """Before copy s goes: a file that only an unseen edit keeps gets its name back, or loses it if hidden."""
        if not self.place_of(s.ino, s.n) and self.kept_removal(s.ino):
            o = next((o for o in self.shown() if o.kind == "link" and o.ino == s.ino), None)
            if o:
                self.pin(o, (s, *but))
            else:
                self.remove_hidden([(s.n, s.ino)], (s, *but))

    def copies(self, i, n=None, but=()):
        """The shown copies of i (only those beside name n, when given), except but."""
        skip = [self.ident(o) for o in but if o]
        return [o for o in self.shown() if o.kind == "copy" and o.ino == i and n in (None, o.n)
                and self.ident(o) not in skip]

    def pin_copies(self, i, n=None, but=()):
        for o in self.copies(i, n, but):
            self.pin(o, but)

    def shown(self):
        return list(self.build()[0].values())

    def remove_hidden(self, pairs, but=()):
        for n, i in pairs:
            copies = self.copies(i, n, but)
            self.put(n, i, None, self.place_or_prev(n, i))
            for o in copies:
                self.promote(o, (o.at, o.name), True)

    def place_or_prev(self, n, i):
        h = self.place_of(i, n)
        return h.val.place if h else max(self.links[i][n], key=stamp).val.prev

    def leave(self, path, s, t=None):
        """Before s leaves its path: whatever would change its shown place is pinned, but not t."""
        paths, eff, own, skipped = self.build()
        for o in list(paths.values()):
            if o.at != s.at or any(x and (x.n, self.ident(x)) == (o.n, self.ident(o)) for x in (s, t)):
                continue
            lost = o.kind == "link" and o.name != o.nominal and o.nominal == s.name
            if lost or (o.pref == s.name and o.name != o.pref):
                self.pin(o, (s, t))
        up, dead = split(path)[0], []
        while up:
            dead += [d for d in paths[up].parts if d not in own]
            up = split(up)[0]
        if dead:
            self.pin_skipped()
        for d in dead:
            self.put_dir(d, eff[d], eff[d])

    def put_dir(self, d, place, prev):
        self.put(next(iter(self.links[d])), d, place, prev)

    def pin_skipped(self):
        _, eff, own, skipped = self.build()
        for d in sorted(skipped):               # a dead one stays dead
            self.put_dir(d, eff[d] if d in own else None, eff[d])

    def make(self, path, typ, target=None):
        place = self.free(path)
        i, n = self.new_ids()
        self.emit("inode", i, Inode(typ, target, place if typ == "dir" else None, None, n[:2]))
        self.put(n, i, place)
        return i

    def create(self, path, content):
        self.emit("content", self.make(path, "file"), Content((), content))

    def mkdir(self, path):
        self.make(path, "dir")

    def symlink(self, path, target):
        self.make(path, "symlink", target)

    def write(self, path, content):
        s = self.find(path)
        if s.type != "file":
            raise PosixError("EISDIR")
        hidden = self.hidden_by(s)
        i, _ = self.own_name(s)
        self.remove_hidden(hidden)
        heads, twins = self.heads(i)
        head = dot(heads[0])
        self.emit("content", i, Content((head, *twins[head]), content))

    def hidden_by(self, s):
        """Names hidden behind any name of s, and hidden names of s itself."""
        return sorted((n, i) for o in self.shown() for n, i in o.hidden if s.kind == "link" and s.ino in (o.ino, i))

    def safe_save(self, path, content):
        if self.find(path).type == "dir":
            raise PosixError("EISDIR")
        tmp = split(path)[0] + "/.tmp"
        self.create(tmp, content)
        self.rename(tmp, path)

    def unlink(self, path):
        s = self.find(path)
        if s.type == "dir":
            raise PosixError("EISDIR")
        self.leave(path, s)
        self.remove(s)

    def remove(self, s, but=()):
        """Take away one shown non-directory, but being about to move over it."""
        if s.kind == "copy":
            self.keep(s, but)
            return self.drop(s, dot(s.version))
        self.pin_copies(s.ino, s.n, but)
        self.remove_hidden(s.hidden, but)
        self.put(s.n, s.ino, None, (s.at, s.name))

    def link(self, src, dst):
        s = self.find(src)
        if s.type == "dir":
            raise PosixError("EPERM")
        place = self.free(dst)
        i, _ = self.own_name(s)
        self.put(self.new_ids()[1], i, place)

    def chmod(self, path, mode):
        self.set_attr(path, "mode", mode)

    def setxattr(self, path, key, value):
        self.set_attr(path, "user." + key, value)

    def set_attr(self, path, key, value):
        s = self.find(path)
        i = self.pin(s)[0] if s.kind == "copy" else s.ino
        self.emit("attr", (i, key), value)

    def rmdir(self, path):
        s = self.find(path)
        if s.type != "dir":
            raise PosixError("ENOTDIR")
        if not path or any(p.startswith(path + "/") for p in self.build()[0]):
            raise PosixError("ENOTEMPTY")
        self.pin_skipped()
        self.leave(path, s)
        self.remove_dir(s)

    def remove_dir(self, s):
        eff = self.build()[1]
        for d in s.parts:
            self.put_dir(d, None, eff[d])

    def rename(self, src, dst):
        s, place = self.find(src), self.parent(dst)
        t = self.build()[0].get(dst)
        if src == dst or (t and t.type != "dir" and s.type != "dir" and self.ident(s) == self.ident(t)):
            return
        if not src or dst.startswith(src + "/"):
            raise PosixError("EINVAL")
        if t and (s.type == "dir") != (t.type == "dir"):
            raise PosixError("EISDIR")
        if s.type == "dir":
            return self.rename_dir(src, s, dst, t, place)
        self.leave(src, s, t)
        if s.kind == "copy":
            self.keep(s, (t,))
        else:
            self.pin_copies(s.ino, None, (t,))
            self.remove_hidden(s.hidden, (t,))
        n = t.n if t and t.kind == "link" else None
        if n and n != s.n and self.place_of(self.ident(s), n):
            n = None                            # one inode has one place per name id
        if t:
            self.leave(dst, t, s)
            self.remove(t, (s,))
        if s.kind == "copy":
            self.promote(s, place, False, n)
            return
        if n and n != s.n:
            self.put(s.n, s.ino, None, (s.at, s.name))
        self.put(n or s.n, s.ino, place)

    def exchange(self, a, b):
        """RENAME_EXCHANGE: both must exist; each takes the other's place."""
        s, t = self.find(a), self.find(b)
        if self.ident(s) == self.ident(t):
            return
        if not a or not b or a.startswith(b + "/") or b.startswith(a + "/"):
            raise PosixError("EINVAL")
        if "dir" in (s.type, t.type):
            self.pin_skipped()
        for path, x, other in ((a, s, t), (b, t, s)):
            self.leave(path, x, other)
            if x.kind == "copy":
                self.keep(x, (other,))
            elif x.kind == "link":
                self.pin_copies(x.ino, None, (other,))
                self.remove_hidden(x.hidden, (other,))
        for x, place in ((s, (t.at, t.name)), (t, (s.at, s.name))):
            if x.kind == "copy":
                self.promote(x, place, False)
            elif x.kind == "link":
                self.put(x.n, x.ino, place)
            else:
                eff = self.build()[1]
                for d in x.parts:
                    self.put_dir(d, place, eff[d])

    def rename_dir(self, src, s, dst, t, place):
        if t and any(p.startswith(dst + "/") for p in self.build()[0]):
            raise PosixError("ENOTEMPTY")
        self.pin_skipped()
        self.leave(src, s)
        if t:
            self.remove_dir(t)
        eff = self.build()[1]
        for d in s.parts:
            self.put_dir(d, place, eff[d])

    def resolve(self, path, keep):
        """End the conflict of the file at path. keep: path of the version wanted, or "all"."""
        s = self.find(path)
        group = [(p, o) for p, o in self.build()[0].items()
                 if o.at == s.at and o.nominal == s.nominal and o.type == "file" and p != path]
        if keep == "all":
            for p, o in group:
                if o.name != o.nominal or o.kept:
                    self.pin(o, (), False)
            return
        if keep != path:
            self.rename(keep, path)
        for p, _ in group:
            if p != keep and p in self.build()[0]:
                self.unlink(p)

    # ---- exchange, restart, garbage ------------------------------------------------------------

    def pull(self, other, limit=None):
        """Take up to limit bundles that other has and we lack."""
        self.cut()
        other.cut()
        moved, progress = 0, True
        while progress and moved != limit:
            progress = False
            for d in sorted(other.log):
                have = self.vec.get(d, 0)
                if have < len(other.log[d]) and moved != limit and self.receive(other.log[d][have]):
                    moved += 1
                    progress = True
                    self.note_gone()
        if all(self.vec.get(d, 0) >= s for d, s in other.vec.items()):
            for m, v in [(other.dev, other.acked()), *other.known.items()]:
                mine = self.known.setdefault(m, {})
                for d, q in v.items():
                    mine[d] = max(mine.get(d, 0), q)
        return moved

    def dump(self):
        self.cut()
        self.cache = None
        return pickle.dumps(self)

    def covered(self, vec):
        """Every member has applied vec."""
        known = {**self.known, self.dev: self.acked()}
        return all(all(known.get(m, {}).get(d, 0) >= s for d, s in vec.items()) for m in self.members)

    def named(self):
        """Directories that a record held names as place, previous place or birth place."""
        links = [h.val for names in self.links.values() for hs in names.values() for h in hs]
        places = [p for val in links for p in (val.place, val.prev)] + [ino.birth for ino in self.inodes.values()]
        return {ROOT} | {p[0] for p in places if p}

    def note_gone(self):
        """Remember since when each inode has been gone: no name, and no unseen edit or record that needs it."""
        if not self.members:
            return
        named, held = self.named(), set().union(*(g.inodes() for g in self.open))
        for i, ino in self.inodes.items():
            if i in held or (any(self.place_of(i, n) for n in self.links[i])
                    or (i in named if ino.type == "dir" else self.kept_removal(i))):
                self.gone_at.pop(i, None)
            else:
                self.gone_at.setdefault(i, dict(self.vec))

    def collect(self):
        """Forget what no future bundle can concern."""
        self.cut()
        for i, names in self.links.items():
            if self.inodes[i].type != "dir" and any(self.place_of(i, n) for n in names):
                for n, hs in list(names.items()):
                    names[n] = [h for h in hs if h.val.place or h.seq.n is None
                                or not self.covered({h.dev: h.seq.n})]
                    if not names[n]:
                        del names[n]
        ready = True
        while ready:
            self.note_gone()
            ready = [i for i, v in self.gone_at.items() if self.covered(v)]
            for i in ready:
                self.forget(i)
        self.cache = None

    def forget(self, i):
        self.gone_at.pop(i, None)
        self.inodes.pop(i, None)
        self.links.pop(i, None)
        self.content.pop(i, None)
        for k in [k for k in self.attrs if k[0] == i]:
            del self.attrs[k]


# ---- members that come and go --------------------------------------------------------------------

# A record of the roster: remove, retire, reject, reader (a lowered role) or accept; about whom; what its author had.
Decision = namedtuple("Decision", "kind subject vec")
LIMITS = ("remove", "retire", "reject", "reader")


def judge(decisions):
    """Those that count, in their order, as (decision, whether it limits its subject)."""
    role, out = {}, []
    for d in decisions:
        now = role.get(d.subject, "writer")
        if now == "none":                       # nothing can be said of one who is no member any more
            continue
        out.append((d, d.kind in LIMITS and (d.kind != "reader" or now == "writer")))
        if d.kind in ("remove", "retire"):
            role[d.subject] = "none"
        elif d.kind == "reader":
            role[d.subject] = "reader"
    return out


def accepted(held, decisions):
    """Device -> how many of its bundles are accepted; those without a limit are not in it.

    held: device -> bundles, in order.  A function of both, whatever came first: of one that is limited that counts
    which the limiting record had seen, or any record that limits or accepts, or one whose own bundles have no limit.
    """
    limit, granted = {}, defaultdict(int)
    for d, limits in judge(decisions):
        for dev, seq in d.vec.items() if limits or d.kind == "accept" else ():
            granted[dev] = max(granted[dev], seq)
        if limits:
            limit[d.subject] = min(limit.get(d.subject, 1 << 60), d.vec.get(d.subject, 0))
    out = {}
    for dev, least in limit.items():
        saw_it = [b.v.get(dev, 0) for d, bs in held.items() if d not in limit for b in bs]
        out[dev] = max([least, granted[dev], *saw_it])
    return out


class Hearer:
    """A member that writes nothing: what it shows of the bundles and decisions that it holds."""

    def __init__(self):
        self.held, self.decisions = defaultdict(list), []

    def view_of(self):
        """A replica that has taken what is accepted, causes first."""
        most, z, progress = accepted(self.held, self.decisions), Replica("Z"), True
        while progress:
            progress = False
            for dev, bs in sorted(self.held.items()):
                have = z.vec.get(dev, 0)
                if have < min(len(bs), most.get(dev, 1 << 60)) and z.receive(bs[have]):
                    progress = True
        return z


def find_cycles(edge):
    """Cycles of a functional graph whose nodes without an edge are roots."""
    state, cycles = {}, []
    for start in sorted(edge):
        path, d = [], start
        while d in edge and d not in state:
            state[d] = start
            path.append(d)
            d = edge[d]
        if state.get(d) == start and d in path:
            cycles.append(path[path.index(d):])
    return cycles
