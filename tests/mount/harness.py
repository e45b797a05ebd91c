# SPDX-License-Identifier: MIT
"""What the tests of the mount share: a folder of one node, mounted, whatever happens unmounted.

Each test program runs in a mount namespace of its own, so nothing it mounts is seen elsewhere or
left behind.  The cases run in a child: when one hangs in the kernel, its daemon is killed, which
ends the wait, and the parent cleans up.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

SKIP = 77
ONENODE = os.path.abspath(os.environ.get("ONENODE", "tests/mount/onenode"))


def skip(why):
    print("SKIP:", why)
    sys.exit(SKIP)


def need(root=True):
    """Skip where nothing can be mounted; move into a mount namespace of our own."""
    if not os.path.exists("/dev/fuse"):
        skip("no /dev/fuse")
    if not os.access(ONENODE, os.X_OK):
        skip("no " + ONENODE)
    if root and os.geteuid() != 0:
        skip("needs root for a mount namespace")
    if os.environ.get("PEERFS_TEST_NS") != "1":
        if not shutil.which("unshare"):
            skip("no unshare(1)")
        if subprocess.call(["unshare", "-m", "true"], stderr=subprocess.DEVNULL) != 0:
            skip("no mount namespaces here")
        environ = dict(os.environ, PEERFS_TEST_NS="1")
        os.execvpe("unshare", ["unshare", "-m", "--propagation", "private", sys.executable]
                   + sys.argv, environ)


def eventually(check, seconds=10, what="condition"):
    """Wait until check() is true."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.01)  # between two looks


class Node:
    """A store and its mount; the daemon runs as a child of ours."""

    def __init__(self, options=(), prefix=(), owner=None):
        self.top = tempfile.mkdtemp(prefix="peerfs-test-")
        self.store = os.path.join(self.top, "store")
        self.dir = os.path.join(self.top, "mnt")
        self.options = list(options)
        self.prefix = list(prefix)
        self.process = None
        os.mkdir(self.dir)
        if owner is not None:
            os.chown(self.top, owner, owner)
            os.chown(self.dir, owner, owner)

    def start(self, seconds=30):
        self.process = subprocess.Popen(
            self.prefix + [ONENODE, self.store, self.dir] + self.options,
            stdout=subprocess.PIPE, text=True)
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.kill()
            raise AssertionError("onenode does not become ready")
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise AssertionError(f"onenode said {line!r}, status {self.process.wait()}")

    def stop(self, seconds=30):
        """Stop in good order; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self.process.stdout.close()
        self.process = None
        return status

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def clean(self):
        self.kill()
        subprocess.call(["umount", "-l", self.dir], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.top, ignore_errors=True)


def in_child(body, seconds, on_timeout):
    """Run body() in a child; its exit status.  on_timeout() must end whatever it hangs in."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            status = body()
        except BaseException:  # the child must not go on as its parent
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        os._exit(status or 0)
    end = time.monotonic() + seconds
    while True:
        got, status = os.waitpid(pid, os.WNOHANG)
        if got:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            print(f"FAIL: not done after {seconds} s")
            os.kill(pid, signal.SIGKILL)
            on_timeout()
            os.waitpid(pid, 0)
            return 1
        time.sleep(0.01)  # between two looks


def run_cases(cases, node, seconds=60, user=None):
    """Each case is a function of a fresh directory in the mount; names of all that fail."""
    def body():
        if user is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        failed = []
        wanted = sys.argv[1:]
        for case in cases:
            if wanted and case.__name__ not in wanted:
                continue
            where = os.path.join(node.dir, case.__name__)
            began = time.monotonic()
            try:
                os.mkdir(where)
                os.chdir(where)
                case(where)
                print(f"ok   {case.__name__} ({time.monotonic() - began:.2f} s)")
            except Exception:
                traceback.print_exc()
                print("FAIL", case.__name__)
                failed.append(case.__name__)
            os.chdir("/")
            sys.stdout.flush()
        return 1 if failed else 0

    return in_child(body, seconds, node.kill)
