#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""two-matrix - the table of peerfs-semantics(7) on real mounts: daemons that are cut off from each other

    two-matrix.py [WORDS...]        only cases whose title has all the words

Every row is played in a directory of its own, all rows in one partition: two devices, either one
later, and a third that only reads.  Together again, all three must show the tree and list the
conflicts that the page says, with the same names, inode numbers, links and bytes, whoever wrote the
conflict copies.  Then all daemons are killed and started, and every conflict is ended by one of the
two, by removing a copy, renaming it over its file, or moving what is listed; it is over for all.  The
cases are those that tests/model/matrix.py plays on the core.

With PEERFS_FULL=1 either device is A, a third one does one of the two acts as well, and the other
act is done above, below and beside the object, too.
"""

import itertools
import os
import re
import stat
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
for room in "chaos", "model":
    sys.path.insert(0, os.path.join(HERE, "..", room))
import cases  # noqa: E402
import fleet  # noqa: E402
import judge  # noqa: E402
import rows  # noqa: E402
import sandbox  # noqa: E402

TOP = "/x"
FULL = os.environ.get("PEERFS_FULL") == "1"
WRITERS = "ABC" if FULL else "AB"
SECONDS = 240 if FULL else 120
# What peerfs conflicts says of each kind.
WHAT = {"edited twice": "content", "two files of one name": "name", "conflict copy": "copy",
        "renamed twice": "renamed twice", "removed here, edited there: kept": "kept: edited while deleted",
        "a move that would make a loop": "move skipped",
        "folder removed while it was filled": "kept: has survivors"}


# ---- one act, as a program does it -------------------------------------------------------------

def write(path, data, how="w"):
    with open(path, how, encoding="latin-1") as f:
        f.write(data)


def safe_save(path, data):
    write(path + ".new", data)
    os.rename(path + ".new", path)


def fallocate(path, size):
    fd = os.open(path, os.O_WRONLY)
    os.posix_fallocate(fd, 0, int(size))
    os.close(fd)


def remove_all(top):
    found = [top]
    for folder, folders, files in os.walk(top):
        found += [os.path.join(folder, name) for name in folders + files]
    for path in sorted(found, reverse=True):
        (os.rmdir if stat.S_ISDIR(os.lstat(path).st_mode) else os.unlink)(path)


def resolve(path, keep):
    assert path == keep
    for name in os.listdir(os.path.dirname(path)):
        if name.startswith(os.path.basename(path) + " (conflict "):
            os.unlink(os.path.join(os.path.dirname(path), name))


ACTS = {
    "create": lambda p, data: write(p, data, "x"), "write": write, "append": lambda p, data: write(p, data, "a"),
    "truncate": lambda p, size: os.truncate(p, int(size)), "fallocate": fallocate, "safe_save": safe_save,
    "symlink": lambda p, target: os.symlink(target, p), "mkdir": os.mkdir, "rename": os.rename, "link": os.link,
    "unlink": os.unlink, "rmdir": os.rmdir, "rmrf": remove_all, "resolve": resolve, "nothing": os.lstat,
    "chmod": lambda p, mode: os.chmod(p, int(mode)), "chown": lambda p, who: os.chown(p, int(who), int(who)),
    "utimes": lambda p, when: os.utime(p, (int(when), int(when))),
    "setxattr": lambda p, key, value: os.setxattr(p, "user." + key, value.encode()),
    "removexattr": lambda p, key: os.removexattr(p, "user." + key)}


# ---- the world ---------------------------------------------------------------------------------

class World:
    """Some devices that write, the last one that reads, and the network between them."""

    def __init__(self, scratch):
        self.net = fleet.Net(len(WRITERS) + 1)
        self.nodes = [fleet.Node(scratch, self.net, k) for k in range(self.net.number)]
        self.by_name = dict(zip(WRITERS, self.nodes))
        for node in self.nodes:
            node.cli("config", "set", f"folder.{fleet.FOLDER}.owner", "preserve")
            node.cli("config", "set", f"folder.{fleet.FOLDER}.brake", "no")  # all cases at once are much
        first, reader = self.nodes[0], self.nodes[-1]
        first.cli("create", fleet.FOLDER, first.dir)
        first.running()
        for node in self.nodes[1:]:
            role = ["--role", "reader"] if node is reader else []
            node.cli("join", first.cli("invite", fleet.FOLDER, "--print", *role).strip(), node.dir)
            node.running()
        fleet.connected(self.nodes, 60)
        self.trees = []

    def part(self):
        self.net.cut(list(itertools.permutations(range(self.net.number), 2)))

    def join(self):
        """Mended, all come to show one tree."""
        self.net.heal()

        def same():
            if not all(n.rest() for n in self.nodes):
                return False
            self.trees = [judge.metadata(n.dir) for n in self.nodes]
            return all(t == self.trees[0] for t in self.trees[1:])
        try:
            fleet.connected(self.nodes, SECONDS)
            fleet.eventually(same, SECONDS, "equal trees")
        except AssertionError as e:
            for other in self.trees[1:]:
                for line in itertools.islice(judge.differences(self.trees[0], other), 10):
                    print(line)
            raise e

    def turn(self, device):
        """The clock has gone on and all is sealed: what comes now is later."""
        node = self.by_name[device]
        fleet.eventually(lambda: not node.status()["files_unsealed"], SECONDS, "all files to be sealed")
        before = time.time_ns() // 1000000
        while time.time_ns() // 1000000 <= before + 1:
            pass  # two milliseconds


class Play:
    """One case, in a directory of its own: below it paths are as in the case."""

    def __init__(self, world, case, number):
        self.world, self.case, self.top = world, case, "%04d" % number
        self.names = {}  # f~A -> its real path
        self.turns = {}
        self.acted = {}

    def real(self, path):
        return self.names.get(path, path)

    def run(self, device, act):
        node = self.world.by_name[device]
        op, *args = rows.mapped(act, lambda p: os.path.join(node.dir, self.top) + self.real(p))
        ACTS[op](*args)
        if op != "nothing" and os.path.lexists(args[0]):
            self.acted[device] = os.lstat(args[0]).st_mtime_ns // 1000000

    def plan(self, order, clock):
        """The turn of each device: after that of the one before it in order."""
        at = -1
        for d in order:
            at = next(k for k in range(at + 1, len(clock)) if clock[k] == d)
            self.turns[d] = at

    def short(self, path):
        return re.sub(r" \(conflict n(\d) \d{4}-\d\d-\d\d \d{6}\)", lambda m: "~" + WRITERS[int(m[1])], path)

    def learn(self, tree):
        """The names of copies, and the inode numbers that all know."""
        self.names = {self.short(p): p for p in tree}
        self.ids = {q: tree[p]["ino"] for q, p in self.names.items()}

    def entry(self, node, path, what):
        mode = what["mode"]
        type_, data = "file", None
        if stat.S_ISDIR(mode):
            type_ = "dir"
        elif stat.S_ISLNK(mode):
            type_, data = "symlink", what["target"]
        else:
            data = content(node, self.top + path)
        xattrs = tuple(sorted((k, bytes.fromhex(v).decode()) for k, v in what.get("xattrs", {}).items()))
        return cases.Entry(type_, data, stat.S_IMODE(mode), xattrs, what["uid"], what.get("mtime", 0) // 1000000,
                           what.get("nlink", 0), what["ino"])

    def wrong(self, node, tree, listed):
        """What a device shows that it should not; None if nothing."""
        got = {self.short(p): self.entry(node, p, what) for p, what in tree.items()}
        if len(got) != len(tree):
            return "two copies of one name: %s" % sorted(tree)
        return self.case.compare(got, {(kind, self.short(p)) for kind, p in listed}, self.acted, ids=self.ids)


def content(node, path):
    with open(os.path.join(node.dir, path), encoding="latin-1") as f:
        return f.read()


def parted(paths):
    """{directory of a case: {path in it: what}}; what stands in no such directory has "" for it."""
    out = {}
    for path, what in paths:
        top, _, rest = path.lstrip("/").partition("/")
        if not rest and not top.isdigit():
            out.setdefault("", []).append(("/" + top, what))
        if rest:
            out.setdefault(top, []).append(("/" + rest, what))
    return out


def listed(node):
    """{directory of a case: {(kind, path)}}"""
    told = [(c["path"], WHAT[c["what"]]) for c in node.conflicts()]
    if len(told) != len({p for p, _ in told}):
        raise AssertionError(f"{node.name}: a conflict is listed twice")
    return {top: {(kind, p) for p, kind in those} for top, those in parted(told).items()}


def chosen():
    page = rows.page_rows()
    if not FULL:
        return cases.at_object(page, TOP, tuple(cases.PAIRS[:2]))
    return itertools.chain(cases.at_object(page, TOP), cases.at_object(page, TOP, cases.TRIPLES),
                           cases.three_contents(page, TOP), cases.beside(page, TOP), cases.above(page, TOP),
                           cases.below(page, TOP))


def play(world, plays):
    """Everything is done in turns: what one device does for all cases, then what the next does."""
    for p in plays:
        os.mkdir(os.path.join(world.nodes[0].dir, p.top))
        for d, act in p.case.base.steps:
            p.run(d, act)
    world.join()
    world.part()
    clock = "ABA"
    splits = [(p, p.case.base) for p in plays if p.case.base.split]
    for k, device in enumerate(clock):
        world.turn(device)
        for p, base in splits:
            first = 0 if base.early == "A" else 1
            for n, (d, act) in enumerate(base.split):
                if d == device and first + n % 2 == k:
                    p.run(d, act)
    world.join()
    known = parted(world.trees[0].items())
    for p in plays:
        p.learn(dict(known[p.top]))
    world.part()
    clock = WRITERS * len(WRITERS)
    for p in plays:
        p.plan(p.case.order, clock)
    for k, device in enumerate(clock):
        world.turn(device)
        for p in plays:
            if p.turns.get(device) == k:
                for act in p.case.acts(device):
                    p.run(device, act)
    world.join()


def end_listed(node, play, told, over):
    """What is listed of one case is ended: copies by renaming them over their file, or removing."""
    for kind, path in sorted(told, key=lambda c: c[1], reverse=True):
        full = os.path.join(node.dir, play.top) + path
        first = full[:full.rfind(" (conflict ")] if " (conflict " in full else full
        if not os.path.lexists(full):
            continue  # ended with another of the same file
        if kind in ("content", "name", "copy"):
            if over and os.path.isfile(first):
                os.rename(full, first)
            else:
                os.unlink(full)
        elif kind == "kept: edited while deleted":
            os.link(full, full + ".also")
        else:
            os.rename(full, full + ".ended")


def settle(world, plays):
    """Each conflict is ended once, by one of the devices: then nobody lists any."""
    # One device after the other: a directory's rename pins what moves were skipped anywhere, so two
    # that end such conflicts at once make new ones of them.
    any_told = False
    for turn, node in enumerate(world.nodes[:2]):
        told = listed(node)
        any_told = any_told or bool(told)
        for k, p in enumerate(plays):
            if k % 2 == turn:
                end_listed(node, p, told.get(p.top, ()), k % 4 < 2)
        world.join()
    failed = 0 if any_told else 1
    for node in world.nodes:
        for top, left in listed(node).items():
            case = next(p.case for p in plays if p.top == top)
            print(f"FAIL: {case.title} on {node.name}: still listed: {left}")
            failed += 1
    return failed


def lineage(world):
    """Saved by rename on both sides, edited, saved again: only who had not seen the last one is beside it."""
    a, b = world.nodes[:2]
    name = "lineage.txt"
    pattern = re.compile(r"lineage \(conflict n0 \d{4}-\d\d-\d\d \d{6}\)\.txt")

    def shows(data, copy):
        world.join()
        for node in world.nodes:
            got = {p: content(node, p) for p in os.listdir(node.dir) if p.startswith("lineage")}
            copies = [p for p in got if pattern.fullmatch(p)]
            want = {name: data, **({copies[0]: copy} if copy and copies else {})}
            told = [p for those in listed(node).values() for _, p in those]
            if got != want or told != ["/" + p for p in copies]:
                raise AssertionError(f"{node.name}: {got} and listed {told}, should be {data} and {copy}")
        return copies[0] if copy else None

    write(os.path.join(a.dir, name), "0")
    shows("0", None)
    for k in range(3):
        world.part()
        safe_save(os.path.join(a.dir, name), f"a{k}")
        world.turn("B")
        safe_save(os.path.join(b.dir, name), f"b{k}")
        copy = shows(f"b{k}", f"a{k}")
        write(os.path.join(a.dir, name), f"edited {k}")
        shows(f"edited {k}", f"a{k}")
        safe_save(os.path.join(b.dir, name), f"saved {k}")
        shows(f"saved {k}", f"a{k}")
        os.unlink(os.path.join(b.dir, copy))
        shows(f"saved {k}", None)


def crash(world):
    """All daemons killed and started: the same trees, inode numbers and conflicts."""
    before = world.trees[0], [listed(n) for n in world.nodes]
    for node in world.nodes:
        node.kill()
    for node in world.nodes:
        node.start()
    world.join()
    if before == (world.trees[0], [listed(n) for n in world.nodes]):
        return 0
    print("FAIL: after a crash of all:", *itertools.islice(judge.differences(before[0], world.trees[0]), 10), sep="\n")
    return 1


def main(scratch):
    words = sys.argv[1:]
    begun = time.monotonic()
    world = World(scratch)
    plays = [Play(world, c, k) for k, c in enumerate(chosen()) if all(w in c.title for w in words)]
    failed = 0
    try:
        lineage(world)
        play(world, plays)
        for node, tree in zip(world.nodes, world.trees):
            conflicts, shown = listed(node), parted(tree.items())
            for p in plays:
                why = p.wrong(node, dict(shown[p.top]), conflicts.get(p.top, set()))
                if why:
                    failed += 1
                    print(f"FAIL: {p.case.title} on {node.name}\n    {why}")
        failed += crash(world) + settle(world, plays)
    except (AssertionError, OSError, RuntimeError):
        traceback.print_exc()
        failed += 1
        for node in world.nodes:
            with open(node.log, encoding="utf-8", errors="replace") as f:
                print(f"--- {node.name}\n" + "".join(f.readlines()[-20:]), flush=True)
    for node in world.nodes:
        with open(node.log, encoding="utf-8", errors="replace") as f:
            if any(w in f.read() for w in ("Assertion", "Sanitizer", "runtime error:")):
                print(f"FAIL: {node.name}'s daemon ended in disgrace")
                failed += 1
    print(f"{len(plays)} cases on {len(world.nodes)} devices, {failed} failed, {time.monotonic() - begun:.1f} s")
    return 1 if failed or not plays else 0


if __name__ == "__main__":
    if sandbox.INSIDE not in os.environ:
        why_not = sandbox.lacking(["ip", "nft", "nsenter", "unshare", "umount"])
        if not why_not and not os.access(fleet.PEERFS, os.X_OK):
            why_not = "no " + fleet.PEERFS
        if why_not:
            print("SKIP:", why_not)
            sys.exit(sandbox.SKIP)
    sandbox.enter(main, "peerfs-matrix.")
