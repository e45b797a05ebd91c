# SPDX-License-Identifier: MIT
"""Histories of several rounds that end in something a user was promised; on the model and on the core in C.

Each is a sentence, what devices do (steps of check.py; "sync" exchanges everything), and what all must
show then: contents by path, with f~A for the conflict copy that A wrote, and the list of conflicts.
"""
import re

import check
import compare

# "?": the path of the one conflict copy there is.
TRIALS = (
    ("lineage passes through safe-saves: who saw the last one replaces it, who did not is beside it",
     [("A", "create", "/f", "0"), "sync", ("A", "safe_save", "/f", "a1"), ("B", "tick", 5000), ("B", "safe_save", "/f", "b1"),
      "sync", ("A", "tick", 9000), ("A", "write", "/f", "a2"), "sync", ("C", "safe_save", "/f", "c3"), "sync",
      ("B", "write", "/f", "b4"), "sync"],
     {"/f": "b4", "/f~A": "a1"}, [("a copy", "/f~A")]),
    ("a safe-save of a safe-save does not contend with the first",
     [("A", "create", "/f", "0"), "sync", ("A", "safe_save", "/f", "a1"), ("A", "cut",), ("A", "safe_save", "/f", "a2"),
      ("A", "safe_save", "/f", "a3"), ("B", "pull", "A", 1), "sync"],
     {"/f": "a3"}, []),
    ("both save over the same old version, again and again, and each time one copy comes of it",
     [("A", "create", "/f", "0"), "sync", ("A", "safe_save", "/f", "a1"), ("B", "tick", 5000), ("B", "safe_save", "/f", "b1"),
      "sync", ("A", "unlink", "?"), "sync", ("A", "tick", 60000), ("A", "safe_save", "/f", "a2"), ("B", "safe_save", "/f", "b2"),
      "sync", ("B", "unlink", "?"), "sync", ("C", "tick", 90000), ("C", "write", "/f", "c3"), "sync"],
     {"/f": "c3"}, []),
    ("an edit follows the file through renames of it and of the directories above",
     [("A", "mkdir", "/d"), ("A", "mkdir", "/e"), ("A", "create", "/f", "0"), "sync", ("A", "rename", "/f", "/d/n"),
      ("B", "write", "/f", "b"), ("C", "rename", "/d", "/e/d"), "sync"],
     {"/e": "dir", "/e/d": "dir", "/e/d/n": "b"}, []),
    ("of three moves in a circle the latest is skipped, and listed until somebody moves it",
     [("A", "mkdir", "/x"), ("A", "mkdir", "/y"), ("A", "mkdir", "/z"), "sync", ("A", "rename", "/x", "/y/x"), ("B", "tick", 5000),
      ("B", "rename", "/y", "/z/y"), ("C", "tick", 9000), ("C", "rename", "/z", "/x/z"), "sync"],
     {"/z": "dir", "/z/y": "dir", "/z/y/x": "dir"}, [("move skipped", "/z")]),
    ("a skipped move is over when somebody moves the directory",
     [("A", "mkdir", "/x"), ("A", "mkdir", "/y"), "sync", ("A", "rename", "/x", "/y/x"), ("B", "tick", 5000),
      ("B", "rename", "/y", "/x/y"), "sync", ("A", "rename", "/y", "/w"), "sync"],
     {"/w": "dir", "/w/x": "dir"}, []),
    ("a directory moved to two places is listed until somebody moves it again",
     [("A", "mkdir", "/x"), "sync", ("A", "rename", "/x", "/y"), ("B", "tick", 5000), ("B", "rename", "/x", "/z"), "sync",
      ("C", "rename", "/z", "/y"), "sync"],
     {"/y": "dir"}, []),
    ("rm -r keeps what it had not seen, as deep as it is, and only that",
     [("A", "mkdir", "/d"), ("A", "create", "/d/g", "0"), ("A", "create", "/d/k", "0"), "sync", ("A", "rmrf", "/d"),
      ("B", "mkdir", "/d/a"), ("B", "mkdir", "/d/a/b"), ("B", "create", "/d/a/b/x", "b"), ("C", "write", "/d/g", "c"), "sync"],
     {"/d": "dir", "/d/a": "dir", "/d/a/b": "dir", "/d/a/b/x": "b", "/d/g": "c"},
     [("kept: edited while deleted", "/d/g"), ("kept: has survivors", "/d")]),
    ("rm -r by somebody who has seen all of it is the end",
     [("A", "mkdir", "/d"), ("A", "create", "/d/g", "0"), "sync", ("A", "rmrf", "/d"), ("B", "create", "/d/x", "b"),
      ("C", "write", "/d/g", "c"), "sync", ("B", "rmrf", "/d"), "sync"],
     {}, []),
    ("hard links made and removed by different members are one file",
     [("A", "create", "/f", "0"), "sync", ("B", "link", "/f", "/h"), ("C", "link", "/f", "/k"), "sync", ("A", "write", "/h", "a"),
      ("B", "unlink", "/f"), ("C", "unlink", "/k"), "sync"],
     {"/h": "a"}, []),
    ("a conflict is over for all when its copy is deleted",
     [("A", "create", "/f", "0"), "sync", ("A", "write", "/f", "a"), ("B", "tick", 5000), ("B", "write", "/f", "b"), "sync",
      ("C", "unlink", "?"), "sync"],
     {"/f": "b"}, []),
    ("a conflict is over for all when two delete its copy",
     [("A", "create", "/f", "0"), "sync", ("A", "write", "/f", "a"), ("B", "tick", 5000), ("B", "write", "/f", "b"), "sync",
      ("C", "unlink", "?"), ("A", "unlink", "?"), "sync"],
     {"/f": "b"}, []),
    ("a conflict is over for all when its copy is renamed over the file",
     [("A", "create", "/f", "0"), "sync", ("A", "write", "/f", "a"), ("B", "tick", 5000), ("B", "write", "/f", "b"), "sync",
      ("C", "rename", "?", "/f"), "sync"],
     {"/f": "a"}, []),
    ("a conflict is over for all when the file is renamed over its copy, and back",
     [("A", "create", "/f", "0"), "sync", ("A", "write", "/f", "a"), ("B", "tick", 5000), ("B", "write", "/f", "b"), "sync",
      ("C", "rename", "/f", "?"), "sync", ("A", "rename", "?", "/f"), "sync"],
     {"/f": "b"}, []),
    ("a conflict is over for all when the copy is renamed",
     [("A", "create", "/f", "0"), "sync", ("A", "write", "/f", "a"), ("B", "tick", 5000), ("B", "write", "/f", "b"), "sync",
      ("C", "rename", "?", "/mine"), "sync"],
     {"/f": "b", "/mine": "a"}, []),
    ("a conflict of names is over for all when the copy is deleted",
     [("A", "create", "/f", "a"), ("B", "tick", 5000), ("B", "create", "/f", "b"), "sync", ("C", "unlink", "?"), "sync"],
     {"/f": "a"}, []),
    ("a kept file is over for all when somebody writes it or removes it",
     [("A", "create", "/f", "0"), ("A", "create", "/g", "0"), "sync", ("A", "write", "/f", "a"), ("A", "write", "/g", "a"),
      ("B", "unlink", "/f"), ("B", "unlink", "/g"), "sync", ("C", "write", "/f", "c"), ("C", "unlink", "/g"), "sync"],
     {"/f": "c"}, []),
    ("an edit and a removal with the same bytes put back are no conflict",
     [("A", "create", "/f", "0"), "sync", ("A", "write", "/f", "same"), ("B", "tick", 5000), ("B", "safe_save", "/f", "same"),
      ("C", "unlink", "/f"), ("C", "create", "/f", "same"), "sync"],
     {"/f": "same"}, []),
)


def short(path):
    return re.sub(r" \(conflict (.) [0-9-]* \d{6}\)", r"~\1", path)


def spelled(steps):
    out = []
    for s in steps:
        out += check.SYNC if s == "sync" else [s]
    return out


def run(replay):
    """How many failed; each is told."""
    trial = compare.Trial(replay, True)
    failed = 0
    for what, steps, want, listed in TRIALS:
        script = compare.Script("ABC", "history " + what)
        for s in spelled(steps):
            script.step(s)
        script.converge()
        shown = script.w.r["C"]
        got = {short(p): e[1] or e[0] for p, e in shown.view().items()}
        told = [("a copy" if k in ("content", "name", "copy") else k, short(p)) for k, p in shown.conflicts()]
        for d in "ABC":
            script.show(d)
        if got != want or told != listed:
            failed += 1
            print("FAILED: %s\n    %s %s" % (what, got, told))
        elif not compare.same(trial.run([script])[0], script.want):
            failed += 1
            print("FAILED: the core in C shows another tree:", what)
    return failed
