#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""crash - whatever write(2), rename(2) and the others acknowledged survives kill -9 of the daemon

A writer works in the mount and notes each acknowledged operation in a pipe; at a random moment the
daemon is killed; it starts again on the same store and everything noted must be there.  The one
operation that was under way may have happened or not.  Argument: number of kills.
"""

import errno
import os
import random
import select
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

FILES = 8


def writer(out, seed, start):
    """Operate for ever; a line to out before ("?") and after ("!") each operation."""
    rng = random.Random(seed)
    step = start
    while True:
        step += 1
        name, other = f"f{rng.randrange(FILES)}", f"f{rng.randrange(FILES)}"
        what = rng.choice(["append", "append", "append", "overwrite", "replace", "unlink",
                           "rename", "truncate"])
        size = rng.choice([1, 100, 5000, 200_000])
        line = f"{what} {name} {other} {step} {size}"
        os.write(out, f"? {line}\n".encode())
        try:
            done = perform(what, name, other, step, size)
        except FileNotFoundError:
            os.write(out, b"= \n")
            continue
        except OSError as e:
            if e.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.ESTALE, errno.EIO):
                os._exit(0)
            raise
        if done < size:  # the daemon died between two parts of it
            os.write(out, f"? {line} {done}\n".encode())
            os._exit(0)
        os.write(out, b"! \n")


def block(step, size):
    return (f"{step:08}" * (size // 8 + 1)).encode()[:size]


def perform(what, name, other, step, size):
    """Bytes written, or size where nothing is."""
    if what == "append":
        fd = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    elif what == "overwrite":
        fd = os.open(name, os.O_WRONLY)
    elif what == "replace":
        fd = os.open("temporary", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    else:
        if what == "unlink":
            os.unlink(name)
        elif what == "rename":
            os.rename(name, other)
        else:
            os.truncate(name, size)
        return size
    try:
        done = os.write(fd, block(step, size))
        if what == "replace" and done == size:
            os.rename("temporary", name)
    finally:
        # What a failing close says was said by write already.
        try:
            os.close(fd)
        except OSError:
            pass
    return done


def model(tree, line):
    """What an operation makes of the tree."""
    what, name, other, step, size = line.split()[:5]
    size = int(size)
    data = block(int(step), size)
    tree = dict(tree)
    if what == "append":
        tree[name] = tree.get(name, b"") + data
    elif what == "overwrite":
        tree[name] = data + tree[name][size:]
    elif what == "replace":
        tree[name] = data
    elif what == "unlink":
        del tree[name]
    elif what == "rename":
        if name != other:
            tree[other] = tree.pop(name)
    else:
        tree[name] = tree[name][:size] + bytes(max(0, size - len(tree[name])))
    return tree


def half_done(tree, line):
    """States an operation under way may leave: it is several calls, and the kernel cuts a write
    at page ends into several requests.  A sixth word: so many bytes were acknowledged."""
    what, name, _, step, size, *short = line.split()
    if name not in tree and what not in ("append", "replace"):
        return [tree]  # it was about to fail
    if what not in ("append", "overwrite"):
        return [tree, model(tree, line)]
    old, data = tree.get(name, b""), block(int(step), int(size))
    at = len(old) if what == "append" else 0
    cuts = list(range(4096 - at % 4096, len(data), 4096)) + [len(data)]
    states = [dict(tree, **{name: old[:at] + data[:c] + old[at + c:]}) for c in cuts
              if not short or c >= int(short[0])]
    return states if short else [tree, dict(tree, **{name: old})] + states


def observed(where):
    tree = {}
    for name in os.listdir(where):
        if name == "temporary":
            continue
        with open(os.path.join(where, name), "rb") as f:
            tree[name] = f.read()
    return tree


def differences(want, got):
    out = []
    for name in sorted(set(want) | set(got)):
        a, b = want.get(name), got.get(name)
        if a != b:
            out.append(f"{name}: {'absent' if a is None else len(a)} -> "
                       f"{'absent' if b is None else len(b)}")
    return out


def follow(tree, text):
    """Apply what was acknowledged; the tree, and the line that was under way."""
    pending = None
    for line in text.splitlines():
        if line.startswith("? "):
            pending = line[2:]
        elif line.startswith("!"):
            tree, pending = model(tree, pending), None
        elif line.startswith("="):
            pending = None
    return tree, pending


def one_kill(node, tree, seed, step):
    """Run the writer, kill the daemon; what was noted."""
    rng = random.Random(seed)
    back, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(back)
        status = 1
        try:
            os.chdir(node.dir)
            writer(out, seed, step)
        except BaseException as e:
            print("writer:", repr(e))
            sys.stdout.flush()
        os._exit(status)
    os.close(out)
    limit = rng.randrange(1, 400)
    text = b""
    while text.count(b"\n") < limit:
        more = os.read(back, 65536)
        if not more:
            raise AssertionError("the writer ended by itself")
        text += more
    if rng.random() < 0.3:  # let the quiet-time machinery run into it
        select.select([], [], [], rng.random() * 0.5)
    node.kill()
    while more := os.read(back, 65536):
        text += more
    os.close(back)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"the writer failed with {status}"
    return follow(tree, text.decode()) + (text.count(b"?"),)


def body(node, kills, seed):
    tree, step, done = {}, 0, 0
    for k in range(kills):
        node.start()
        tree, pending, count = one_kill(node, tree, seed + k, step)
        step += count
        done += count
        node.start()
        got = observed(node.dir)
        states = half_done(tree, pending) if pending else [tree]
        if got not in states:
            print(f"FAIL seed {seed + k}: under way: {pending}; "
                  f"{differences(states[-1], got)}")
            return 1
        tree = got
        if k % 3 == 0:
            assert node.stop() == 0
        else:
            node.kill()
    print(f"ok: {kills} kills, {done} operations, nothing lost")
    return 0


def main():
    harness.need()
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    node = harness.Node()
    # The whole runs in a child, as its starts and kills are its own; a hang ends with a kill of
    # its process group, daemon included.
    try:
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            status = 1
            try:
                status = body(node, kills, seed)
            except BaseException as e:
                print(f"FAIL seed {seed}:", repr(e))
            node.kill()
            sys.stdout.flush()
            os._exit(status)
        end = harness.time.monotonic() + 30 + 10 * kills
        while True:
            got, raw = os.waitpid(pid, os.WNOHANG)
            if got:
                status = os.waitstatus_to_exitcode(raw)
                break
            if harness.time.monotonic() > end:
                print("FAIL: hangs; seed", seed)
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                status = 1
                break
            harness.time.sleep(0.01)  # between two looks
    finally:
        subprocess.call(["umount", "-l", node.dir], stderr=subprocess.DEVNULL)
        node.clean()
    sys.exit(status)


if __name__ == "__main__":
    main()
