# SPDX-License-Identifier: MIT
"""The workload: what programs do to a mount, and the ledger of what was acknowledged to them.

A process has one directory of the folder to itself on its own device: nobody else there touches
what is below it, while the processes of the same number on all other devices do, concurrently.  So
what a process read just before an act is what its act did away with, unless something of another
device arrived between the two; the ledger keeps the time of both.

A line of the ledger is one act:

	op, node, process, number   who did what
	t0, t1      when: from the look before it until its acknowledgement
	name, ino   the last name and the inode number of what it was done to
	named       (inode number, last name) of what it gave another name
	made        ids of the segments that it put there
	gone        ids of those it did away with: they had been seen
	exact       nothing else can have gone with them: done through a handle, which keeps its version
	sure        the calls that make the difference were acknowledged
	shown       afterwards this device's own mount showed what was made
	orphan      the file had no name any more: POSIX promises nothing
	left        names that the file has left, after one was removed
	before, after   (id, length) of a file's segments, for writes in place

The other kind of directory, "wild", is for all processes at once and is not in the ledger.
"""

import base64
import ctypes
import errno
import json
import mmap
import os
import random
import signal
import stat
import time
import zlib

from content import HEADER_MAX, ids_in, parse, whole

# Few names, so that devices meet; mostly small contents, which travel with the record and can be
# changed also by those who are cut off.
NAMES = [f"f{k}" for k in range(5)] + [f"report{k}.txt" for k in range(3)]
FOLDERS = [f"d{k}" for k in range(3)]
SIZES = (100, 300, 700, 1500, 5000, 20000, 70000, 200000, 3000000)
WEIGHTS = (10, 10, 8, 4, 3, 3, 2, 2, 1)
DEPTH = 3
ENTRIES_MAX = 12  # of one device's directory, over which more is removed than made
AT_FDCWD, EXCHANGE = -100, 2
LIBC = ctypes.CDLL(None, use_errno=True)

# What a file system may answer while its daemon dies, others rename, and networks are cut.
EXPECTED = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL,
            errno.ENOTCONN, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENODATA,
            errno.EXDEV, errno.EBUSY, errno.ELOOP, errno.ENODEV, errno.ESTALE, errno.EPERM}


class Torn(Exception):
    """A file that holds no whole segments at this moment: a write in place goes on elsewhere."""


def exchange(a, b):
    if LIBC.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), a)


def read_all(fd):
    parts, at = [], 0
    while True:
        part = os.pread(fd, 1 << 18, at)
        if not part:
            return b"".join(parts)
        parts.append(part)
        at += len(part)


def segments_of(fd):
    found, rest = parse(read_all(fd))
    if rest:
        raise Torn()
    return found


def seen(path):
    """Ids of what stands at a path: segments of a file, the target of a symbolic link."""
    if stat.S_ISLNK(os.lstat(path).st_mode):
        return [os.readlink(path)]
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return ids_in(read_all(fd))
    finally:
        os.close(fd)


class Worker:
    """One process of the workload on one device."""

    def __init__(self, node, process, seed, ledger, rate):
        self.node, self.process, self.rate = node.name, process, rate
        self.top = os.path.join(node.dir, f"g{process}")
        self.wild = os.path.join(node.dir, "wild")
        self.random = random.Random(f"{seed}/{node.name}/{process}")
        self.number = self.made = 0
        self.ledger = open(ledger, "w", encoding="utf-8")  # for as long as the process lives
        self.over = False
        self.held = None  # a handle that stays open over other acts
        self.acts = [
            (self.create, 14), (self.overwrite, 8), (self.overwrite_truncating, 2),
            (self.append, 8), (self.truncate, 3), (self.replace_middle, 4), (self.map, 3),
            (self.safe_save, 9), (self.move_file, 8), (self.move_over, 4), (self.exchange, 1),
            (self.remove, 6), (self.make_folder, 5), (self.remove_folder, 2), (self.remove_tree, 1),
            (self.move_folder, 4), (self.link, 3), (self.symlink, 3), (self.attributes, 6),
            (self.look, 8), (self.hold, 3), (self.write_held, 4), (self.be_wild, 8)]
        self.reading = [(self.look, 10), (self.look_everywhere, 1)]

    # ---- the loop ----

    def run(self, reader):
        """Acts until SIGTERM; a reader's device only looks."""
        signal.signal(signal.SIGTERM, self.end)
        acts, weights = zip(*(self.reading if reader else self.acts))
        while not self.over:
            act = self.random.choices(acts, weights)[0]
            self.number += 1
            entry = {"op": act.__name__, "node": self.node, "process": self.process,
                     "number": self.number, "t0": time.monotonic(), "sure": False}
            try:
                act(entry)
            except Torn:
                pass
            except OSError as e:
                entry["error"] = e.errno
                if e.errno not in EXPECTED:
                    entry["strange"] = str(e)
            entry["t1"] = time.monotonic()
            self.write(entry)
            time.sleep(self.random.expovariate(self.rate))  # the pace of a program
        self.drop_held()
        self.ledger.close()

    def end(self, *_):
        self.over = True

    def write(self, entry):
        self.ledger.write(json.dumps(entry) + "\n")
        self.ledger.flush()

    # ---- choosing ----

    def entries(self, folder):
        """Names of files and links, and of directories, in order."""
        with os.scandir(folder) as found:
            every = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in found)
        return [n for n, is_dir in every if not is_dir], [n for n, is_dir in every if is_dir]

    def folder(self, depth=DEPTH):
        """A directory of ours, some levels down."""
        path = self.top
        for _ in range(depth):
            below = self.entries(path)[1]
            if not below or self.random.random() < 0.5:
                break
            path = os.path.join(path, self.random.choice(below))
        return path

    def some(self, regular=True):
        """The path of a file of ours; one that is not a symbolic link, if regular."""
        for _ in range(4):
            folder = self.folder()
            names = self.entries(folder)[0]
            if names:
                path = os.path.join(folder, self.random.choice(names))
                if not regular or stat.S_ISREG(os.lstat(path).st_mode):
                    return path
        raise FileNotFoundError(errno.ENOENT, "nothing here")

    def place(self):
        return os.path.join(self.folder(), self.random.choice(NAMES))

    def fresh(self, length=None):
        """A segment that nobody has written before."""
        self.made += 1
        if length is None:
            length = self.random.choices(SIZES, WEIGHTS)[0] + self.random.randrange(50)
        return (f"{self.node}.p{self.process}.{self.made}", max(length, HEADER_MAX))

    def sync_perhaps(self, fd):
        if self.random.random() < 0.2:
            os.fsync(fd)

    # ---- writing ----

    def create(self, entry):
        path = self.place()
        if len(self.entries(os.path.dirname(path))[0]) > ENTRIES_MAX:
            entry["op"] = "remove"
            return self.remove(entry)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        return self.fill(entry, fd, path, [self.fresh()])

    def fill(self, entry, fd, path, segments):
        """The first content of a new file."""
        entry.update(name=os.path.basename(path), made=[n for n, _ in segments], exact=True,
                     before=[], after=segments)
        try:
            entry["ino"] = os.fstat(fd).st_ino
            self.put(fd, whole(segments), 0)
            entry["sure"] = True
            self.sync_perhaps(fd)
            entry["orphan"] = os.fstat(fd).st_nlink == 0
        finally:
            os.close(fd)
        self.check_shown(entry, path)

    @staticmethod
    def put(fd, data, at):
        while data:
            done = os.pwrite(fd, data, at)
            data, at = data[done:], at + done

    def check_shown(self, entry, path):
        """Whether our own mount shows it: as the file, or as a copy beside it."""
        entry["shown"] = False
        folder, name = os.path.split(path)
        stem = name.rsplit(".", 1)[0]
        try:
            for other in [name] + [n for n in os.listdir(folder) if n.startswith(stem + " (")]:
                entry["shown"] |= set(entry["made"]) <= set(seen(os.path.join(folder, other)))
        except OSError:
            pass

    def in_place(self, entry, path, change):
        """Open, look, and let change(handle, segments) write; it says what stands there then."""
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            self.through(entry, fd, path, change)
        finally:
            os.close(fd)
        self.check_shown(entry, path)

    def through(self, entry, fd, path, change):
        before = segments_of(fd)
        after, write = change(before)
        stay = {n for n, _ in after}
        old = {n for n, _ in before}
        entry.update(name=os.path.basename(path), ino=os.fstat(fd).st_ino, exact=True,
                     before=before, after=after, made=[n for n, _ in after if n not in old],
                     gone=[n for n, _ in before if n not in stay])
        write(fd)
        entry["sure"] = True
        self.sync_perhaps(fd)
        entry["orphan"] = os.fstat(fd).st_nlink == 0

    def overwrite(self, entry):
        self.in_place(entry, self.some(), self.anew)

    def anew(self, _):
        after = [self.fresh()]

        def write(fd):
            os.ftruncate(fd, 0)
            self.put(fd, whole(after), 0)

        return after, write

    def overwrite_truncating(self, entry):
        """As a shell's redirection: opened and emptied in one, whatever is there by then."""
        path = self.some()
        gone, after = seen(path), [self.fresh()]
        entry.update(gone=gone, made=[n for n, _ in after], name=os.path.basename(path),
                     ino=os.lstat(path).st_ino, exact=False, before=[], after=after)
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        try:
            self.put(fd, whole(after), 0)
            entry["sure"] = True
            entry["orphan"] = os.fstat(fd).st_nlink == 0
        finally:
            os.close(fd)
        self.check_shown(entry, path)

    def append(self, entry):
        def change(before):
            if len(before) > 6:
                return self.anew(before)
            added = self.fresh()
            size = sum(length for _, length in before)
            return before + [added], lambda fd: self.put(fd, whole([added]), size)

        self.in_place(entry, self.some(), change)

    def truncate(self, entry):
        def change(before):
            keep = before[:self.random.randrange(len(before) + 1)]
            size = sum(length for _, length in keep)
            return keep, lambda fd: os.ftruncate(fd, size)

        self.in_place(entry, self.some(), change)

    def replace_middle(self, entry):
        def change(before):
            if not before:
                return self.anew(before)
            at = self.random.randrange(len(before))
            new = self.fresh(before[at][1])
            offset = sum(length for _, length in before[:at])
            after = before[:at] + [new] + before[at + 1:]
            return after, lambda fd: self.put(fd, whole([new]), offset)

        self.in_place(entry, self.some(), change)

    def map(self, entry):
        """Stores into a shared mapping of a file, in a child: a page that cannot be had is fatal."""
        def change(before):
            size = sum(length for _, length in before)
            if size < HEADER_MAX:
                return self.anew(before)
            after = [self.fresh(size)]
            return after, lambda fd: self.store(fd, whole(after))

        self.in_place(entry, self.some(), change)

    @staticmethod
    def store(fd, data):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with mmap.mmap(fd, len(data)) as m:
                    m[:] = data
                    m.flush()  # msync: an error is raised
                code = 0
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1] != 0:
            raise OSError(errno.ENOTCONN, "no store into a mapping now")

    def hold(self, entry):
        """Open a file and keep it open: others go on, this handle keeps its version."""
        self.drop_held()
        path = self.some()
        self.held = (os.open(path, os.O_RDWR | os.O_NOFOLLOW), path)
        entry["name"] = os.path.basename(path)

    def write_held(self, entry):
        if not self.held:
            return self.hold(entry)
        (fd, path), self.held = self.held, None
        try:
            self.through(entry, fd, path, self.anew)
        finally:
            os.close(fd)
        return self.check_shown(entry, path)

    def drop_held(self):
        if self.held:
            try:
                os.close(self.held[0])
            except OSError:
                pass
            self.held = None

    def safe_save(self, entry):
        """A new file beside it, renamed over it; what an editor does."""
        path = self.some() if self.random.random() < 0.8 else self.place()
        fresh = self.fresh()
        beside = os.path.join(os.path.dirname(path), f".{fresh[0]}.new")
        first = dict(entry, op="save beside")
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            self.fill(first, fd, beside, [fresh])
        finally:
            self.write(dict(first, t1=time.monotonic()))
        self.over_it(entry, beside, path)

    def over_it(self, entry, source, path):
        """Rename over what stands at path, if anything does."""
        entry["t0"] = time.monotonic()
        entry.update(name=os.path.basename(path), exact=False, gone=[])
        fd = -1
        try:
            try:
                entry.update(gone=seen(path), ino=os.lstat(path).st_ino)
                fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
            except FileNotFoundError:
                pass
            entry["named"] = [(os.lstat(source).st_ino, os.path.basename(path))]
            os.rename(source, path)
            entry["sure"] = True
            if fd >= 0:
                entry["left"] = os.fstat(fd).st_nlink
        finally:
            if fd >= 0:
                os.close(fd)

    # ---- names ----

    def move_file(self, entry):
        source, path = self.some(regular=False), self.place()
        if os.path.lexists(path):
            path += f".{self.random.randrange(100)}"
        self.over_it(entry, source, path)

    def move_over(self, entry):
        source, path = self.some(regular=False), self.some(regular=False)
        if os.lstat(source).st_ino == os.lstat(path).st_ino:
            return  # one file: nothing happens
        self.over_it(entry, source, path)

    def exchange(self, entry):
        a, b = self.some(), self.some()
        entry["named"] = [(os.lstat(a).st_ino, os.path.basename(b)),
                          (os.lstat(b).st_ino, os.path.basename(a))]
        exchange(a, b)

    def remove(self, entry, path=None):
        path = path or self.some(regular=False)
        entry["t0"] = time.monotonic()
        entry.update(name=os.path.basename(path), gone=seen(path), ino=os.lstat(path).st_ino,
                     exact=False)
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            os.unlink(path)
            entry["sure"] = True
            entry["left"] = os.fstat(fd).st_nlink
        finally:
            os.close(fd)

    def make_folder(self, _):
        os.mkdir(os.path.join(self.folder(DEPTH - 1), self.random.choice(FOLDERS)))

    def below(self):
        """A directory of ours that is not the one we work in."""
        path = self.folder()
        if path == self.top:
            raise FileNotFoundError(errno.ENOENT, "nothing here")
        return path

    def remove_folder(self, _):
        os.rmdir(self.below())

    def remove_tree(self, entry):
        self.clear(self.below(), entry)

    def clear(self, path, entry):
        """As rm -r: each file is an act of its own in the ledger."""
        files, folders = self.entries(path)
        for name in folders:
            self.clear(os.path.join(path, name), entry)
        for name in files:
            one = dict(entry, op="remove below")
            try:
                self.remove(one, os.path.join(path, name))
            finally:
                self.write(dict(one, t1=time.monotonic()))
        os.rmdir(path)

    def move_folder(self, _):
        source = self.below()
        os.rename(source, os.path.join(self.folder(), self.random.choice(FOLDERS)))

    def link(self, entry):
        source, path = self.some(), self.place() + ".link"
        entry["named"] = [(os.lstat(source).st_ino, os.path.basename(path))]
        os.link(source, path)

    def symlink(self, entry):
        path = self.place() + ".sym"
        name = self.fresh()[0]
        entry.update(name=os.path.basename(path), made=[name], exact=True)
        os.symlink(name, path)
        entry["sure"] = True
        entry["ino"] = os.lstat(path).st_ino
        self.check_shown(entry, path)

    def attributes(self, _):
        path = self.some() if self.random.random() < 0.7 else self.below()
        what, key = self.random.randrange(5), f"user.{self.random.choice('abc')}"
        value = f"{self.node} {self.number}".encode()
        if what == 0:
            os.chmod(path, self.random.choice((0o600, 0o644, 0o664, 0o700, 0o755)))
        elif what == 1:
            os.utime(path, ns=(self.number, self.number))
        elif what == 2:
            os.removexattr(path, key)
        else:
            os.setxattr(path, key, value)

    # ---- reading ----

    def look(self, entry):
        path = self.some()
        entry["name"] = os.path.basename(path)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            data = read_all(fd)
            if parse(data)[1]:  # on its way, or wrong: the judge knows what may stand there
                entry["torn"] = base64.b64encode(zlib.compress(data)).decode()
        finally:
            os.close(fd)
        os.listxattr(path)

    def look_everywhere(self, _):
        for folder, _, names in os.walk(self.top):
            for name in names:
                os.lstat(os.path.join(folder, name))

    # ---- the directory of all ----

    def be_wild(self, _):
        """Anything, on names that everybody uses at once."""
        a, b = (os.path.join(self.wild, *self.random.choices(FOLDERS[:2], k=self.random.randrange(3)),
                             self.random.choice(NAMES[:4])) for _ in range(2))
        act = self.random.randrange(9)
        if act == 0:
            with open(a, "ab") as f:
                f.write(self.random.randbytes(self.random.choice((10, 3000, 40000))))
        elif act == 1:
            with open(a, "wb") as f:
                f.write(self.random.randbytes(self.random.choice((0, 900, 9000))))
        elif act == 2:
            os.rename(a, b)
        elif act == 3:
            os.unlink(a)
        elif act == 4 and os.path.dirname(a) != self.wild:  # where nothing is mounted, nothing is
            os.mkdir(os.path.dirname(a))
        elif act == 5:
            os.rename(os.path.dirname(a), os.path.dirname(b))
        elif act == 6:
            os.link(a, b)
        elif act == 7:
            os.mkdir(a)
        else:
            os.rmdir(b)
