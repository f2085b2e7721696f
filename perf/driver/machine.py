"""What a result has to say about where it was made, and where the servers are found."""

import os
import platform
import subprocess
from pathlib import Path

from .server import Failed

PERF = Path(__file__).resolve().parent.parent
ROOT = PERF.parent


def find_server(text):
    """Name and binary of `etcd`, `ringbolt` or a path."""
    if text == "ringbolt":
        candidates = [Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "ringbolt"]
        cure = "build it: cargo build --release"
    elif text == "etcd":
        folder = Path(os.environ.get("RINGBOLT_ORACLE_DIR", ROOT / "tests" / "oracle" / "bin"))
        candidates = [folder / "etcd", folder / "server"]
        cure = "set RINGBOLT_ORACLE_DIR to the folder with etcd's server, or run tests/run once"
    else:
        candidates, cure = [Path(text)], "give a path that exists"
    for candidate in candidates:
        if candidate.is_file():
            return (text if text in ("etcd", "ringbolt") else candidate.name), candidate.resolve()
    raise Failed(f"no server at {' or '.join(map(str, candidates))}; {cure}")


def version(binary):
    """The line of --version with the server's own version: ringbolt prints the one of the etcd that it stands for first."""
    done = subprocess.run([str(binary), "--version"], capture_output=True, text=True)
    lines = (done.stdout or done.stderr).strip().splitlines() or ["unknown"]
    return next((line for line in lines if line.startswith("ringbolt Version")), lines[0])


def commit(folder):
    """Short hash, with a mark when tracked files outside perf/results were changed."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True).stdout.strip()

    hash_text = git("rev-parse", "--short=10", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)perf/results")
    return hash_text + ("-changed" if changed else "")


def describe(data):
    """CPU, memory, kernel, disk."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) * 1024 for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    Path(data).mkdir(parents=True, exist_ok=True)
    found = subprocess.run(["findmnt", "-n", "-o", "SOURCE,FSTYPE,OPTIONS", "-T", str(data)], capture_output=True, text=True)
    source, _, rest = found.stdout.strip().partition(" ")
    return {
        "cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory, "kernel": platform.release(),
        "disk": {"source": source, "mount": rest.strip(), **queue(source)}, "load_before": os.getloadavg()[0],
    }  # fmt: skip


def queue(source):
    """What the block layer says about the disk that a file system lies on."""
    name = Path(source).name
    folder = Path("/sys/class/block") / name
    if (folder / "partition").exists():
        folder = folder.resolve().parent
    facts = {}
    for fact in ["rotational", "write_cache", "scheduler", "logical_block_size"]:
        file = folder / "queue" / fact
        if file.exists():
            facts[fact] = file.read_text().strip()
    return facts
