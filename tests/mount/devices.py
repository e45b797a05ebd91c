# SPDX-License-Identifier: MIT
"""Whole devices for tests: a home, a port, the real command and daemon, a mount.

Each test program runs in a mount namespace of its own, so nothing it mounts is seen elsewhere or
left behind; daemons are ended by the process ids they told.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SKIP = 77
PEERFS = os.path.abspath(os.environ.get("PEERFS", "peerfs"))


def need():
    """Skip where nothing can be mounted; move into a mount namespace of our own."""
    why = None
    if not os.path.exists("/dev/fuse"):
        why = "no /dev/fuse"
    elif os.geteuid() != 0:
        why = "needs root for a mount namespace"
    elif not os.access(PEERFS, os.X_OK):
        why = "no " + PEERFS
    elif subprocess.call(["unshare", "-m", "true"], stderr=subprocess.DEVNULL) != 0:
        why = "no mount namespaces here"
    if why:
        print("SKIP:", why)
        sys.exit(SKIP)
    if os.environ.get("PEERFS_TEST_NS") != "1":
        os.execvpe("unshare", ["unshare", "-m", "--propagation", "private", sys.executable]
                   + sys.argv, dict(os.environ, PEERFS_TEST_NS="1"))


def eventually(check, seconds=20, what="condition"):
    """Wait until check() is true; its OSErrors count as not yet."""
    end = time.monotonic() + seconds
    error = None
    while True:
        try:
            if check():
                return
        except OSError as e:
            error = e
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}" + (f": {error}" if error else ""))
        time.sleep(0.005)  # between two looks


def free_port():
    """A port that nobody listens on, below those that the kernel gives out, and not one twice."""
    chance = random.Random()  # not the tests' seed: several runs go on at once
    while True:
        port = chance.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in free_port.given:
            free_port.given.add(port)
            return port


free_port.given = set()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def tree(top):
    """What a tree shows: path -> type, mode, and content, target or nothing."""
    shown = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = os.readlink(path) if os.path.islink(path) else None
            if what is None and os.path.isfile(path):
                what = read(path)
            shown[os.path.relpath(path, top)] = (st.st_mode, what)
    return shown


class Device:
    """One device: PEERFS_HOME, port and mount point under one folder."""

    def __init__(self, top, name):
        self.name = name
        self.home = os.path.join(top, name)
        self.dir = os.path.join(top, "mnt-" + name)
        self.port = free_port()
        self.log = os.path.join(self.home, "data", "daemon.log")
        self.leaks = os.path.join(top, "leaks")
        write(self.leaks, b"leak:fuse_session_mount\n")  # libfuse's own, in a build that looks
        self.run("init", "--name", name, "--listen", f"127.0.0.1:{self.port}")

    def run(self, *args, code=0, timeout=60):
        """A peerfs command; its output.  code: what it must exit with (None: whatever)."""
        environ = dict(os.environ, PEERFS_HOME=self.home)
        environ["LSAN_OPTIONS"] = "print_suppressions=0:suppressions=" + self.leaks
        p = subprocess.run(self.command(PEERFS, *args), env=environ,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           stdin=subprocess.DEVNULL, timeout=timeout, check=False)
        self.error = p.stderr
        self.code = p.returncode
        if code is not None and p.returncode != code:
            raise AssertionError(f"{self.name}: peerfs {' '.join(args)}: exit {p.returncode}, "
                                 f"not {code}: {p.stdout}{p.stderr}")
        return p.stdout

    def command(self, *args):
        """What is run for that; devices of other users put something before it."""
        return list(args)

    def json(self, *args):
        return json.loads(self.run(*args, "--json"))

    def status(self, folder="docs"):
        for f in self.json("status")["folders"]:
            if f["name"] == folder:
                return f
        raise AssertionError(f"{self.name}: no folder {folder}")

    def about(self, name):
        return self.json("status", self.path(name))

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def pid(self):
        return self.json("status")["pid"]

    def create(self):
        self.run("create", "docs", self.dir)

    def invite(self, *options):
        return self.run("invite", "docs", "--print", *options).strip()

    def join(self, invitation):
        self.run("join", invitation, self.dir)

    def stop(self):
        self.run("daemon", "stop", code=None)

    def start(self):
        """The daemon, and the mount where it was."""
        self.run("mount", "docs")

    def kill(self):
        """As a crash: the mount is left behind, dead."""
        pid = self.pid()
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        eventually(lambda: self.ended(pid), what="the daemon's end")

    @staticmethod
    def ended(pid):
        """Gone, or waiting to be collected by a parent that takes its time; or, killed, for the
        kernel: then its first thread is gone (peerfsd(8))."""
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    def unmount(self):
        subprocess.call(["umount", "-l", self.dir], stderr=subprocess.DEVNULL)

    def connected(self):
        return self.status()["connected"]

    def settled(self):
        s = self.status()
        return not (s["files_unsealed"] or s["records_held"] or s["bundles_waiting"])


def same(*devices, seconds=60):
    """All devices come to show one tree."""
    last = []

    def check():
        if not all(d.settled() for d in devices):
            return False
        last[:] = [tree(d.dir) for d in devices]
        return all(t == last[0] for t in last)

    try:
        eventually(check, seconds, "equal trees")
    except AssertionError as e:
        for d, t in zip(devices[1:], last[1:]):
            for path in sorted(set(last[0]) ^ set(t)):
                print(f"{path}: only on one of {devices[0].name}, {d.name}")
            for path in sorted(set(last[0]) & set(t)):
                if last[0][path] != t[path]:
                    print(f"{path}: differs between {devices[0].name} and {d.name}")
        raise e
    return last[0]


def run(*cases):
    """Each case gets a function that makes devices; everything is ended and removed after it."""
    need()
    only = sys.argv[1:]
    random.seed(int(os.environ.get("SEED", "1")))
    failed = 0
    for case in cases:
        if only and case.__name__ not in only:
            continue
        top = tempfile.mkdtemp(prefix="peerfs-two-")
        made = []

        def make(name, kind=Device, top=top, made=made):
            made.append(kind(top, name))
            return made[-1]

        begun = time.monotonic()
        try:
            case(make)
            print(f"PASS: {case.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            traceback.print_exc()
            print(f"FAIL: {case.__name__}: {case.__doc__}", flush=True)
            for d in made:
                if os.path.exists(d.log):
                    with open(d.log, encoding="utf-8", errors="replace") as f:
                        print(f"--- {d.name}\n" + "".join(f.readlines()[-30:]), flush=True)
        for d in made:
            end(d)
            if broken(d):
                failed += 1
                print(f"FAIL: {case.__name__}: {d.name}'s daemon ended in disgrace", flush=True)
        shutil.rmtree(top, ignore_errors=True)
    sys.exit(1 if failed else 0)


def broken(device):
    """Whether the log tells of an assertion, or of what a sanitizer found; it is shown."""
    if not os.path.exists(device.log):
        return False
    with open(device.log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    for word in ("Assertion", "Sanitizer", "runtime error:"):
        if word in text:
            print(text[max(0, text.index(word) - 500):][:6000], flush=True)
            return True
    return False


def end(device):
    device.unmount()
    try:
        device.run("daemon", "stop", code=None, timeout=40)
        device.kill()
    except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired):
        pass  # it had ended, as it should


def pair(make):
    """Two devices that share a folder."""
    a, b = make("alpha"), make("beta")
    a.create()
    b.join(a.invite())
    eventually(lambda: a.connected() == 1 and b.connected() == 1, what="a connection")
    return a, b
