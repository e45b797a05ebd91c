# SPDX-License-Identifier: MIT
"""A place of its own for a run: whatever happens in it, nothing of it is left.

	outer   makes the scratch directory, waits, removes what is left of it
	first   process 1 of new process, mount and network namespaces: when it ends, by whatever
	        cause, the kernel kills all others there, and mounts and networks go with them
	run     what is to be done; daemons that lose their parents become children of the first

The outer process holds one end of a pipe, the lifeline.  When it closes or dies, even by SIGKILL,
the first process sees the end of it and clears away all that there is.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile

SKIP = 77
NAMESPACES = ["unshare", "--mount", "--net", "--pid", "--propagation", "private", "--fork",
              "--kill-child", "--mount-proc"]
INSIDE = "PEERFS_CHAOS_INSIDE"  # lifeline and scratch directory, for the first process


def lacking(programs):
    """Why a run is not possible here, or None."""
    if sys.platform != "linux" or not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    if os.geteuid() != 0:
        return "needs root, for namespaces of its own"
    for program in programs:
        if not shutil.which(program):
            return f"no {program}(8); on Debian: apt-get install iproute2 nftables util-linux"
    done = subprocess.run(NAMESPACES + ["nft", "list", "ruleset"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode and ("no namespaces with nftables here: " + done.stderr.strip()) or None


def ended(signum, _):
    sys.exit(128 + signum)


def enter(body, prefix):
    """Run body(scratch directory) inside; does not return in the outer process."""
    if INSIDE in os.environ:
        lifeline, scratch = os.environ.pop(INSIDE).split(":", 1)
        first(body, int(lifeline), scratch)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    scratch = tempfile.mkdtemp(prefix=prefix)
    theirs, lifeline = os.pipe()
    child = None
    try:
        child = subprocess.Popen(
            NAMESPACES + [sys.executable, "-B"] + sys.argv, pass_fds=[theirs],
            stdin=subprocess.DEVNULL, start_new_session=True,
            env=dict(os.environ, **{INSIDE: f"{theirs}:{scratch}"}))
        os.close(theirs)
        code = child.wait()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as e:
        code = e.code
    finally:
        os.close(lifeline)
        leave(child, scratch)
    sys.exit(code if code >= 0 else 128 - code)


def leave(child, scratch):
    """After the lifeline was cut: wait for the namespaces to end; what they held is plain then."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if child:
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()  # and its child with it
            child.wait()
    shutil.rmtree(scratch, ignore_errors=True)


def first(body, lifeline, scratch):
    """Process 1: collects the dead until the run is over or the lifeline ends."""
    assert os.getpid() == 1  # what follows kills everything that it sees
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    run = os.fork()
    if run == 0:
        for end in (woken, wake, lifeline):
            os.close(end)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        code = 1
        try:
            code = body(scratch)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = None
    while code is None:
        ready, _, _ = select.select([woken, lifeline], [], [])
        if lifeline in ready:
            code = 1
        elif os.read(woken, 4096):
            code = collected(run)
    os.kill(-1, signal.SIGKILL)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for mount in [line.split()[1] for line in mounts if scratch in line.split()[1]]:
            subprocess.call(["umount", "-l", mount], stderr=subprocess.DEVNULL)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(code)


def collected(run):
    """The status of the run, if it is among the dead, who are collected."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == run:
            how = os.waitstatus_to_exitcode(status)
            code = how if how >= 0 else 128 - how
