# SPDX-License-Identifier: MIT
"""one small file, and the rename of a directory, seen at the peer, beside Syncthing

One pair of peerfs devices and one pair of Syncthing devices run at the same time; Syncthing shares
two folders, one as installed and one with caseSensitiveFS (without which it lists a directory
again for each name made there), each watched with a delay of one second.  The three take turns.
A file counts as seen when it stands at the peer with its full size; a rename, when a listing that
begins then has all names ("rename-listed": when that listing ends, which is not the rename's own
time).  The same code asks for it in all three.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

from pair import count, scratch, show, two, wait_for

FILE_BYTES = 4096
AIMS = {"file": 200, "rename": 500, "rename-listed": None}  # times as fast
# Syncthing may be slow, by reason of neighbours too; this only bounds the run.
FILE_SECONDS, RENAME_SECONDS, START_SECONDS = 60, 1800, 120

# What a device of its own on one machine has no use for.
SETTINGS = {"globalAnnounceEnabled": "false", "localAnnounceEnabled": "false",
            "relaysEnabled": "false", "natEnabled": "false", "crashReportingEnabled": "false",
            "urAccepted": "-1", "startBrowser": "false", "autoUpgradeIntervalH": "0",
            "announceLANAddresses": "false", "reconnectionIntervalS": "2"}


def free_ports(number):
    """Ports that nobody listens on, held until all are chosen so that none comes twice."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


class Syncthing:
    """One Syncthing device: a process, its configuration, its HTTP interface."""

    def __init__(self, top, name, ports):
        self.name, self.home = name, top / f"syncthing.home-{name}"
        self.gui, self.port = ports
        self.process = None
        self.key = self.id = ""
        self.configure()

    def configure(self):
        subprocess.run(["syncthing", "generate", f"--home={self.home}", "--no-default-folder",
                        "--skip-port-probing"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=dict(os.environ, HOME=str(self.home)))
        config = self.home / "config.xml"
        text = config.read_text()
        text = re.sub(r"<address>127\.0\.0\.1:\d+</address>",
                      f"<address>127.0.0.1:{self.gui}</address>", text, count=1)
        text = re.sub(r"<listenAddress>.*?</listenAddress>",
                      f"<listenAddress>tcp://127.0.0.1:{self.port}</listenAddress>", text)
        for key, value in SETTINGS.items():
            text, found = re.subn(f"<{key}>.*?</{key}>", f"<{key}>{value}</{key}>", text)
            if not found:
                sys.exit(f"this Syncthing has no setting {key}: {config}")
        config.write_text(text)
        self.key = re.search("<apikey>(.*?)<", text).group(1)

    def start(self):
        self.process = subprocess.Popen(
            ["syncthing", "serve", f"--home={self.home}", "--no-browser", "--no-restart",
             "--no-upgrade", f"--logfile={self.home}/log"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=dict(os.environ, HOME=str(self.home)))
        wait_for(f"Syncthing {self.name}", self.answers, START_SECONDS, 0.1)

    def answers(self):
        if self.process.poll() is not None:
            sys.exit(f"Syncthing {self.name} ended: {self.process.returncode}")
        try:
            self.id = self.ask("GET", "system/status")["myID"]
        except OSError:
            return False
        return True

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.gui}/rest/{path}", method=method,
            headers={"X-API-Key": self.key, "Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=RENAME_SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def connected(self, other):
        known = self.ask("GET", "system/connections")["connections"]
        return known.get(other.id, {}).get("connected", False)

    def idle(self, folder):
        status = self.ask("GET", f"db/status?folder={folder}")
        return status["state"] == "idle" and not status["needTotalItems"]

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def syncthings(top):
    """Two connected Syncthing devices, stopped afterwards."""
    ports = free_ports(4)
    made = [Syncthing(top, "a", ports[:2]), Syncthing(top, "b", ports[2:])]
    try:
        for one in made:
            one.start()
        for one, other in (made, made[::-1]):
            one.ask("POST", "config/devices",
                    {"deviceID": other.id, "name": other.name,
                     "addresses": [f"tcp://127.0.0.1:{other.port}"]})
        wait_for("Syncthing's connection", lambda: made[0].connected(made[1]), START_SECONDS, 0.1)
        yield made
    finally:
        for one in made:
            one.stop()


class Peerfs:
    """What is measured: a folder on both devices, and when they have come to rest."""

    name = "peerfs"

    def __init__(self, devices):
        self.devices = devices
        self.here, self.there = (d.mount for d in devices)

    def seed(self, name, number):
        make_files(self.here / name, number)

    def rest(self):
        wait_for("peerfs at rest", lambda: all(map(self.quiet, self.devices)), FILE_SECONDS, 0.05)

    @staticmethod
    def quiet(device):
        folder = json.loads(device.cli("status", "--json"))["folders"][0]
        return not (folder["files_unsealed"] or folder["records_held"] or
                    folder["bundles_waiting"])


class Shared:
    """The same of a folder that the Syncthing devices share."""

    def __init__(self, devices, top, name, case_sensitive):
        self.devices, self.name = devices, name
        self.here, self.there = (top / f"{name}-{d.name}" for d in devices)
        for device, path in zip(devices, (self.here, self.there)):
            path.mkdir()
            device.ask("PUT", f"config/folders/{name}", {
                "id": name, "label": name, "path": str(path), "type": "sendreceive",
                "fsWatcherEnabled": True, "fsWatcherDelayS": 1, "rescanIntervalS": 3600,
                "caseSensitiveFS": case_sensitive, "minDiskFree": {"value": 0, "unit": "%"},
                "devices": [{"deviceID": d.id} for d in devices]})

    def seed(self, name, number):
        """The same files on both sides, found equal: making them one by one takes minutes.

        They are made elsewhere and appear at once, before a watcher could carry them over.
        """
        made = [path.parent / f"{path.name}.seed" for path in (self.here, self.there)]
        make_files(made[0], number)
        shutil.copytree(*made)
        for source, path in zip(made, (self.here, self.there)):
            os.rename(source, path / name)
        for device in self.devices:
            device.ask("POST", f"db/scan?folder={self.name}")

    def rest(self):
        wait_for(f"{self.name} at rest", lambda: all(d.idle(self.name) for d in self.devices),
                 RENAME_SECONDS, 0.1)


def make_files(path, number):
    path.mkdir()
    for k in range(number):
        (path / f"f{k:06d}").write_bytes(k.to_bytes(8, "big") + os.urandom(FILE_BYTES - 8))


def one_file(folder, tag):
    """Seconds from before the file is written here until it stands there."""
    name = f"one-{tag}"
    data = os.urandom(FILE_BYTES)
    there = str(folder.there / name)

    def stands():
        try:
            return os.stat(there).st_size == FILE_BYTES
        except FileNotFoundError:
            return False

    begun = time.monotonic()
    with open(folder.here / name, "wb") as f:
        f.write(data)
    wait_for(f"{folder.name}: {name}", stands, FILE_SECONDS, 0.0001)
    return time.monotonic() - begun


def rename(folder, old, new, number):
    """Seconds until all names stand there: until the first listing with all begins, and ends."""
    there = str(folder.there / new)
    last = str(folder.there / new / f"f{number - 1:06d}")
    looked = begun = time.monotonic()

    def complete():
        nonlocal looked
        looked = time.monotonic()
        return count(there) >= number

    os.rename(folder.here / old, folder.here / new)
    wait_for(f"{folder.name}: {new}", lambda: os.path.exists(last), RENAME_SECONDS, 0.0001)
    wait_for(f"{folder.name}: all of {new}", complete, RENAME_SECONDS, 0.001)
    return looked - begun, time.monotonic() - begun


def arguments(parser):
    parser.add_argument("--samples", type=int, default=20, help="files (20)")
    parser.add_argument("--files", type=int, default=10000, help="in the directory (10,000)")
    parser.add_argument("--renames", type=int, default=3, help="of the directory (3)")
    parser.add_argument("--installed-renames", type=int, default=1,
                        help="of them with Syncthing as installed, minutes each (1)")


def tell(values):
    """The ratio of the medians to the aims."""
    ours = {what: sorted(values["peerfs", what]) for what in AIMS}
    for (name, what), theirs in values.items():
        if name != "peerfs" and theirs:
            times = sorted(theirs)[len(theirs) // 2] / ours[what][len(ours[what]) // 2]
            aim = f", aim {AIMS[what]}" if AIMS[what] else ""
            print(f"# {what}: {times:.0f} times as fast as {name}{aim}")


def warm_up(folders):
    """Until watchers watch: the first files may take until a scan finds them."""
    for folder in folders:
        for k in range(3):
            one_file(folder, f"warm{k}")
        folder.rest()


def measure(options):
    if not shutil.which("syncthing"):
        sys.exit("merge: no syncthing here; apt-get install syncthing")
    with scratch("merge.", options.dir) as top, two(options.build, top) as devices, \
            syncthings(top) as others:
        installed = Shared(others, top, "syncthing", False)
        folders = [Peerfs(devices), Shared(others, top, "syncthing-casesensitive", True), installed]
        for folder in folders:
            folder.rest()
        warm_up(folders)
        values = {(folder.name, what): [] for folder in folders for what in AIMS}

        def note(folder, what, seconds):
            values[folder.name, what].append(seconds)
            show(f"{folder.name}-{what}", seconds, "s")

        for k in range(options.samples):
            for folder in folders:
                note(folder, "file", one_file(folder, k))
                folder.rest()
        for folder in folders:
            folder.seed("d0", options.files)
            wait_for(f"{folder.name}: the files",
                     lambda f=folder: count(f.there / "d0") >= options.files, RENAME_SECONDS, 0.05)
            folder.rest()
        for k in range(options.renames):
            for folder in folders:
                if folder is not installed or k < options.installed_renames:
                    seen, listed = rename(folder, f"d{k}", f"d{k + 1}", options.files)
                    note(folder, "rename", seen)
                    note(folder, "rename-listed", listed)
                    folder.rest()
        tell(values)
