"""The works: what is put in beforehand, what is run, in which order, on which server.

Works that need the same data share a server and are run in order (a group). Whatever changes a server by as much as it is fast
comes after what only reads, so that both servers hold the same data when they are read.
"""

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace

from . import kube, machine
from .server import Failed, load


@dataclass(frozen=True)
class Data:
    """Keys and values that a group puts in first."""

    prefix: str
    keys: int
    group: int
    value_bytes: int
    scatter: int = 0

    def options(self):
        return {"prefix": self.prefix, "keys": self.keys, "group": self.group, "value_bytes": self.value_bytes}

    def key_zero(self):
        return {"prefix": self.prefix, "group": self.group}


@dataclass(frozen=True)
class Work:
    """One row of the table."""

    name: str
    group: str
    what: str
    load: str = ""
    connections: int = 1
    streams: int = 1
    # Open loop: the share of the reference server's closed-loop rate that operations arrive at.
    share: float = 0.0
    rate_of: str = ""
    # Whether a server may refuse operations because they are too many: it is said in the remarks, and is a failure elsewhere.
    refusals: bool = False
    # Further options of the load generator.
    more: dict = field(default_factory=dict)


WORKS = [
    Work("get_linearizable_100x10", "kv", "linearizable get of a random key", "get", 100, 10),
    Work("get_serializable_100x10", "kv", "serializable get of a random key", "get-serializable", 100, 10),
    Work("put_1x1", "kv", "put of a random key", "put", 1, 1),
    Work("put_100x10", "kv", "put of a random key", "put", 100, 10),
    Work("guarded_100x10", "kv", "guarded update: linearizable get, then txn {mod revision equal → put}", "guarded", 100, 10),
    Work("mix_100x10", "kv", "50 % linearizable get, 15 % serializable get, 5 % list of 50 keys, 20 % put, 10 % guarded update",
         "mix", 100, 10),
    Work("get_linearizable_open_50", "kv", "the same, arriving at half of the reference's closed-loop rate", "get", 100,
         share=0.5, rate_of="get_linearizable_100x10"),
    Work("put_open_50", "kv", "the same, arriving at half of the reference's closed-loop rate", "put", 100,
         share=0.5, rate_of="put_100x10"),
    Work("put_open_80", "kv", "the same, arriving at 80 % of the reference's closed-loop rate", "put", 100,
         share=0.8, rate_of="put_100x10"),
    Work("mix_open_50", "kv", "the same, arriving at half of the reference's closed-loop rate", "mix", 100,
         share=0.5, rate_of="mix_100x10"),
    Work("fill_100k", "list", "every key put once, in order, 100×10 in flight"),
    Work("list_namespace_10x1", "list", "list of one random namespace of keys", "list", 10, 1),
    Work("page_10x1", "list", "first page of 500 pairs over all keys, with `more` and `count`", "page", 10, 1),
    Work("count_10x1", "list", "count of all keys", "count", 10, 1),
    Work("memory_100k", "list", "memory after the runs above, every key put again, gets, and a rest"),
    Work("fill_1m", "million", "every key put once, in scattered order, 100×10 in flight"),
    Work("restart_1m", "million", "SIGKILL right after puts; start → first linearizable read (page cache warm unless --cold)"),
    Work("compaction_1m", "million", "every key put again; puts at 2000/s while all old revisions are compacted, against the same without"),
    Work("snapshot_2g", "snapshot", "puts at 1000/s while etcdctl saves snapshots of 2 GiB one after the other, against the same without"),
    Work("kube_200x20", "kube", "Kubernetes API machinery: 200 writers create, update 8× and delete objects, 20 watchers look on"),
    Work("slow_lists", "lists", "five concurrent lists of everything, each read at 50 MB/s: memory above baseline"),
    Work("watch_1x1000", "watch", "1,000 watchers of one prefix on one stream, puts to it at 100/s; an operation is an event delivered to one "
         "watcher, and its CPU has the puts in it (one for 1,000 deliveries); latency from the put being due", "watch", 1, 1,
         more={"each": 1000, "rate": 100}),
    Work("watch_1000x1", "watch", "the same 1,000 watchers, each on a connection of its own, puts at 25/s", "watch", 1000, 1,
         more={"each": 1, "rate": 25}),
    Work("lease_keepalive", "lease", "10,000 leases renewed in turn on 100 streams, a connection each, 10 renewals in flight on each stream (a client "
         "sends all that are due in one go)", "keepalive", 100, 10, more={"each": 100}),
    Work("lease_keepalive_single", "lease", "the same with one renewal in flight on each stream", "keepalive", 100, 1, more={"each": 100}),
    Work("lease_grant_50x1", "lease", "LeaseGrant, the server chooses the number", "lease-grant", 50, 1),
    Work("put_100x1", "connections", "put of a random key", "put", 100, 1),
    Work("put_1000x1", "connections", "put of a random key", "put", 1000, 1),
    Work("put_10000x1", "connections", "put of a random key; `too many requests` is counted apart, and its CPU is in that of the others",
         "put", 10_000, 1, refusals=True),
    Work("memory_watchers", "watchers", "100,000 watches of a key each on 100 streams of 10 connections: growth of RssAnon per watch, from before "
         "the first connection to after a rest", "hold-watches", 10, 10, more={"each": 1000}),
    Work("idle_connections", "idle", "5,000 connections, opened one after the other, make one linearizable get each and rest: "
         "growth of RssAnon per connection, from before the first to after the rest", "idle", 5000),
    Work("idle_tls", "idle_tls", "the same with 2,000 connections over TLS (whole handshakes)", "idle", 2000),
]
GROUPS = ["kv", "list", "million", "lists", "snapshot", "kube", "watch", "lease", "connections", "watchers", "idle", "idle_tls"]
# A server of these groups listens for TLS beside its plain port.
TLS_GROUPS = ["idle_tls"]

DATA = {
    "kv": Data("kv/", 100_000, 50, 256),
    "list": Data("registry/", 100_000, 1000, 1024),
    "million": Data("fill/", 1_000_000, 1000, 256, scatter=1),
    "lists": Data("large/", 100_000, 1000, 10_000),
    "snapshot": Data("backup/", 1_000_000, 1000, 2048),
    "kube": Data("beside/", 10_000, 1000, 1024),
    "watch": Data("watched/", 1_000, 100, 256),
    "lease": Data("leased/", 1_000, 100, 256),
    "connections": Data("kv/", 100_000, 50, 256),
    # Memory is read on a fresh server: one key, so that there is something to get.
    "watchers": Data("watched/", 1, 1, 256),
    "idle": Data("idle/", 1, 1, 256),
    "idle_tls": Data("idle/", 1, 1, 256),
}
QUICK = {"kv": 10_000, "list": 10_000, "million": 50_000, "lists": 5_000, "snapshot": 10_000, "kube": 1_000,
         "connections": 10_000}
# Quick: idle connections, and watches on each stream.
QUICK_CONNECTIONS = 500
QUICK_EACH = 100
REST_SECONDS = 10
# Works of the load generator that rest, and those that it drives with one thread.
HELD = ["idle", "hold-watches"]
ONE_THREAD = ["watch", "keepalive"]
SLOW_CLIENTS = 5
SLOW_PACE = 50_000_000
RESTARTS = 3
COMPACTION_RATE = 2000
COMPACTION_SECONDS = 20
SNAPSHOT_PUT_RATE = 1000
SNAPSHOT_SECONDS = 30
# What a server may need of memory for each byte that the slow lists ask for: etcd holds the pairs and their encoding.
LIST_MEMORY_FACTOR = 3


@dataclass
class Settings:
    """Options that the works heed."""

    seconds: float = 10.0
    warmup: float = 2.0
    quick: bool = False
    million: int = 0
    lists_bytes: int = 0
    cold: bool = False
    threads: int = 1
    seed: int = 1

    def data(self, group):
        data = DATA[group]
        if self.quick:
            keys = QUICK.get(group, data.keys)
            data = replace(data, keys=keys, group=min(data.group, max(1, keys // 10)))
        if group == "million" and self.million:
            data = replace(data, keys=self.million)
        if group == "lists" and self.lists_bytes:
            data = replace(data, keys=max(1, self.lists_bytes // data.value_bytes))
        return data


def fill(server, data, settings):
    """Puts all keys in, 100×10 in flight; few keys over few connections, so that a server stays fresh."""
    connections = min(100, max(1, data.keys // 10))
    answer = load("fill", target=server.target, pid=server.pid, connections=connections, streams=10,
                  threads=min(settings.threads, connections), scatter=data.scatter, seed=settings.seed, **data.options())  # fmt: skip
    expect_clean(answer)
    return answer


def expect_clean(answer):
    """An answer with errors in it is no measurement."""
    if answer["error_count"] or answer.get("unfinished"):
        raise Failed(f"{answer['work']}: {answer['error_count']} errors {answer['errors']}, "
                     f"{answer.get('unfinished', 0)} operations without an answer")  # fmt: skip


def expect_only_refusals(answer):
    """A closed loop with more in flight than a server admits: what it refuses is part of the result, all else is an error."""
    if any("etcdserver: too many requests" not in text for text in answer["errors"]) or answer["unfinished"]:
        expect_clean(answer)


def run_load(server, work, data, settings, rates):
    """One closed or open loop, or what is held."""
    if work.load in HELD:
        return hold(server, work, data, settings)
    options = {"connections": work.connections, "streams": work.streams}
    if work.share:
        options["rate"] = round(work.share * rates[work.rate_of], 1)
    threads = 1 if work.load in ONE_THREAD else min(settings.threads, work.connections)
    answer = load(work.load, target=server.target, pid=server.pid, seconds=settings.seconds, warmup=settings.warmup,
                  threads=threads, seed=settings.seed, **options, **work.more, **data.options())  # fmt: skip
    if work.refusals:
        expect_only_refusals(answer)
    elif not work.share:
        expect_clean(answer)  # an open loop may overrun a server: what it refuses is part of the result
    return answer


def calibrate(server, work, data, settings):
    """The reference's closed-loop rate, for a work whose open-loop rate hangs on it."""
    closed = next(each for each in WORKS if each.name == work.rate_of)
    short = replace(settings, seconds=max(1.0, settings.seconds / 3), warmup=min(1.0, settings.warmup))
    return run_load(server, closed, data, short, {})["throughput"]


def memory_100k(server, data, settings):
    """Every key once more, some gets, rest: what stays resident."""
    fill(server, data, settings)
    load("get", target=server.target, pid=server.pid, connections=100, streams=10, seconds=min(3.0, settings.seconds),
         warmup=0, **data.options())  # fmt: skip
    server.settle()
    time.sleep(1 if settings.quick else 5)
    return {"memory_after": server.memory(), "data_bytes": server.data_bytes()}


def restart(server, data, settings):
    """Kills it right after the last of some writes and starts it again, a few times."""
    seconds = []
    for _ in range(RESTARTS):
        load("put", target=server.target, connections=10, streams=10, seconds=1, warmup=0, **data.options())
        server.kill()
        if settings.cold:
            drop_caches()
        seconds.append(server.start(present=data.key_zero()))
        answer = load("count", target=server.target, pid=server.pid, seconds=0.1, warmup=0, **data.options())
        expect_clean(answer)  # all keys are there
    return {"restart_seconds": seconds, "memory_after": server.memory(), "data_bytes": server.data_bytes()}


def drop_caches():
    """Empties the page cache: needs root."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("1\n")


def compaction(server, data, settings):
    """The same open-loop puts twice: without and with a compaction that begins after a quarter of the window."""
    seconds = 4 if settings.quick else COMPACTION_SECONDS
    options = {"connections": 10, "rate": COMPACTION_RATE, "seconds": seconds, "warmup": settings.warmup}
    common = {"target": server.target, "pid": server.pid, "seed": settings.seed, **options, **data.options()}
    fill(server, data, settings)  # every key again: as many revisions to be thrown away
    server.settle()
    without = load("put", **common)
    during = load("put", **common, compact_at=seconds / 4)
    expect_clean(during)
    during["without"] = without
    return during


def slow_lists(server, data, settings):
    """Five readers of everything, each at its own slow pace."""
    wanted = data.keys * data.value_bytes * SLOW_CLIENTS * LIST_MEMORY_FACTOR
    available = next(int(line.split()[1]) * 1024 for line in open("/proc/meminfo") if line.startswith("MemAvailable"))
    if wanted > available and server.name.startswith("etcd"):
        raise Failed(f"needs up to {wanted >> 20} MiB of memory, {available >> 20} MiB are available: use --lists-bytes")
    server.settle()
    rollup_before = server.memory()
    answer = load("slow-lists", target=server.target, pid=server.pid, connections=SLOW_CLIENTS, read_pace=SLOW_PACE,
                  deadline=600, **data.options())  # fmt: skip
    expect_clean(answer)
    answer["rollup_before"], answer["rollup_after"] = rollup_before, server.memory()
    return answer


def save(server, folder, taken):
    """One snapshot with the stock client; appends bytes, seconds and the server's CPU seconds."""
    etcdctl = machine.find_server("etcd")[1].with_name("etcdctl")
    path = os.path.join(folder, "snapshot.db")
    command = [etcdctl, f"--endpoints={server.target}", "--dial-timeout=60s", "--command-timeout=600s", "snapshot", "save", path]
    cpu, begun = cpu_seconds(server.pid), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"etcdctl snapshot save: {done.stderr.strip()[-500:]}")
    taken.append({"bytes": os.path.getsize(path), "seconds": time.monotonic() - begun, "cpu_seconds": cpu_seconds(server.pid) - cpu})


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def snapshot(server, data, settings):
    """Snapshots alone, then the same open-loop puts without them and meanwhile. Saved to memory, so that the disk is the server's."""
    seconds = 4 if settings.quick else SNAPSHOT_SECONDS
    common = {"target": server.target, "pid": server.pid, "seed": settings.seed, "connections": 10, "rate": SNAPSHOT_PUT_RATE,
              "seconds": seconds, "warmup": settings.warmup, **data.options()}  # fmt: skip
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        alone, meanwhile, failures, over = [], [], [], threading.Event()
        for _ in range(3):
            save(server, folder, alone)
        without = load("put", **common)

        def one_after_the_other():
            try:
                while not over.is_set():
                    save(server, folder, meanwhile)
            except Failed as failed:
                failures.append(failed)

        saver = threading.Thread(target=one_after_the_other)
        saver.start()
        try:
            during = load("put", **common)
        finally:
            over.set()
            saver.join()
    if failures:
        raise failures[0]
    expect_clean(during)
    during["without"], during["snapshots"], during["snapshots_meanwhile"] = without, alone, meanwhile
    return during


def hold(server, work, data, settings):
    """Connections or watchers that do nothing: what they cost in memory."""
    options = {"connections": work.connections, "streams": work.streams, **work.more}
    if settings.quick:
        options["connections"] = min(work.connections, QUICK_CONNECTIONS)
        options["each"] = min(options.get("each", 1), QUICK_EACH)
    options["target"] = server.target
    if server.tls:
        options.update(target=server.tls_target, certificate=server.certificate)
    return load(work.load, pid=server.pid, seconds=2 if settings.quick else REST_SECONDS, **options, **data.key_zero())


SPECIAL = {"memory_100k": memory_100k, "restart_1m": restart, "compaction_1m": compaction, "slow_lists": slow_lists,
           "snapshot_2g": snapshot, "kube_200x20": kube.changes}
FILLS = {"list": "fill_100k", "million": "fill_1m"}


def run_group(server, group, names, settings, rates, reference, record, say):
    """Runs the chosen works of a group on a server that has just started; `record(work, answer)` takes each result."""
    data = settings.data(group)
    answer = fill(server, data, settings)
    if FILLS.get(group) in names:
        record(FILLS[group], answer)
    for work in WORKS:
        if work.group != group or work.name not in names or work.name == FILLS.get(group):
            continue
        server.settle()
        if work.share and work.rate_of not in rates:
            if not reference:
                say(f"  {work.name}: skipped, the reference's rate is unknown")
                continue
            rates[work.rate_of] = calibrate(server, work, data, settings)
            server.settle()
        if work.name in SPECIAL:
            answer = SPECIAL[work.name](server, data, settings)
        else:
            answer = run_load(server, work, data, settings, rates)
            if reference and not work.share and "throughput" in answer:
                rates.setdefault(work.name, answer["throughput"])
        server.check()
        record(work.name, answer)
