# SPDX-License-Identifier: MIT
"""Contents that tell where they come from: segments, each named by who wrote it, each checkable.

A segment's bytes follow from its id and length alone.  So whoever reads a file knows which writes
it shows, and whether each is there to its last byte.
"""

import random
import re
import zlib

HEADER = re.compile(rb"<chaos ([a-z0-9.]{1,40}) (\d{1,9})>\n")
HEADER_MAX = 64


def segment(name, length):
    """The segment of that id: its header, then bytes of some kind; length counts both."""
    head = b"<chaos %s %d>\n" % (name.encode(), length)
    if length < len(head):
        raise ValueError(f"{length} bytes are too few for a segment")
    kind = zlib.crc32(name.encode()) % 4
    rest = length - len(head)
    if kind == 0:
        body = (name.encode() + b" says so; ") * (rest // (len(name) + 10) + 1)
    elif kind == 1:
        body = bytes(rest)
    else:
        body = random.Random(name).randbytes(rest)
    return head + body[:rest]


def whole(segments):
    """The bytes of a list of (id, length)."""
    return b"".join(segment(name, length) for name, length in segments)


def parse(data):
    """The whole segments at the start of the data, as (id, length), and the bytes behind them."""
    found, at = [], 0
    while at < len(data):
        head = HEADER.match(data, at)
        if not head:
            break
        name, length = head.group(1).decode(), int(head.group(2))
        if length < head.end() - at or at + length > len(data):
            break
        if data[at:at + length] != segment(name, length):
            break
        found.append((name, length))
        at += length
    return found, data[at:]


def ids_in(data):
    """Ids of all whole segments in the data, also behind a broken one."""
    found = []
    for head in HEADER.finditer(data):
        name, length = head.group(1).decode(), int(head.group(2))
        at = head.start()
        if head.end() - at <= length <= len(data) - at and \
                data[at:at + length] == segment(name, length):
            found.append(name)
    return found


def between(data, before, after):
    """Whether the data is what a write in place may leave when it ends halfway.

    Every byte is the old or the new one, and the length is one that occurs on the way.
    """
    if len(data) not in (len(before), len(after)):
        return len(data) < max(len(before), len(after)) and data == after[:len(data)]
    if data in (before, after):
        return True
    step = 512
    for at in range(0, len(data), step):
        old, new, here = (x[at:at + step] for x in (before, after, data))
        if here not in (old, new) and not all(
                here[k] in old[k:k + 1] + new[k:k + 1] for k in range(len(here))):
            return False
    return True
