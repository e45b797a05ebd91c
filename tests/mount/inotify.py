# SPDX-License-Identifier: MIT
"""Real inotify for tests: what the kernel tells a program that watches."""

import ctypes
import os
import select
import struct
import time

LIBC = ctypes.CDLL(None, use_errno=True)
BITS = {0x1: "ACCESS", 0x2: "MODIFY", 0x4: "ATTRIB", 0x8: "CLOSE_WRITE", 0x10: "CLOSE_NOWRITE",
        0x20: "OPEN", 0x40: "MOVED_FROM", 0x80: "MOVED_TO", 0x100: "CREATE", 0x200: "DELETE",
        0x400: "DELETE_SELF", 0x800: "MOVE_SELF", 0x2000: "UNMOUNT", 0x4000: "Q_OVERFLOW",
        0x8000: "IGNORED"}
IS_DIR = 0x40000000
# What a change makes; opening and reading are left out.
CHANGES = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800


class Watch:
    """Some paths watched; events as (kind, path given, name), directories with "/" behind."""

    def __init__(self, *paths, mask=CHANGES):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0
        self.paths = {}
        self.cookies = {}
        for path in paths:
            self.add(path, mask)

    def add(self, path, mask=CHANGES):
        wd = LIBC.inotify_add_watch(self.fd, os.fsencode(path), mask)
        assert wd >= 0, (path, os.strerror(ctypes.get_errno()))
        self.paths[wd] = path

    def take(self):
        """The events that are there."""
        seen = []
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return seen
            at = 0
            while at < len(data):
                wd, mask, cookie, length = struct.unpack_from("iIII", data, at)
                name = os.fsdecode(data[at + 16:at + 16 + length].rstrip(b"\0"))
                at += 16 + length
                if mask & IS_DIR and name:
                    name += "/"
                for bit, kind in BITS.items():
                    if mask & bit:
                        seen.append((kind, self.paths.get(wd, ""), name))
                        if cookie:
                            self.cookies.setdefault(cookie, []).append((kind, name))

    def until(self, wanted, seconds=20):
        """Events until all that are wanted have come, as a list in the order in which they did."""
        left, seen = list(wanted), []
        end = time.monotonic() + seconds
        while left:
            for event in self.take():
                seen.append(event)
                if event in left:
                    left.remove(event)
            rest = end - time.monotonic()
            if left and (rest < 0 or not select.select([self.fd], [], [], rest)[0]):
                raise AssertionError(f"in vain for {left}, came: {seen}")
        return seen

    def close(self):
        os.close(self.fd)
