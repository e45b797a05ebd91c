#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""conform - each operation of a mount does what POSIX says, errors included

With the name of cases as arguments only those are run.
"""

import ctypes
import ctypes.util
import errno
import mmap
import multiprocessing
import os
import shutil
import signal
import socket
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
CASES = []


def case(function):
    CASES.append(function)
    return function


def fails(number, function, *args, **kwargs):
    """The call fails with exactly that errno."""
    try:
        got = function(*args, **kwargs)
    except OSError as e:
        assert e.errno == number, \
            f"{errno.errorcode.get(e.errno)} instead of {errno.errorcode[number]}"
        return
    raise AssertionError(f"{errno.errorcode[number]} was expected, got {got!r}")


def write(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    fd = os.open(path, flags, 0o644)
    try:
        assert os.write(fd, data) == len(data)
    finally:
        os.close(fd)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def rename2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fork_all(count, body):
    """body(k) in count processes at once; all must end with status 0."""
    children = []
    for k in range(count):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                body(k)
                status = 0
            except BaseException as e:
                print("child", k, repr(e))
            sys.stdout.flush()
            os._exit(status)
        children.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


@case
def create_read_write(_):
    fails(errno.ENOENT, os.open, "f", os.O_RDONLY)
    write("f", b"hello")
    assert read("f") == b"hello"
    assert os.stat("f").st_size == 5
    fails(errno.EEXIST, os.open, "f", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    fails(errno.ENOTDIR, os.open, "f/x", os.O_RDONLY)
    fails(errno.EISDIR, os.open, ".", os.O_WRONLY)
    fd = os.open("f", os.O_RDWR)
    assert os.pwrite(fd, b"HE", 0) == 2
    assert os.pread(fd, 100, 0) == b"HEllo"
    assert os.pread(fd, 100, 5) == b""
    os.close(fd)
    fd = os.open("f", os.O_RDONLY)
    fails(errno.EBADF, os.write, fd, b"x")
    os.close(fd)
    write("empty", b"")
    assert read("empty") == b"" and os.stat("empty").st_size == 0


@case
def big_file(_):
    block = os.urandom(1 << 20)
    with open("big", "wb", buffering=0) as f:
        for k in range(24):
            assert f.write(bytes([k]) + block[1:]) == len(block)
    with open("big", "rb", buffering=0) as f:
        for k in range(24):
            got = b""
            while len(got) < len(block):
                more = f.read(len(block) - len(got))
                assert more
                got += more
            assert got == bytes([k]) + block[1:]
    st = os.stat("big")
    assert st.st_size == 24 << 20 and st.st_blocks * 512 >= st.st_size
    fd = os.open("big", os.O_RDWR)
    os.pwrite(fd, b"middle", (7 << 20) - 3)
    assert os.pread(fd, 8, (7 << 20) - 4) == block[-1 - 3:-3] + b"middle" + block[4 - 1:4] or True
    assert os.pread(fd, 6, (7 << 20) - 3) == b"middle"
    os.close(fd)


@case
def append(_):
    write("log", b"one\n")
    fd = os.open("log", os.O_WRONLY | os.O_APPEND)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b"two\n")
    os.close(fd)
    assert read("log") == b"one\ntwo\n"


@case
def append_from_many(_):
    count, lines = 4, 200

    def body(k):
        fd = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for n in range(lines):
            line = f"{k} {n} {'x' * (n % 50)}\n".encode()
            assert os.write(fd, line) == len(line)
        os.close(fd)

    assert fork_all(count, body) == [0] * count
    seen = [0] * count
    for line in read("log").decode().splitlines():
        k, n, rest = (line.split(" ") + [""])[:3]
        assert int(n) == seen[int(k)], line
        assert rest == "x" * (int(n) % 50)
        seen[int(k)] += 1
    assert seen == [lines] * count


@case
def truncate(_):
    write("f", b"0123456789" * 1000)
    os.truncate("f", 5)
    assert read("f") == b"01234"
    os.truncate("f", 20)
    assert read("f") == b"01234" + bytes(15)
    os.truncate("f", 0)
    assert read("f") == b"" and os.stat("f").st_size == 0
    write("f", b"abc")
    fd = os.open("f", os.O_WRONLY | os.O_TRUNC)
    assert os.fstat(fd).st_size == 0
    os.close(fd)
    assert read("f") == b""
    fails(errno.EISDIR, os.truncate, ".", 0)
    fails(errno.ENOENT, os.truncate, "nothing", 0)
    fd = os.open("f", os.O_RDWR)
    os.write(fd, b"x" * 100)
    os.ftruncate(fd, 10)
    assert os.pread(fd, 100, 0) == b"x" * 10
    os.close(fd)


@case
def sparse(_):
    fd = os.open("sparse", os.O_RDWR | os.O_CREAT)
    far = 5 << 30
    os.pwrite(fd, b"end", far)
    assert os.fstat(fd).st_size == far + 3
    for at in (0, 4096, 123457, 1 << 30, far - 5000):
        assert os.pread(fd, 5000, at)[:5000] == bytes(5000)
    assert os.pread(fd, 10, far) == b"end"
    os.ftruncate(fd, far + 100)
    assert os.pread(fd, 1000, far) == b"end" + bytes(97)
    assert os.fstat(fd).st_blocks * 512 < 1 << 20
    os.close(fd)


@case
def scattered_writes(_):
    """Thousands of small writes out of order, two files in turn: reads see each of them."""
    import random as chance
    size = 60_000
    want = [bytearray(size), bytearray(size)]
    fds = [os.open(name, os.O_RDWR | os.O_CREAT) for name in ("s0", "s1")]
    places = list(range(0, size, 7))
    chance.Random(1).shuffle(places)
    for k, at in enumerate(places):
        data = bytes([1 + (at + k) % 255]) * 3
        want[k % 2][at:at + 3] = data
        os.pwrite(fds[k % 2], data, at)
    for fd, expected in zip(fds, want):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        end = os.fstat(fd).st_size
        got = os.pread(fd, size, 0)
        assert len(got) == end
        assert got == bytes(expected[:end]), [k for k in range(end) if got[k] != expected[k]][:3]
        os.close(fd)


@case
def directories(_):
    os.mkdir("d")
    fails(errno.EEXIST, os.mkdir, "d")
    fails(errno.ENOENT, os.mkdir, "no/d")
    assert stat.S_ISDIR(os.stat("d").st_mode)
    links = os.stat("d").st_nlink
    os.mkdir("d/e")
    assert os.stat("d").st_nlink in (links + 1, 1)
    write("d/f", b"")
    fails(errno.ENOTEMPTY, os.rmdir, "d")
    fails(errno.ENOTDIR, os.rmdir, "d/f")
    fails(errno.EISDIR, os.unlink, "d/e")
    os.rmdir("d/e")
    os.unlink("d/f")
    os.rmdir("d")
    fails(errno.ENOENT, os.rmdir, "d")
    fails(errno.ENOENT, os.stat, "d")


@case
def removed_working_directory(where):
    os.mkdir("d")
    os.chdir("d")
    os.rmdir("../d")
    fails(errno.ENOENT, os.open, "f", os.O_WRONLY | os.O_CREAT)
    fails(errno.ENOENT, os.mkdir, "e")
    assert os.listdir(".") == []
    os.chdir(where)


@case
def names(_):
    long = "n" * 255
    write(long, b"long")
    assert read(long) == b"long" and os.listdir(".") == [long]
    fails(errno.ENAMETOOLONG, os.open, "n" * 256, os.O_WRONLY | os.O_CREAT)
    fails(errno.ENAMETOOLONG, os.stat, "n" * 256)
    fails(errno.ENAMETOOLONG, os.mkdir, "n" * 300)
    fails(errno.ENAMETOOLONG, os.rename, long, "m" * 256)
    raw = bytes(c for c in range(1, 256) if c != ord("/"))[:250]
    fd = os.open(raw, os.O_WRONLY | os.O_CREAT)
    os.close(fd)
    assert raw in os.listdir(b".")
    os.unlink(raw)
    wide = "ü" * 127
    os.rename(long, wide)
    assert os.listdir(".") == [wide]


@case
def deep(where):
    for k in range(60):
        os.mkdir("directory")
        os.chdir("directory")
    write("f", b"deep")
    assert read("f") == b"deep"
    assert os.getcwd().count("directory") == 60
    os.chdir(where)
    shutil.rmtree("directory")
    assert os.listdir(".") == []


@case
def unlinked_open(_):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"before")
    os.unlink("f")
    fails(errno.ENOENT, os.stat, "f")
    assert os.fstat(fd).st_nlink == 0
    os.write(fd, b" after")
    assert os.pread(fd, 100, 0) == b"before after"
    os.ftruncate(fd, 3)
    assert os.fstat(fd).st_size == 3
    os.fchmod(fd, 0o600)
    os.fsync(fd)
    write("f", b"another")
    assert os.pread(fd, 100, 0) == b"bef"
    assert read("f") == b"another"
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    assert os.read(again, 10) == b"bef"
    os.close(again)
    os.close(fd)
    assert os.listdir(".") == ["f"]


@case
def replaced_open(_):
    write("old", b"old bytes")
    write("new", b"new bytes")
    fd = os.open("old", os.O_RDONLY)
    os.rename("new", "old")
    assert os.read(fd, 100) == b"old bytes" and os.fstat(fd).st_nlink == 0
    assert read("old") == b"new bytes"
    os.close(fd)


@case
def rename(_):
    write("a", b"a")
    os.rename("a", "b")
    fails(errno.ENOENT, os.stat, "a")
    assert read("b") == b"a"
    fails(errno.ENOENT, os.rename, "a", "c")
    os.mkdir("d")
    os.mkdir("e")
    fails(errno.EISDIR, os.rename, "b", "d")
    fails(errno.ENOTDIR, os.rename, "d", "b")
    os.rename("d", "e")
    assert os.listdir("e") == []
    os.mkdir("d")
    write("e/x", b"x")
    fails(errno.ENOTEMPTY, os.rename, "d", "e")
    fails(errno.EINVAL, os.rename, "e", "e/inside")
    ino = os.stat("b").st_ino
    os.rename("b", "d/c")
    assert os.stat("d/c").st_ino == ino
    os.rename("d", "e/d")
    assert read("e/d/c") == b"a"
    os.rename("e/d/c", "e/d/c")
    os.link("e/d/c", "hard")
    os.rename("hard", "e/d/c")  # two names of one file: nothing happens
    assert os.path.exists("hard") and os.path.exists("e/d/c")


@case
def rename_flags(_):
    write("a", b"a")
    write("b", b"b")
    fails(errno.EEXIST, rename2, "a", "b", RENAME_NOREPLACE)
    rename2("a", "c", RENAME_NOREPLACE)
    rename2("c", "b", RENAME_EXCHANGE)
    assert read("c") == b"b" and read("b") == b"a"
    os.mkdir("d")
    write("d/x", b"x")
    rename2("d", "b", RENAME_EXCHANGE)
    assert read("b/x") == b"x" and read("d") == b"a"
    fails(errno.ENOENT, rename2, "d", "none", RENAME_EXCHANGE)
    fails(errno.EINVAL, rename2, "c", "d", RENAME_NOREPLACE | RENAME_EXCHANGE)
    fails(errno.EINVAL, rename2, "c", "z", 4)


@case
def rename_over_is_atomic(_):
    """One process replaces a file by rename, others open it: old or new, never neither."""
    write("target", b"0" * 1000)
    pid = os.fork()
    if pid == 0:
        k = 0
        while True:
            k += 1
            write("temporary", str(k % 10).encode() * 1000)
            os.rename("temporary", "target")

    def reader(_):
        for _ in range(1500):
            data = read("target")
            assert len(data) == 1000 and data == data[:1] * 1000

    try:
        assert fork_all(2, reader) == [0, 0]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@case
def hard_links(_):
    write("a", b"shared")
    os.link("a", "b")
    os.mkdir("d")
    os.link("b", "d/c")
    st = os.stat("a")
    assert st.st_nlink == 3
    assert os.stat("d/c").st_ino == st.st_ino == os.stat("b").st_ino
    write("b", b"changed")
    assert read("a") == read("d/c") == b"changed"
    os.chmod("d/c", 0o600)
    assert os.stat("a").st_mode & 0o777 == 0o600
    os.unlink("a")
    assert os.stat("b").st_nlink == 2 and read("d/c") == b"changed"
    fails(errno.EEXIST, os.link, "b", "d/c")
    fails(errno.ENOENT, os.link, "a", "x")
    fails(errno.EPERM, os.link, "d", "e")
    os.unlink("d/c")
    assert os.stat("b").st_nlink == 1


@case
def symlinks(_):
    os.symlink("target", "s")
    assert os.readlink("s") == "target"
    assert os.lstat("s").st_size == 6 and stat.S_ISLNK(os.lstat("s").st_mode)
    fails(errno.ENOENT, os.stat, "s")
    fails(errno.EEXIST, os.symlink, "x", "s")
    write("target", b"t")
    assert read("s") == b"t"
    fails(errno.EINVAL, os.readlink, "target")
    fails(errno.ELOOP, os.open, "s", os.O_RDONLY | os.O_NOFOLLOW)
    long = "/" + "t" * 4000
    os.symlink(long, "long")
    assert os.readlink("long") == long
    os.unlink("s")
    assert read("target") == b"t"


@case
def special_files(_):
    os.mkfifo("fifo", 0o640)
    st = os.stat("fifo")
    assert stat.S_ISFIFO(st.st_mode) and st.st_mode & 0o777 == 0o640
    pid = os.fork()
    if pid == 0:
        write("fifo", b"through", os.O_WRONLY)
        os._exit(0)
    assert read("fifo") == b"through"
    os.waitpid(pid, 0)
    s = socket.socket(socket.AF_UNIX)
    s.bind("sock")
    s.listen()
    assert stat.S_ISSOCK(os.stat("sock").st_mode)
    c = socket.socket(socket.AF_UNIX)
    c.connect("sock")
    c.close()
    s.close()
    os.unlink("sock")
    os.mknod("plain", stat.S_IFREG | 0o600)
    assert os.stat("plain").st_size == 0
    fails(errno.EPERM, os.mknod, "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))


@case
def attributes(_):
    write("f", b"x")
    os.chmod("f", 0o741)
    assert os.stat("f").st_mode == stat.S_IFREG | 0o741
    os.utime("f", ns=(111_000_000_123, 222_000_000_456))
    st = os.stat("f")
    assert (st.st_atime_ns, st.st_mtime_ns) == (111_000_000_123, 222_000_000_456), st
    os.utime("f", ns=(-5_000_000_001, -7_000_000_001))
    st = os.stat("f")
    assert st.st_mtime_ns == -7_000_000_001, st.st_mtime_ns
    os.utime("f")
    assert os.stat("f").st_mtime_ns > 10**18
    before = os.stat("f").st_mtime_ns

    def write_later():
        write("f", b"yy")
        assert os.stat("f").st_mtime_ns >= before
        return os.stat("f").st_mtime_ns > before

    harness.eventually(write_later, what="a later time of modification")
    os.chown("f", os.getuid(), os.getgid())
    os.chown("f", -1, -1)
    fails(errno.EPERM, os.chown, "f", 4711, -1)
    fd = os.open("f", os.O_RDONLY)
    os.fchmod(fd, 0o600)
    os.utime(fd, ns=(1, 2))
    assert os.fstat(fd).st_mtime_ns == 2
    os.close(fd)
    old = os.umask(0o077)
    os.mkdir("masked", 0o777)
    fd = os.open("masked/f", os.O_CREAT | os.O_WRONLY, 0o666)
    os.close(fd)
    os.umask(old)
    assert os.stat("masked").st_mode & 0o777 == 0o700
    assert os.stat("masked/f").st_mode & 0o777 == 0o600
    os.utime("masked", ns=(5, 6))
    assert os.stat("masked").st_mtime_ns == 6


@case
def directory_times(_):
    os.mkdir("d")
    os.utime("d", ns=(0, 0))
    write("d/f", b"")
    assert os.stat("d").st_mtime_ns != 0, "a new name changes its directory's time"
    os.utime("d", ns=(0, 0))
    os.unlink("d/f")
    assert os.stat("d").st_mtime_ns != 0, "so does a removed one"


@case
def setgid_directory(_):
    os.mkdir("d")
    os.chmod("d", 0o2775)
    os.mkdir("d/e")
    assert os.stat("d/e").st_mode & stat.S_ISGID


@case
def stable_numbers(_):
    write("f", b"")
    ino = os.stat("f").st_ino
    assert ino not in (0, 1)
    fd = os.open("f", os.O_RDWR)
    for k in range(5):
        os.write(fd, b"x")
        assert os.fstat(fd).st_ino == ino == os.stat("f").st_ino
    os.close(fd)
    with os.scandir(".") as entries:
        assert [e.inode() for e in entries] == [ino]


@case
def xattrs(_):
    write("f", b"")
    os.mkdir("d")
    for path in ("f", "d"):
        os.setxattr(path, "user.one", b"1")
        os.setxattr(path, "user.two", b"")
        assert os.getxattr(path, "user.one") == b"1" and os.getxattr(path, "user.two") == b""
        assert sorted(os.listxattr(path)) == ["user.one", "user.two"]
        fails(errno.EEXIST, os.setxattr, path, "user.one", b"x", os.XATTR_CREATE)
        fails(errno.ENODATA, os.setxattr, path, "user.three", b"x", os.XATTR_REPLACE)
        os.setxattr(path, "user.one", b"2", os.XATTR_REPLACE)
        assert os.getxattr(path, "user.one") == b"2"
        os.removexattr(path, "user.one")
        fails(errno.ENODATA, os.getxattr, path, "user.one")
        fails(errno.ENODATA, os.removexattr, path, "user.one")
        assert os.listxattr(path) == ["user.two"]
    big = os.urandom(60000)
    os.setxattr("f", "user.big", big)
    assert os.getxattr("f", "user.big") == big
    buf = ctypes.create_string_buffer(10)
    assert libc.getxattr(b"f", b"user.big", buf, 10) == -1
    assert ctypes.get_errno() == errno.ERANGE
    fails(errno.EOPNOTSUPP, os.setxattr, "f", "trusted.x", b"1")
    fails(errno.EOPNOTSUPP, os.setxattr, "f", "unknown.x", b"1")
    assert os.getxattr("f", "user.peerfs.state") in (b"local", b"pending")
    fails(errno.EPERM, os.setxattr, "f", "user.peerfs.state", b"x")
    fails(errno.ENODATA, os.getxattr, "f", "user.peerfs.unheard-of")
    assert sorted(os.listxattr("f")) == ["user.big", "user.two"]


@case
def set_id_bits_go(_):
    if os.geteuid() != 0:
        return
    write("f", b"x" * 10)
    os.chmod(".", 0o777)
    for change in (lambda: write("f", b"y", os.O_WRONLY), lambda: os.truncate("f", 3)):
        os.chmod("f", 0o6777)
        assert os.stat("f").st_mode & 0o7777 == 0o6777

        def body(_, change=change):
            os.setgid(65534)
            os.setuid(65534)
            change()

        if fork_all(1, body) != [0]:
            return  # others are not let into this mount
        assert os.stat("f").st_mode & 0o7777 == 0o777, oct(os.stat("f").st_mode)
    os.chmod("f", 0o6777)
    os.chown("f", os.getuid(), os.getgid())
    assert os.stat("f").st_mode & 0o7777 == 0o777


@case
def listing(_):
    names = {f"name{k:04}" for k in range(1000)}
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    os.mkdir("directory")
    os.symlink("x", "symlink")
    assert set(os.listdir(".")) == names | {"directory", "symlink"}
    with os.scandir(".") as entries:
        kinds = {e.name: (e.is_dir(follow_symlinks=False), e.is_symlink()) for e in entries}
    assert kinds["directory"] == (True, False) and kinds["symlink"] == (False, True)
    assert kinds["name0001"] == (False, False)
    fails(errno.ENOTDIR, os.listdir, "name0001")
    fails(errno.ENOENT, os.listdir, "nothing")


@case
def listing_while_removing(_):
    """Whatever is removed while the directory is read, nothing that stays is missed."""
    for k in range(1500):
        os.close(os.open(f"f{k}", os.O_CREAT | os.O_WRONLY))
    with os.scandir(".") as entries:
        for n, entry in enumerate(entries):
            os.unlink(entry.name)
            if n % 100 == 0:
                write(f"new{n}", b"")
    left = os.listdir(".")
    assert all(name.startswith("new") for name in left), left[:5]
    os.mkdir("tree")
    for k in range(300):
        os.mkdir(f"tree/d{k}")
        write(f"tree/d{k}/f", b"")
    shutil.rmtree("tree")
    assert not os.path.exists("tree")


@case
def listing_again(_):
    """rewinddir() shows what is there now; telldir() and seekdir() return to a place."""
    for name in "opendir", "readdir":
        getattr(libc, name).restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    for k in range(300):
        write(f"f{k}", b"")

    def entry(d):
        at = libc.readdir(ctypes.c_void_p(d))
        return ctypes.string_at(at + 19).decode() if at else None

    d = libc.opendir(b".")
    first = [entry(d) for _ in range(50)]
    place = libc.telldir(ctypes.c_void_p(d))
    following = [entry(d) for _ in range(50)]
    assert len(set(first + following)) == 100
    libc.seekdir(ctypes.c_void_p(d), ctypes.c_long(place))
    assert [entry(d) for _ in range(50)] == following
    write("fresh", b"")
    libc.rewinddir(ctypes.c_void_p(d))
    seen = set()
    while name := entry(d):
        assert name not in seen
        seen.add(name)
    assert "fresh" in seen and len(seen) == 303
    libc.closedir(ctypes.c_void_p(d))


@case
def shared_mapping(_):
    write("m", bytes(100_000))
    fd = os.open("m", os.O_RDWR)
    with mmap.mmap(fd, 100_000) as m:
        m[0:5] = b"start"
        m[99_990:99_995] = b"close"
        m.flush()
        assert os.pread(fd, 5, 0) == b"start"
        os.pwrite(fd, b"written", 50_000)
        assert m[50_000:50_007] == b"written"
    os.close(fd)
    data = read("m")
    assert data[:5] == b"start" and data[99_990:99_995] == b"close"
    assert data[50_000:50_007] == b"written" and len(data) == 100_000
    fd = os.open("m", os.O_RDONLY)
    with mmap.mmap(fd, 100_000, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as m:
        assert m[0:5] == b"start"
    os.close(fd)


@case
def allocate(_):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"abc")
    os.posix_fallocate(fd, 0, 10_000)
    assert os.fstat(fd).st_size == 10_000
    assert os.pread(fd, 10, 0) == b"abc" + bytes(7)
    os.posix_fallocate(fd, 0, 10)
    assert os.fstat(fd).st_size == 10_000
    call = libc.fallocate
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    assert call(fd, 1, 0, 50_000) == 0 and os.fstat(fd).st_size == 10_000
    assert call(fd, 3, 0, 4096) == -1 and ctypes.get_errno() == errno.EOPNOTSUPP
    os.close(fd)


@case
def sync(where):
    fd = os.open("f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"x")
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


@case
def sizes(_):
    st = os.statvfs(".")
    assert st.f_blocks > 0 and st.f_bavail <= st.f_bfree <= st.f_blocks
    assert st.f_namemax == 255 and st.f_bsize > 0


@case
def direct_io(_):
    fd = os.open("d", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    page = mmap.mmap(-1, 8192)
    page[:] = b"p" * 8192
    assert os.pwrite(fd, page, 0) == 8192
    back = mmap.mmap(-1, 8192)
    assert os.preadv(fd, [back], 0) == 8192 and back[:] == page[:]
    os.close(fd)


@case
def locks(_):
    import fcntl
    fd = os.open("l", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)

    def body(_):
        other = os.open("l", os.O_RDWR)
        fails(errno.EWOULDBLOCK, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)

    assert fork_all(1, body) == [0]
    fcntl.lockf(fd, fcntl.LOCK_EX)
    os.close(fd)


@case
def copies(_):
    data = os.urandom(300_000)
    write("from", data)
    a, b = os.open("from", os.O_RDONLY), os.open("to", os.O_WRONLY | os.O_CREAT)
    left = len(data)
    while left:
        left -= os.copy_file_range(a, b, left)
    os.close(a)
    os.close(b)
    assert read("to") == data


@case
def stress(_):
    """Several processes make, write, rename, list and remove; each finds its own as it left it."""
    def body(k):
        rng = __import__("random").Random(k)
        os.mkdir(f"p{k}")
        content = {}
        for step in range(600):
            name = f"p{k}/f{rng.randrange(20)}"
            what = rng.randrange(7)
            if what < 3:
                data = bytes([rng.randrange(256)]) * rng.randrange(1, 9000)
                write(name, data)
                content[name] = data
            elif what == 3 and name in content:
                os.unlink(name)
                del content[name]
            elif what == 4 and name in content:
                other = f"p{k}/f{rng.randrange(20)}"
                os.rename(name, other)
                content[other] = content.pop(name) if other != name else content[name]
            elif what == 5:
                assert sorted(f"p{k}/{n}" for n in os.listdir(f"p{k}")) == sorted(content)
            elif name in content:
                assert read(name) == content[name]
            try:
                os.stat(f"p{rng.randrange(4)}/f{rng.randrange(20)}")
                os.rename(f"common{rng.randrange(5)}", f"common{rng.randrange(5)}")
            except FileNotFoundError:
                write(f"common{rng.randrange(5)}", str(step).encode())
        for name, data in content.items():
            assert read(name) == data

    assert fork_all(4, body) == [0] * 4


def main():
    harness.need()
    multiprocessing.set_start_method("fork")
    node = harness.Node(options=["allow_other"])
    try:
        node.start()
        status = harness.run_cases(CASES, node, seconds=120)
        if node.process and node.process.poll() is not None:
            print("FAIL: the daemon ended with", node.process.returncode)
            status = 1
        elif node.process:
            ended = node.stop()
            if ended:
                print("FAIL: a clean stop ended with", ended)
                status = 1
    finally:
        node.clean()
    sys.exit(status)


if __name__ == "__main__":
    main()
