#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""user - the mount of an ordinary user: by fusermount3, refused with a reason where it cannot be

The device node of this machine may be root's alone: a node that everybody may open is bound over
it, in the test's own mount namespace.
"""

import errno
import os
import pwd
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from conform import fails, read, write  # noqa: E402


def open_device():
    device = os.stat("/dev/fuse")
    if device.st_mode & 0o666 == 0o666:
        return
    subprocess.check_call(["mount", "-t", "tmpfs", "tmpfs", "/mnt"])
    os.mknod("/mnt/fuse", stat.S_IFCHR | 0o666, device.st_rdev)
    os.chmod("/mnt/fuse", 0o666)
    subprocess.check_call(["mount", "--bind", "/mnt/fuse", "/dev/fuse"])


def refused(node, prefix, words, *extra, where=None):
    """Mounting says why not, in words that help."""
    p = subprocess.run(prefix + [harness.ONENODE, node.store, where or node.dir] + list(extra),
                       stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, timeout=30,
                       check=False)
    assert p.returncode != 0
    for word in words:
        assert word in p.stderr, (word, p.stderr)


def ordinary_use(where):
    write("f", b"mine")
    assert read("f") == b"mine"
    st = os.stat("f")
    assert (st.st_uid, st.st_gid) == (os.getuid(), os.getgid())
    os.chown("f", os.getuid(), os.getgid())
    fails(errno.EPERM, os.chown, "f", 0, -1)
    os.chmod("f", 0o400)
    fails(errno.EACCES, os.open, "f", os.O_WRONLY)
    os.unlink("f")
    fails(errno.EPERM, os.mknod, "dev", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    fails(errno.EPERM, os.setxattr, where, "security.x", b"")
    os.mkdir("closed", 0o700)
    os.chmod("closed", 0)
    fails(errno.EACCES, os.listdir, "closed")
    os.chmod("closed", 0o700)
    flags = os.statvfs(".").f_flag
    assert flags & os.ST_NOSUID and flags & os.ST_NODEV


def main():
    harness.need()
    if not shutil.which("setpriv") or not shutil.which("fusermount3"):
        harness.skip("no setpriv(1) or no fusermount3(1)")
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        harness.skip("no user nobody")
    if subprocess.call(["setpriv", "--reuid", str(user.pw_uid), "--clear-groups", "test", "-x",
                        harness.ONENODE]) != 0:
        harness.skip("nobody cannot reach " + harness.ONENODE)
    open_device()
    prefix = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid),
              "--clear-groups"]
    node = harness.Node(prefix=prefix, owner=user.pw_uid)
    os.chown(node.top, user.pw_uid, user.pw_gid)
    os.chown(node.dir, user.pw_uid, user.pw_gid)
    status = 1
    try:
        node.start()
        status = harness.run_cases([ordinary_use], node, user=user.pw_uid)
        fails(errno.EACCES, os.listdir, node.dir)  # root is not let in
        node.kill()
        assert os.path.ismount(node.dir) or True
        node.start()  # takes the dead mount away by itself
        assert node.stop() == 0
        assert os.stat(node.dir).st_uid == user.pw_uid
        write(os.path.join(node.dir, "in the way"), b"")
        refused(node, prefix, ["not empty"])
        os.unlink(os.path.join(node.dir, "in the way"))
        refused(node, prefix, ["does not exist", "mkdir"], where=node.dir + "/nowhere")
        os.symlink(node.dir, node.dir + "-link")
        refused(node, prefix, ["symbolic link"], where=node.dir + "-link")
        refused(node, prefix, ["somebody else"], where="/var/empty"
                if os.path.isdir("/var/empty") else empty_of_root(node))
        refused(node, prefix, ["user_allow_other"], "allow_other")
        os.chmod("/dev/fuse", 0o600)
        refused(node, prefix, ["/dev/fuse", "chmod"])
        os.chmod("/dev/fuse", 0o666)
        print("ok")
    finally:
        node.clean()
    sys.exit(status)


def empty_of_root(node):
    path = node.dir + "-root"
    os.mkdir(path, 0o755)
    return path


if __name__ == "__main__":
    main()
