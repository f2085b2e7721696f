"""Starting, watching and ending one server process.

A server is ended by its own process id, never by name, and gets a fresh data directory unless it is restarted on its old one.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PERF = Path(__file__).resolve().parent.parent
LOAD = PERF / "load" / "target" / "release" / "load"
START_SECONDS_MAX = 300
STOP_SECONDS_MAX = 30
QUOTA_BYTES = 64 << 30


class Failed(Exception):
    """A server or the load generator did not do what it should; the text says what."""


def build_load():
    """Builds the load generator; a no-op when nothing changed."""
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", PERF / "load" / "Cargo.toml"]
    subprocess.run(command, check=True)


def load(work, **options):
    """Runs the load generator and returns what it printed."""
    command = [str(LOAD), work]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[1:])}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def start_load(work, **options):
    """Starts the load generator and returns its process."""
    command = [str(LOAD), work]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Server:
    """One server on one data directory."""

    def __init__(self, name, binary, directory, extra=(), tls=False):
        self.name, self.binary, self.extra, self.tls = name, str(binary), list(extra), tls
        self.directory = Path(directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.client_port, self.peer_port, self.tls_port = free_ports(3)
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def target(self):
        return f"127.0.0.1:{self.client_port}"

    @property
    def tls_target(self):
        return f"127.0.0.1:{self.tls_port}"

    @property
    def certificate(self):
        return self.directory / "certificate.pem"

    def make_certificate(self):
        """A certificate of its own for the address that it listens on."""
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                   "-subj", "/CN=perf", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
                   "-keyout", str(self.directory / "key.pem"), "-out", str(self.certificate)]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise Failed("no openssl: it makes the certificate of the works over TLS") from None
        if done.returncode != 0:
            raise Failed(f"openssl req: {done.stderr.strip()[-500:]}")

    def arguments(self):
        client, peer = f"http://{self.target}", f"http://127.0.0.1:{self.peer_port}"
        tls = []
        if self.tls:
            client += f",https://{self.tls_target}"
            tls = ["--cert-file", str(self.certificate), "--key-file", str(self.directory / "key.pem")]
        return [
            "--name", "perf", "--data-dir", str(self.directory / "data"),
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"perf={peer}",
            "--quota-backend-bytes", str(QUOTA_BYTES), "--log-level", "warn", *tls, *self.extra,
        ]  # fmt: skip

    def start(self, present=None):
        """Starts it and waits for the first linearizable read; returns the seconds that it took from the start.

        `present`: options of the load generator that name a data set whose first key must be there.
        """
        if self.tls and not self.certificate.exists():
            self.make_certificate()
        probe = start_load("first-read", target=self.target, deadline=START_SECONDS_MAX,
                           present=int(present is not None), **(present or {}))  # fmt: skip
        time.sleep(0.05)  # the probe is trying when the server begins
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
        with open(self.directory / "log", "ab") as log:
            begun = time.monotonic_ns()
            self.process = subprocess.Popen([self.binary, *self.arguments()], stdout=log, stderr=log, env=environment)
        try:
            while probe.poll() is None:
                self.check()
                time.sleep(0.02)
        except BaseException:
            probe.kill()
            probe.wait()
            raise
        out, error = probe.communicate()
        if probe.returncode != 0:
            self.kill()
            raise Failed(f"{self.name} never answered: {error.strip()}\n{self.log_tail()}")
        return (json.loads(out)["answered_at_ns"] - begun) / 1e9

    def log_tail(self):
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-8:])

    def check(self):
        """Raises if it is gone."""
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended with {self.process.returncode}:\n{self.log_tail()}")

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM, and SIGKILL if that is not heeded; removes the data."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def memory(self):
        """Resident memory by kind, in bytes."""
        fields = {"RssAnon": "rss_anon", "RssFile": "rss_file", "RssShmem": "rss_shmem", "VmHWM": "rss_peak"}
        amounts = {fields[name]: value for name, value in read_kib(f"/proc/{self.pid}/status") if name in fields}
        kept = {"Pss": "pss", "Private_Dirty": "private_dirty", "Anonymous": "anonymous", "Locked": "locked"}
        rollup = f"/proc/{self.pid}/smaps_rollup"
        amounts.update({kept[name]: value for name, value in read_kib(rollup) if name in kept})
        return amounts

    def data_bytes(self):
        """Blocks that the data directory takes on disk."""
        files = (self.directory / "data").rglob("*")
        return sum(file.stat().st_blocks * 512 for file in files if file.is_file())

    def settle(self, seconds_max=15.0):
        """Waits until the server has done what it does behind its answers: its CPU is below 3 % of a core for half a second."""
        deadline = time.monotonic() + seconds_max
        quiet = 0
        before = self.cpu_seconds()
        while time.monotonic() < deadline and quiet < 5:
            time.sleep(0.1)
            self.check()
            now = self.cpu_seconds()
            quiet = quiet + 1 if now - before <= 0.003 else 0
            before = now

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_kib(path):
    """The `Name: 123 kB` lines of a file under /proc, in bytes."""
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        parts = value.split()
        if len(parts) == 2 and parts[1] == "kB":
            yield name, int(parts[0]) * 1024
