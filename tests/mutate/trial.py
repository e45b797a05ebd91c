#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/mutate itself: it finds what it says it finds, and tells what a test catches from what none does."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLE = "tests/mutate/sample.c"
FOUND = """
drop if (1 && !strcmp(name, "a && b"))
negate if (!(b->count == 0 && !strcmp(name, "a && b")))
compare if (b->count != 0 && !strcmp(name, "a && b"))
logic if (b->count == 0 || !strcmp(name, "a && b"))
drop if (b->count == 0 && 1)
negate return !(b->taken > 2) ? limits[0] + 1 : 0;
compare return b->taken >= 2 ? limits[0] + 1 : 0;
bound return b->taken > 2 + 1 ? limits[0] + 1 : 0;
bound return b->taken > 2 ? limits[0] : 0;
negate for (int k = 0; !(k < n); k++)
compare for (int k = 0; k <= n; k++)
drop if (0 || (k && b->count < k))
negate if (!(k + b->taken >= TAKEN_MAX || (k && b->count < k)))
compare if (k + b->taken > TAKEN_MAX || (k && b->count < k))
bound if (k + b->taken >= TAKEN_MAX - 1 || (k && b->count < k))
logic if (k + b->taken >= TAKEN_MAX && (k && b->count < k))
drop if (k + b->taken >= TAKEN_MAX || 0)
drop if (k + b->taken >= TAKEN_MAX || (1 && b->count < k))
logic if (k + b->taken >= TAKEN_MAX || (k || b->count < k))
drop if (k + b->taken >= TAKEN_MAX || (k && 1))
compare if (k + b->taken >= TAKEN_MAX || (k && b->count <= k))
compare return n == 0;
store ;
negate int e = !(box_takes(b, n)) ? 0 : 1;
call ;
store ;
bound char *copy = malloc(strlen(name) );
call ;
bound memcpy(copy, name, strlen(name) );
""".strip()


def load(top):
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("mutate", os.path.join(top, "scripts/mutate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutate", loader))
    loader.exec_module(module)
    return module


def check(right, what):
    if not right:
        sys.exit("FAILED: " + what)


def finds(mutate, text):
    """Every change it speaks of, once each, and none of comments, strings, directives, error codes."""
    got = ["%s %s" % (m.kind, m.after_text) for m in mutate.mutants_of(SAMPLE, text)]
    for line in set(got) ^ set(FOUND.splitlines()):
        print("  differs:", line)
    check(got == FOUND.splitlines(), "the mutants of " + SAMPLE)
    for m in mutate.mutants_of(SAMPLE, text):
        check(m.apply(text).count("\n") == text.count("\n"), "lines keep their numbers: " + m.id)


def bench_of(mutate, text, work):
    """A bench of one object and one test."""
    b = mutate.Bench("tiny", work, 1, [], "")
    os.makedirs(b.dir)
    b.compiler, b.linker, b.libs = "cc -O1 -fPIC", "cc", ""
    check(b.compile(SAMPLE, text, b.dir) is not None, "the sample compiles")
    b.objects = [os.path.join(b.dir, "sample.o")]
    os.rename(os.path.join(b.dir, "mutant.o"), b.objects[0])
    b.link(b.dir, {})
    judge = os.path.join(b.dir, "judge")
    subprocess.run(["cc", "-o", judge, os.path.join(HERE, "judge.c"), os.path.join(b.dir, "libcore.so")], check=True)
    b.tests = [mutate.Test("judge", [judge])]
    b.measure()
    check(len(b.tests) == 1, "the test passes with nothing changed")
    return b


def judges(mutate, text, work):
    """A rule that the test states is caught when broken, one that it leaves out survives."""
    b = bench_of(mutate, text, work)

    def verdict(kind, after):
        m = next(m for m in mutate.mutants_of(SAMPLE, text) if (m.kind, m.after_text) == (kind, after))
        return b.judge(m, text, b.dir)[0]

    check(verdict("compare", "return n == 0;") == "caught", "a broken rule is caught")
    check(verdict("negate", "int e = !(box_takes(b, n)) ? 0 : 1;") == "caught", "so is one that a condition guards")
    check(
        verdict("compare", "if (k + b->taken > TAKEN_MAX || (k && b->count < k))") == "survived",
        "what no test looks at survives",
    )
    check(verdict("compare", "if (b->count != 0 && !strcmp(name, \"a && b\"))") == "survived", "so does what none calls")
    for before, after, want in (
        ("return n != 0;", "for (;;);", "caught"),  # a hang
        ("return n != 0;", "abort();", "caught"),
        ("return n != 0;", "return (n != 0);", "same"),
        ("return n != 0;", "return nothing;", "broken"),
    ):
        at = text.index(before)
        m = mutate.Mutant(SAMPLE, text, "test", (at, at + len(before)), after)
        check(b.judge(m, text, b.dir)[0] == want, "%s is %s" % (after, want))


def lists(mutate, text):
    """A listed mutant leaves the score, and is an error of the list once a test catches it."""
    one, two, three = mutate.mutants_of(SAMPLE, text)[:3]
    verdicts = {one: ("caught", "a test"), two: ("survived", ""), three: ("same", "")}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        plain = mutate.report(verdicts, {})
    check(plain == (50.0, 0), "a survivor counts, what is the same does not")
    check("survives: %s\n" % two.id in said.getvalue(), "a survivor is told")
    check("survives: %s\n" % one.id not in said.getvalue(), "what was caught is not")
    with contextlib.redirect_stdout(said):
        check(mutate.report(verdicts, {two.row(): "why"}) == (100.0, 0), "a listed one does not count")
        check(mutate.report(verdicts, {one.row(): "why"})[1] == 1, "the list was wrong")


def main():
    top = os.path.dirname(os.path.dirname(HERE))
    mutate = load(top)
    with open(os.path.join(top, SAMPLE)) as f:
        text = f.read()
    work = tempfile.mkdtemp(prefix="peerfs-mutate-trial.")
    try:
        finds(mutate, text)
        judges(mutate, text, work)
        lists(mutate, text)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
