# SPDX-License-Identifier: MIT
"""how fast a device takes over what others did: apply rates, a large rename, catching up

Runs the programs bench/apply and bench/catchup of BUILD in turn with bench/machine_calls, whose
lines say what this machine's cryptography and memory can do at the same time.  No mounts, no root.
"""

import pathlib
import subprocess
import sys

# name: (aim, whether more is better)
AIMS = {"apply-creates": (150000, True), "apply-moves": (50000, True),
        "rename-large-wire": (2048, False), "catch-up": (5, False)}
REFERENCES = ("ed25519-verify-128", "xchacha20poly1305-open-4K", "blake2b-256-4K", "memcpy-96K")


def arguments(parser):
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=200000)
    parser.add_argument("--moves", type=int, default=100000)
    parser.add_argument("--below", type=int, default=1000000)
    parser.add_argument("--changes", type=int, default=100000)


def run(program, *words):
    """The lines that it prints."""
    done = subprocess.run([str(program), *map(str, words)], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"{program.name} ended with {done.returncode}")
    return [line for line in done.stdout.splitlines() if line.strip()]


def tell(lines, only=None):
    """Print them on, or only some; name -> value."""
    found = {}
    for line in lines:
        name = line.split()[0]
        if only is None or name in only:
            print(line, flush=True)
            if not name.startswith("#"):
                found[name] = float(line.split()[1])
    return found


def judge(found):
    for name, (aim, more) in AIMS.items():
        ratio = found[name] / aim
        word = "reached" if (ratio >= 1) == more else "missed"
        print(f"# {name}: {ratio:.2f} of the aim {aim}: {word}")
    ratio = found["rename-large-median"] / found["rename-small-median"]
    print(f"# rename-large is {ratio:.2f} times rename-small, aim 2: "
          f"{'reached' if ratio <= 2 else 'missed'}")


def measure(options):
    bench = pathlib.Path(options.build) / "bench"
    where = ["--dir", options.dir] if options.dir else []
    for _ in range(options.rounds):
        tell(run(bench / "machine_calls"), REFERENCES)
        found = tell(run(bench / "apply", *where, "--files", options.files, "--moves",
                         options.moves, "--below", options.below))
        found.update(tell(run(bench / "catchup", *where, "--changes", options.changes)))
        judge(found)
    return 0
