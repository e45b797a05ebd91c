# SPDX-License-Identifier: MIT
"""What a killed daemon may leave behind in the kernel, and how an operator frees it.

A thread that was telling the kernel to forget a name waits for the directory's lock; a program that
holds it waits for the daemon's answer, which no longer comes.  While that thread waits the process
does not end, so the kernel does not end the connection either (pitfall: nothing but aborting it does).
"""

import os
import select
import subprocess
import tempfile


def connection(mounted):
    """The number of the FUSE connection of a mount, without touching it; None: nothing is mounted."""
    found = None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            fields = line.split()
            if fields[4] == mounted and fields[fields.index("-") + 1].startswith("fuse"):
                found = int(fields[2].split(":")[1])
    return found


def abort(number):
    with tempfile.TemporaryDirectory(prefix="peerfs-fusectl-") as control:
        if subprocess.call(["mount", "-t", "fusectl", "fusectl", control]) != 0:
            return
        try:
            with open(os.path.join(control, str(number), "abort"), "w", encoding="ascii") as f:
                f.write("1")
        except FileNotFoundError:
            pass  # it has ended meanwhile
        finally:
            subprocess.call(["umount", control])


def wait_dead(handle, mounted, seconds):
    """Wait until a killed daemon (a pidfd) has ended; if it cannot by itself, say so and help."""
    if select.select([handle], [], [], 3)[0]:
        return True
    number = connection(mounted)
    print(f"the killed daemon of {mounted} waits in the kernel: connection {number} is aborted", flush=True)
    if number is not None:
        abort(number)
    return bool(select.select([handle], [], [], seconds)[0])
