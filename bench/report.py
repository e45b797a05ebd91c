#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""report - bring together the lines that benchmarks print, "name value unit"

	report.py [FILE...]                          median, p99 and count of each name, as such lines
	report.py --ratio NAME/REFERENCE [FILE...]   how many times the one median is the other
	report.py --row FIGURE AIM NAME/REFERENCE [FILE...]
	                                             a row for the table in RESULTS.md

A name may come many times, from several runs: interleave the candidates, and compare within one
run of everything, since only that is fair on a machine with neighbours.  Lines of another form
are an error, lines that begin with # are not read.  Reads standard input without a FILE.
"""

import argparse
import datetime
import math
import os
import platform
import subprocess
import sys


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def gather(lines):
    """name -> (unit, values), in the order of their first lines."""
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        try:
            name, value, unit = words[0], float(words[1]), words[2]
        except (IndexError, ValueError):
            sys.exit(f"report: line {number} is not \"name value unit\": {line.rstrip()}")
        if len(words) != 3 or not math.isfinite(value):
            sys.exit(f"report: line {number} is not \"name value unit\": {line.rstrip()}")
        known, values = found.setdefault(name, (unit, []))
        if known != unit:
            sys.exit(f"report: line {number}: {name} is told in {unit} and in {known}")
        values.append(value)
    return found


def pair(text, found):
    """The medians of NAME and REFERENCE, and their unit."""
    names = text.split("/")
    if len(names) != 2:
        sys.exit(f"report: {text} is not NAME/REFERENCE")
    for name in names:
        if name not in found:
            sys.exit(f"report: no line tells {name}")
    (unit, ours), (unit_too, theirs) = found[names[0]], found[names[1]]
    if unit != unit_too:
        sys.exit(f"report: {names[0]} is told in {unit}, {names[1]} in {unit_too}")
    if median(theirs) == 0:
        sys.exit(f"report: {names[1]} is 0")
    return median(ours), median(theirs), unit


def commit():
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        return subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine():
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}"


def main():
    parser = argparse.ArgumentParser(description="medians, percentiles and ratios of benchmark lines")
    parser.add_argument("--ratio", action="append", default=[], metavar="NAME/REFERENCE")
    parser.add_argument("--row", nargs=3, action="append", default=[],
                        metavar=("FIGURE", "AIM", "NAME/REFERENCE"))
    parser.add_argument("files", nargs="*", metavar="FILE")
    options = parser.parse_args()

    lines = []
    for path in options.files:
        with open(path, encoding="utf-8") as file:
            lines += file.readlines()
    if not options.files:
        lines = sys.stdin.readlines()
    found = gather(lines)

    for text in options.ratio:
        ours, theirs, _ = pair(text, found)
        print(f"{text} {ours / theirs:.3f} times")
    for figure, aim, text in options.row:
        ours, theirs, unit = pair(text, found)
        print(f"| {datetime.date.today()} | {machine()} | {commit()} | {figure} | {aim} "
              f"| {ours:.4g} {unit} | {theirs:.4g} {unit} | {ours / theirs:.2f} |")
    if not options.ratio and not options.row:
        for name, (unit, values) in found.items():
            print(f"{name}-median {median(values):.6g} {unit}")
            print(f"{name}-p99 {quantile(values, 0.99):.6g} {unit}")
            print(f"{name}-count {len(values)} lines")


if __name__ == "__main__":
    main()
