#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_judge - the judge of chaos runs finds what is lost, torn or different, and nothing else"""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from content import between, ids_in, parse, segment, whole  # noqa: E402
from judge import Judge, contents, differences, digests, metadata, reachable  # noqa: E402

ALL = frozenset((a, b) for a in range(3) for b in range(3) if a != b)
OPEN = [(0.0, ALL)]


def wrote(made, node, at, **more):
    return dict({"op": "create", "node": node, "t0": at, "t1": at + 0.1, "name": "f", "ino": 7,
                 "made": [made], "exact": True, "sure": True, "shown": True}, **more)


def removed(node, at, gone, **more):
    return dict({"op": "remove", "node": node, "t0": at, "t1": at + 0.1, "name": "f", "ino": 7,
                 "gone": gone, "exact": False, "sure": True, "left": 0}, **more)


def verdict(*entries, found=(), history=OPEN):
    return [v for v, _, _ in Judge(list(entries), history).verdicts(set(found))]


class Contents(unittest.TestCase):
    """What stands in a file is told to the byte."""

    def test_segments_are_read_back(self):
        parts = [("n0.p0.1", 100), ("n1.p0.2", 5000), ("n1.p0.3", 64)]
        self.assertEqual(parse(whole(parts)), (parts, b""))

    def test_one_wrong_byte_is_seen(self):
        for at in (0, 30, 99, 4000):
            data = bytearray(whole([("n0.p0.1", 100), ("n1.p0.2", 5000)]))
            data[at] ^= 1
            self.assertTrue(parse(bytes(data))[1])
            self.assertEqual(len(ids_in(bytes(data))), 1)

    def test_every_prefix_is_a_write_halfway(self):
        before, after = segment("n0.p0.1", 700), segment("n0.p0.2", 700)
        for size in range(700):
            self.assertTrue(between(after[:size], before, after))
            self.assertTrue(between(after[:size] + before[size:], before, after))
            if size:
                self.assertFalse(between(bytes(size), before, after))

    def test_what_nobody_wrote_is_not_explained(self):
        name = ("n0.p0.1", 700)
        court = Judge([wrote(name[0], "n0", 1, before=[], after=[name])], OPEN)
        self.assertTrue(court.explained(segment(*name)[:300]))
        self.assertFalse(court.explained(segment(*name)[:300] + b"x"))
        self.assertFalse(court.explained(segment("n0.p0.9", 700)[:300]))
        self.assertFalse(court.explained(bytes(700)))


class Verdicts(unittest.TestCase):
    """Lost is what was acknowledged, is not there, and was done away with by nobody who saw it."""

    def test_found(self):
        self.assertEqual(verdict(wrote("a", "n0", 1), found=["a"]), ["found"])

    def test_lost(self):
        self.assertEqual(verdict(wrote("a", "n0", 1)), ["lost"])

    def test_not_acknowledged(self):
        self.assertEqual(verdict(wrote("a", "n0", 1, sure=False)), [])
        self.assertEqual(verdict(wrote("a", "n0", 1, orphan=True)), [])

    def test_superseded_by_who_saw_it(self):
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n1", 2, ["a"])), ["superseded"])
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n1", 2, ["b"], ino=8, name="g")),
                         ["lost"])

    def test_an_orphan_removes_nothing(self):
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n1", 2, ["a"], orphan=True, ino=8,
                                                              name="g")), ["lost"])

    def test_one_name_of_two(self):
        one, two = removed("n1", 2, ["a"], left=1), removed("n2", 2, ["a"], left=1)
        self.assertEqual(verdict(wrote("a", "n0", 1), dict(one, name="g", ino=8)), ["lost"])
        self.assertEqual(verdict(wrote("a", "n0", 1), one, two), ["superseded"])

    def test_what_may_have_met_is_open(self):
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n1", 2, [])), ["open"])
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n1", 2, [], name="g")), ["open"])

    def test_a_file_may_be_met_under_a_later_name(self):
        moved = {"op": "move_file", "node": "n0", "t0": 1.2, "t1": 1.3, "sure": True,
                 "named": [(7, "h")]}
        met = removed("n1", 2, [], name="h", ino=8)
        self.assertEqual(verdict(wrote("a", "n0", 1), met), ["lost"])
        self.assertEqual(verdict(wrote("a", "n0", 1), moved, met), ["open"])

    def test_what_cannot_have_met_is_lost(self):
        later = removed("n1", 0.5, [])
        self.assertEqual(verdict(wrote("a", "n0", 1), later), ["lost"])
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n1", 2, [], name="g", ino=8)),
                         ["lost"])
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n0", 2, [])), ["lost"])
        apart = [(0.0, frozenset(p for p in ALL if 1 not in p))]
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n1", 2, []), history=apart),
                         ["lost"])
        late = apart + [(50.0, ALL)]
        self.assertEqual(verdict(wrote("a", "n0", 1), removed("n1", 2, []), history=late),
                         ["lost"])

    def test_what_survived_is_counted(self):
        later = removed("n1", 0.5, [])
        court = Judge([later], OPEN)
        self.assertTrue(court.survived("a", wrote("a", "n0", 1)))
        self.assertFalse(court.survived("a", wrote("a", "n1", 1)))
        self.assertFalse(court.survived("a", wrote("a", "n0", 0.4)))  # it may have been seen
        self.assertFalse(Judge([removed("n1", 0.5, ["a"])], OPEN).survived("a", wrote("a", "n0", 1)))

    def test_a_removal_that_came_before_the_cut(self):
        unshown = wrote("a", "n0", 3, shown=False)
        self.assertEqual(verdict(unshown, removed("n1", 2, [])), ["open"])
        self.assertEqual(verdict(wrote("a", "n0", 3), removed("n1", 2, [])), ["lost"])

    def test_a_copy_that_ended_under_the_writer(self):
        copy = wrote("a", "n0", 3, name="f (conflict n0 2026).txt", ino=9, shown=False,
                     before=[("v", 100)])
        other = wrote("b", "n1", 2, before=[("v", 100)], after=[("v", 100), ("b", 100)])
        self.assertEqual(verdict(copy, other, found=["b"]), ["open", "found"])
        self.assertEqual(verdict(dict(copy, shown=True), other, found=["b"]), ["lost", "found"])
        self.assertEqual(verdict(dict(copy, name="f"), other, found=["b"]), ["lost", "found"])

    def test_reachable_over_others(self):
        chain = [(0.0, frozenset({(0, 1)})), (2.0, frozenset({(1, 2)}))]
        self.assertTrue(reachable(chain, 0, 2, 1.0, 3.0))
        self.assertFalse(reachable(chain, 0, 2, 0.0, 1.0))
        self.assertFalse(reachable(chain, 2, 0, 0.0, 9.0))

    def test_strange_errors_and_reads_are_told(self):
        entries = [dict(wrote("a", "n0", 1), strange="Input/output error", error=5),
                   dict(op="look", node="n1", sure=False, torn="eJwDAAAAAAE=")]
        self.assertEqual(len(list(Judge(entries, OPEN).looks())), 1)  # no bytes are no wonder

    def test_an_error_of_a_killed_daemon_is_none(self):
        entries = [dict(wrote("a", "n0", 1), strange="Input/output error", error=5)]
        for deaths, told in (([], 1), ([(1.05, 0)], 0), ([(1.05, 1)], 1), ([(3.0, 0)], 1)):
            self.assertEqual(len(list(Judge(entries, OPEN, deaths).looks())), told)


class Trees(unittest.TestCase):
    """Trees that differ in anything differ."""

    def setUp(self):
        self.top = tempfile.TemporaryDirectory()
        self.addCleanup(self.top.cleanup)
        self.path = os.path.join(self.top.name, "f")
        with open(self.path, "wb") as f:
            f.write(segment("n0.p0.1", 100))
        os.symlink("n0.p0.2", os.path.join(self.top.name, "s"))

    def test_each_change_is_seen(self):
        changes = [lambda: os.chmod(self.path, 0o600), lambda: os.utime(self.path, ns=(1, 1)),
                   lambda: os.link(self.path, self.path + "2"),
                   lambda: os.setxattr(self.path, "user.k", b"v"),
                   lambda: os.truncate(self.path, 50), lambda: os.unlink(self.path)]
        for change in changes:
            before = metadata(self.top.name)
            self.assertEqual(list(differences(before, metadata(self.top.name))), [])
            change()
            self.assertTrue(list(differences(before, metadata(self.top.name))))

    def test_contents(self):
        tree = metadata(self.top.name)
        self.assertEqual(contents(self.top.name, tree), ({"n0.p0.1", "n0.p0.2"}, {}))
        was = digests(self.top.name, tree)
        with open(self.path, "r+b") as f:
            f.write(b"x")
        self.assertNotEqual(was, digests(self.top.name, tree))
        self.assertEqual(list(contents(self.top.name, tree)[1]), ["f"])
        os.truncate(self.path, 50)
        with self.assertRaises(AssertionError):
            digests(self.top.name, tree)


if __name__ == "__main__":
    unittest.main()
