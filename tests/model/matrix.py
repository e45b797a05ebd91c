#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of peerfs-semantics(7), row by row, on the core in C.

    matrix.py [WORDS...]        only cases whose title has all the words; REPLAY=program

Each row is read from the page and played by replay: two devices, either as A and as B, either one later;
a third that does one of the two acts as well; at the object, above, below and beside it.  Every device,
and one that only receives, in each order of arrival, must show the tree and the conflicts that the page
says: the same names, ids and bytes.
"""
import itertools
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402
import directed  # noqa: E402
import rows  # noqa: E402

TOP = "/x"
MS = {"early": 1000, "late": 2000}
HISTORIES = 400  # a run of replay
RECEIVERS = "ZYXWVUTSRQPONMLKJIHG"


def clock(ms):
    return "%02d%02d%02d" % (ms // 3600000, ms // 60000 % 60, ms // 1000 % 60)


class History:
    """A case as a script for replay: what goes in, how what comes out is read."""

    def __init__(self, case, often, ways):
        self.case, self.often = case, often
        self.devices = sorted(set("AB") | {d for w in case.who for d in w})
        self.lines = ["-\thistory"]
        self.now = dict.fromkeys("ABC", 0)
        self.open, self.count = set(), dict.fromkeys("ABC", 0)
        self.arrived = []  # devices, one for each bundle, as they were cut
        self.oks = 0
        self.base()
        self.acts(ways)

    def send(self, *words):
        self.lines.append("\t".join(words))

    def at(self, device, ms):
        self.send(device, "tick", str(ms - self.now[device]))
        self.now[device] = ms

    def run(self, device, act):
        op, *args = rows.mapped(act, self.real)
        if op == "nothing":
            return
        if op in ("append", "truncate", "fallocate"):
            op, args[1] = "write", self.text(self.whole[act])
        self.send(device, op, *args)
        self.oks += op != "rmrf"
        self.open.add(device)
        if self.often:
            self.cut(device)

    def real(self, path):
        """The path with the copy's name as it is at its making."""
        base = self.case.base
        return path.replace("~" + base.early, " (conflict %s 1970-01-01 %s)" % (base.early, clock(MS["early"])))

    @staticmethod
    def text(data):
        return data.replace("\0", "0") if data else data

    def cut(self, device):
        self.send(device, "cut")
        if device in self.open:
            self.open.discard(device)
            self.arrived.append(device)

    def exchange(self):
        for d in self.devices:
            self.cut(d)
        for _ in range(2):
            for a, b in itertools.permutations(self.devices, 2):
                self.send(a, "pull", b)

    def base(self):
        base = self.case.base
        for d, act in base.steps:
            self.run(d, act)
        self.exchange()
        if base.split:
            self.at(base.early, MS["early"])
            self.at(base.late, MS["late"])
            for d, act in base.split:
                self.run(d, act)
            self.exchange()
        self.send(self.devices[0], "view")

    def acts(self, ways):
        case = self.case
        seen = len(self.arrived)
        self.acted = {d: 100000 + 10000 * k for k, d in enumerate(case.order)}
        for d in case.order:
            self.at(d, self.acted[d])
            plain = case.base.plain.clone()
            self.whole = {}
            for act in case.acts(d):
                plain.run([act], d)
                if act[0] in ("append", "truncate", "fallocate"):
                    self.whole[act] = plain.at[act[1]].data
                self.run(d, act)
            self.cut(d)
        tail = self.arrived[seen:]
        self.ways = sorted(set(itertools.permutations(tail)))
        orders = self.ways[ways:ways + len(RECEIVERS)]
        self.exchange()
        shows = list(self.devices)
        for z, way in zip(RECEIVERS, orders):
            for d in (*self.arrived[:seen], *way):
                self.send(z, "receive", d)
            shows.append(z)
        self.send("Z", "restart")
        self.shows = shows + ["Z"]
        for d in self.shows:
            self.send(d, "hash")
        self.send(self.devices[-1], "view")
        self.send(self.devices[-1], "stat")

    # -- what came of it --

    def name(self, path):
        """A path with f~A for the conflict copy that A wrote, if its time is that of what A did."""
        times = {d: {clock(ms)} for d, ms in self.acted.items()}
        for d, k in ((self.case.base.early, "early"), (self.case.base.late, "late")):
            times.setdefault(d, set()).add(clock(MS[k]))

        def short(m):
            return "~" + m[1] if m[2] in times.get(m[1], ()) else m[0]
        return re.sub(r" \(conflict (.) 1970-01-01 (\d{6})\)", short, path)

    def check(self, out):
        """What is wrong with what replay said; None if nothing."""
        if [x for x in out if x == "ok"] != ["ok"] * self.oks or "no" in out:
            return "not all was done: " + " ".join(x for x in out if x in ("ok", "no"))
        hashes = [x for x in out if re.fullmatch("[0-9a-f]{32}", x)]
        if len(hashes) != len(self.shows):
            return "ended early: " + " ".join(out[-3:])
        if len(set(hashes)) != 1:
            return "not the same on all: " + " ".join(map("=".join, zip(self.shows, hashes)))
        cut = out.index(hashes[0])
        ids = {self.name(x[0]): x[5] for x in (y.split("\t") for y in out[:cut]) if len(x) == 6}
        view = [x.split("\t") for x in out[cut:]]
        stats = {x[0]: x[1:] for x in view if len(x) == 4}
        got, listed = {}, set()
        for x in view:
            if len(x) == 6:
                links, owner, ms = stats[x[0]]
                xattrs = tuple(tuple(kv.split("=")) for kv in x[4].split(",") if kv)
                got[self.name(x[0])] = cases.Entry(x[1], x[2] or None, int(x[3], 8), xattrs,
                                                   int(owner.split(":")[0]), int(ms), int(links), x[5])
            elif x[0].startswith("! "):
                listed.add((x[0][2:], self.name(x[1])))
        return self.case.compare(got, listed, self.acted, self.text, ids)


def play(replay, histories):
    text = "".join("\n".join(h.lines) + "\n" for h in histories)
    p = subprocess.run([replay, *(["-c"] if os.environ.get("PEERFS_FULL") else [])], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       check=False)
    parts = []
    for line in p.stdout.decode(errors="replace").splitlines():
        if line == "history":
            parts.append([])
        elif parts:
            parts[-1].append(line)
    parts += [["replay ended with %d" % p.returncode]] * (len(histories) - len(parts))
    return parts


def histories_of(case):
    for often in (False, True) if any(len(p) > 1 for p in case.parts) else (False,):
        h = History(case, often, 0)
        yield h
        for k in range(len(RECEIVERS), len(h.ways), len(RECEIVERS)):
            yield History(case, often, k)


def all_cases():
    page = rows.page_rows(os.environ.get("PAGE", rows.PAGE))
    yield from cases.at_object(page, TOP)
    yield from cases.at_object(page, TOP, cases.TRIPLES)
    yield from cases.three_contents(page, TOP)
    yield from cases.beside(page, TOP)
    yield from cases.above(page, TOP)
    yield from cases.below(page, TOP)


def one_record(replay):
    """A directory of any size is moved by one record, and the move takes nothing else."""
    files = ["A\tcreate\t/d/%d\tx" % k for k in range(3000)]
    moves = [["A\trename\t/d\t/e/d"], ["A\trename\t/e/d\t/n"], ["A\trmdir\t/e"]]
    lines = ["-\thistory", "A\tmkdir\t/d", "A\tmkdir\t/e", *files, "A\tops"]
    for move in moves:
        lines += move + ["A\tops"]
    p = subprocess.run([replay], input="\n".join(lines).encode() + b"\n", stdout=subprocess.PIPE, check=False)
    counts = [int(x) for x in p.stdout.decode().split() if x.isdigit()]
    if len(counts) == 4 and [b - a for a, b in zip(counts, counts[1:])] == [1, 1, 1]:
        return 0
    print("FAILED:", one_record.__doc__, counts)
    return 1


def bound(page):
    """A row too many or too few, or an outcome that is not what comes of it, fails."""
    def refused(rows_):
        try:
            for _ in cases.at_object(rows_, TOP, cases.PAIRS[:1]):
                pass
        except rows.Unclear:
            return True
        return False
    wrong = [page[1:], page + [rows.Row("edit f", "sing", "both")], page + page[:1]]
    for k, r in enumerate(page):
        parts = r.outcome.split("; ")
        other = parts[:-1] if parts[-1] == "listed" else parts + ["listed"]
        for outcome in ("; ".join(other), r.outcome + ", mostly", "the " + r.outcome):
            wrong.append(page[:k] + [r._replace(outcome=outcome)] + page[k + 1:])
    if refused(page) or not all(refused(w) for w in wrong):
        print("FAILED:", bound.__doc__)
        return 1
    return 0


def main():
    replay, words = os.environ.get("REPLAY", "tests/model/replay"), sys.argv[1:]
    failed = {}
    count = 0
    todo = []

    def flush():
        for h, out in zip(todo, play(replay, todo)):
            why = h.check(out)
            if why:
                failed.setdefault(h.case.title.partition(";")[0], []).append((h, why, out))
        todo.clear()

    for case in all_cases():
        if not all(w in case.title for w in words):
            continue
        for h in histories_of(case):
            todo.append(h)
            count += 1
        if len(todo) >= HISTORIES:
            flush()
    flush()
    for title, those in failed.items():
        h, why, out = those[0]
        print("FAILED %d times: %s\n    %s\n    %s" % (len(those), title, h.case.title, why))
        if words:
            print("\n".join(h.lines), "\n".join(out), sep="\n")
    print("%d histories, %d failed" % (count, sum(map(len, failed.values()))))
    others = 0 if words else bound(rows.page_rows()) + one_record(replay) + directed.run(replay)
    return 1 if failed or others or not count else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except rows.Unclear as e:
        print("UNCLEAR", e)
        sys.exit(1)
