# SPDX-License-Identifier: MIT
"""The network of a run and the devices on it.

One bridge, and for each device a network namespace with one interface on it.  What a device must
not hear is dropped by nftables at its own input, so that each direction is cut by itself.
"""

import json
import os
import signal
import subprocess
import sys
import time

PEERFS = os.path.abspath(os.environ.get("PEERFS", "peerfs"))
NETWORK = "10.77.0."
PORT = 27182
FOLDER = "chaos"
READ_TIMEOUT = 4  # seconds: a workload that waits for what is cut off soon goes on


def run(*words, stdin=None):
    done = subprocess.run(words, input=stdin, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout.strip()}")
    return done.stdout


def eventually(check, seconds, what):
    """Wait until check() is true; its OSErrors count as not yet."""
    end = time.monotonic() + seconds
    error = None
    pause = 0.01
    while True:
        try:
            if check():
                return
        except OSError as e:
            error = e
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}" +
                                 (f": {error}" if error else ""))
        time.sleep(pause)  # between two looks
        pause = min(0.5, pause * 1.5)


class Net:
    """The links between devices, which of them are cut, and when they were: history.

    A link counts as open from before it opens until after it is cut, so that nothing ever gets
    through that the history denies.
    """

    def __init__(self, number):
        self.number = number
        self.deaf = set()  # (from, to): what "to" does not hear of "from"
        self.loss = [0] * number  # per cent of what a device is sent
        self.down = set()  # devices whose cable is out
        self.away = set()  # devices that are not running
        self.history = []  # (moment, open directed links)
        self.deaths = []  # (moment, device): daemons that were killed
        os.makedirs("/run/netns", exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")  # names that are seen here alone
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "link", "set", "br0", "up")
        for k in range(number):
            self.make(k)
        self.note()

    def make(self, k):
        run("ip", "netns", "add", f"n{k}")
        run("ip", "link", "add", f"v{k}", "type", "veth", "peer", "name", "eth0", "netns", f"n{k}")
        run("ip", "link", "set", f"v{k}", "master", "br0", "up")
        run("ip", "-n", f"n{k}", "address", "add", f"{self.address(k)}/24", "dev", "eth0")
        for name in "lo", "eth0":
            run("ip", "-n", f"n{k}", "link", "set", name, "up")

    @staticmethod
    def address(k):
        return f"{NETWORK}{k + 1}"

    @staticmethod
    def inside(k):
        """What a command begins with to run on the network as device k."""
        return ["nsenter", f"--net=/run/netns/n{k}", "--"]

    def apply(self, k):
        """The rules of one device, all at once."""
        rules = ["flush ruleset", "table inet chaos {", "chain heard {",
                 "type filter hook input priority 0;", 'iifname "lo" accept']
        for other in sorted(a for a, b in self.deaf if b == k):
            rules.append(f"ip saddr {self.address(other)} drop")
        if self.loss[k]:
            rules.append(f"numgen random mod 100 < {self.loss[k]} drop")
        run(*self.inside(k), "nft", "-f", "-", stdin="\n".join(rules + ["}", "}"]) + "\n")

    def cut(self, pairs):
        """From now on "to" does not hear "from", for each (from, to)."""
        self.deaf |= set(pairs)
        for k in sorted({b for _, b in pairs}):
            self.apply(k)
        self.note()

    def mend(self, pairs):
        self.deaf -= set(pairs)
        self.note()
        for k in sorted({b for _, b in pairs}):
            self.apply(k)

    def lose(self, k, percent):
        self.loss[k] = percent
        self.apply(k)

    def pull(self, k):
        run("ip", "link", "set", f"v{k}", "down")
        self.down.add(k)
        self.note()

    def plug_in(self, k):
        self.down.discard(k)
        self.note()
        run("ip", "link", "set", f"v{k}", "up")

    def leave(self, k):
        self.away.add(k)
        self.note()

    def come(self, k):
        self.away.discard(k)
        self.note()

    def heal(self):
        self.deaf.clear()
        self.note()
        self.loss = [0] * self.number
        for k in range(self.number):
            self.apply(k)
            if k in self.down:
                self.plug_in(k)

    def note(self):
        gone = self.down | self.away
        links = frozenset((a, b) for a in range(self.number) for b in range(self.number)
                          if a != b and not {a, b} & gone and (a, b) not in self.deaf)
        self.history.append((time.monotonic(), links))


class Node:
    """One device: its home, its daemon, its mount."""

    def __init__(self, scratch, net, k):
        self.net, self.k = net, k
        self.name = f"n{k}"
        self.home = os.path.join(scratch, self.name)
        self.dir = os.path.join(scratch, "mnt-" + self.name)
        self.log = os.path.join(self.home, "data", "daemon.log")
        self.pid = 0  # of the daemon; 0: it does not run
        self.environ = dict(os.environ, PEERFS_HOME=self.home)
        # Builds that look: leaks of libfuse's own; descriptors that libuv closed behind the
        # sanitizer's back, so that a file under the same number seems shared.
        for variable, options, rule in (
                ("LSAN_OPTIONS", "print_suppressions=0", "leak:fuse_session_mount"),
                ("TSAN_OPTIONS", os.environ.get("TSAN_OPTIONS", ""), "race:^fdio_size$")):
            rules = os.path.join(scratch, variable)
            with open(rules, "w", encoding="ascii") as f:
                f.write(rule + "\n")
            self.environ[variable] = f"{options}:suppressions={rules}".lstrip(":")
        self.cli("init", "--name", self.name, "--listen", f"{net.address(k)}:{PORT}")
        self.cli("config", "set", f"folder.{FOLDER}.read_timeout", str(READ_TIMEOUT))

    def cli(self, *words, timeout=120):
        done = subprocess.run([*self.net.inside(self.k), PEERFS, *words], env=self.environ,
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout, check=False)
        if done.returncode:
            raise OSError(f"{self.name}: peerfs {' '.join(words[:2])}: exit {done.returncode}: "
                          f"{done.stderr.strip()}")
        return done.stdout

    def status(self):
        whole = json.loads(self.cli("status", "--json"))
        return dict(whole["folders"][0], pid=whole["pid"])

    def conflicts(self):
        return json.loads(self.cli("conflicts", "--json"))["conflicts"]

    def running(self):
        self.pid = self.status()["pid"]

    def start(self):
        """The daemon, and the mount where it was; a dead one is taken away by the command."""
        self.net.come(self.k)
        self.cli("mount", FOLDER)
        self.running()

    def gone(self):
        self.pid = 0
        self.net.leave(self.k)

    def kill(self):
        """As a crash: the mount is left behind, dead."""
        if not alive(self.pid):
            raise AssertionError(f"{self.name}'s daemon had ended by itself")
        self.net.deaths.append((time.monotonic(), self.k))
        os.kill(self.pid, signal.SIGKILL)
        eventually(lambda: not alive(self.pid), 30, f"the end of {self.name}'s daemon")
        self.gone()

    def stop(self):
        """In good order, though programs may have files open."""
        self.cli("umount", self.dir, "--lazy")
        self.cli("daemon", "stop")
        self.gone()

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)
        self.net.leave(self.k)

    def thaw(self):
        self.net.come(self.k)
        os.kill(self.pid, signal.SIGCONT)

    def rest(self):
        """Whether nothing of it is on its way."""
        s = self.status()
        return not (s["files_unsealed"] or s["records_held"] or s["bundles_waiting"])


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def fleet(scratch, net):
    """All devices of the network, members of one folder, connected.  Of four or more the last one
    only reads."""
    nodes = [Node(scratch, net, k) for k in range(net.number)]
    nodes[0].cli("create", FOLDER, nodes[0].dir)
    nodes[0].running()
    for node in nodes[1:]:
        role = ["--role", "reader"] if node.k == 3 and net.number > 3 else []
        node.cli("join", nodes[0].cli("invite", FOLDER, "--print", *role).strip(), node.dir)
        node.running()
    connected(nodes, 60)
    return nodes


def connected(nodes, seconds):
    for node in nodes:
        eventually(lambda n=node: n.status()["connected"] == len(nodes) - 1, seconds,
                   f"{node.name} to be connected to all")
