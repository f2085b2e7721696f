"""Figures derived from raw counters, and the Markdown table of ratios.

A ratio is B / A of the medians over all rounds; what stands in brackets is the least and the greatest ratio of one round.
"""

from statistics import median

MIB = 1 << 20


def derive(raw, cores):
    """What the table shows of one run. Names end in their unit."""
    derived = {}
    growth, ended = raw.get("growth", {}), raw.get("ended", 0)
    if ended:
        server, client = growth["server_cpu_ns"], growth["client_cpu_ns"]
        rest = max(0.0, growth["machine_busy_ms"] * 1e6 - server - client)
        derived["cpu_us"] = server / ended / 1e3
        derived["client_cpu_us"] = client / ended / 1e3
        derived["rest_cpu_us"] = rest / ended / 1e3
        derived["client_share"] = client / growth["wall_ns"] / raw.get("threads", 1)
        derived["rest_share"] = rest / growth["wall_ns"] / cores
        derived["steal_share"] = growth.get("machine_steal_ms", 0) * 1e6 / growth["wall_ns"] / cores
        both = growth["server_user_ms"] + growth["server_system_ms"]
        derived["system_share"] = growth["server_system_ms"] / both if both else 0.0
        derived["throughput"] = raw["throughput"]
        derived["written_bytes"] = growth["io_write_bytes"] / ended
        derived["disk_bytes"] = growth["disk_write_bytes"] / ended
        derived["switches"] = (growth["switches_voluntary"] + growth["switches_involuntary"]) / ended
        for name, percentile in [("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9"), ("max_us", "max")]:
            derived[name] = raw["latency_ns"][percentile] / 1e3
        if raw.get("lateness_ns"):
            derived["lateness_p99_us"] = raw["lateness_ns"]["p99"] / 1e3
        derived["unfinished"] = raw["unfinished"]
        derived["refused_share"] = raw["error_count"] / (raw["error_count"] + ended)
    after = raw.get("memory_after", {})
    if after:
        derived["rss_anon_mib"] = after["rss_anon"] / MIB
        derived["rss_file_mib"] = after["rss_file"] / MIB
        derived["rss_mib"] = derived["rss_anon_mib"] + derived["rss_file_mib"]
    if "data_bytes" in raw:
        derived["data_mib"] = raw["data_bytes"] / MIB
    if "restart_seconds" in raw:
        derived["restart_ms"] = median(raw["restart_seconds"]) * 1e3
    if "memory_peak" in raw:
        derived["above_baseline_mib"] = (raw["memory_peak"]["rss_anon"] - raw["memory_before"]["rss_anon"]) / MIB
        derived["file_above_baseline_mib"] = (raw["memory_peak"]["rss_file"] - raw["memory_before"]["rss_file"]) / MIB
        derived["list_cpu_s"] = growth["server_cpu_ns"] / 1e9
        derived["list_s"] = growth["wall_ns"] / 1e9
    if "held" in raw:
        derived["bytes_each"] = (raw["memory_after"]["rss_anon"] - raw["memory_before"]["rss_anon"]) / raw["held"]
        derived["opened_bytes_each"] = (raw["memory_opened"]["rss_anon"] - raw["memory_before"]["rss_anon"]) / raw["held"]
    if "without" in raw:
        derived["p99_factor"] = raw["latency_ns"]["p99"] / raw["without"]["latency_ns"]["p99"]
    if "kube" in raw:
        derived["change_cpu_us"] = raw["kube"]["storage_cpu_us_per_change"]
        derived["changes_s"] = raw["kube"]["changes_per_s"]
    if "snapshots" in raw:
        derived["snapshot_mib_s"] = median(each["bytes"] / each["seconds"] for each in raw["snapshots"]) / MIB
        derived["snapshot_cpu_s_gib"] = median(each["cpu_seconds"] / each["bytes"] for each in raw["snapshots"]) * 1024 * MIB
    return derived


# Name, heading, unit, whether less is better.
METRICS = [
    ("cpu_us", "server CPU/op", "µs", True),
    ("throughput", "throughput", "/s", False),
    ("p50_us", "p50", "µs", True),
    ("p99_us", "p99", "µs", True),
    ("p999_us", "p99.9", "µs", True),
    ("written_bytes", "written/op", "B", True),
    ("switches", "switches/op", "", True),
    ("rss_anon_mib", "RssAnon", "MiB", True),
    ("rss_file_mib", "RssFile", "MiB", True),
    ("rss_mib", "RssAnon + RssFile", "MiB", True),
    ("restart_ms", "first read", "ms", True),
    ("above_baseline_mib", "RssAnon above baseline", "MiB", True),
    ("bytes_each", "RssAnon of each, after a rest", "B", True),
    ("opened_bytes_each", "RssAnon of each, before it", "B", True),
    ("list_cpu_s", "CPU", "s", True),
    ("p99_factor", "p99 meanwhile / without", "", True),
    ("snapshot_mib_s", "rate", "MiB/s", False),
    ("snapshot_cpu_s_gib", "CPU per GiB", "s", True),
    ("change_cpu_us", "storage CPU per change", "µs", True),
    ("changes_s", "object changes", "/s", False),
    ("data_mib", "data on disk", "MiB", True),
    ("disk_bytes", "disk writes/op (whole machine)", "B", True),
    ("client_cpu_us", "client CPU/op", "µs", True),
    ("rest_cpu_us", "other CPU/op (kernel, others)", "µs", True),
]
# Metrics of loops, which have a table of ratios to themselves; memory is of interest where data was put in and rested.
LOOP_METRICS = ["cpu_us", "throughput", "p50_us", "p99_us", "p999_us", "written_bytes", "switches", "rss_anon_mib", "rss_file_mib"]
DETAILS = ["client_cpu_us", "rest_cpu_us", "disk_bytes"]
SPECIAL = {
    "memory_100k": ["rss_anon_mib", "rss_file_mib", "rss_mib", "data_mib"],
    "restart_1m": ["restart_ms", "rss_anon_mib", "rss_file_mib", "rss_mib", "data_mib"],
    "compaction_1m": ["p99_factor"],
    "slow_lists": ["above_baseline_mib", "list_cpu_s"],
    "snapshot_2g": ["snapshot_mib_s", "snapshot_cpu_s_gib", "p99_factor"],
    "kube_200x20": ["change_cpu_us", "changes_s"],
    "memory_watchers": ["bytes_each", "opened_bytes_each"],
    "idle_connections": ["bytes_each", "opened_bytes_each"],
    "idle_tls": ["bytes_each", "opened_bytes_each"],
}
# Work, metric, bound, and what it binds: the ratio B / A, B alone, B's figure over B's of another work, or over another one of A.
TARGETS = [
    ("put_100x10", "cpu_us", "≤", 1 / 3, "ratio"),
    ("put_100x10", "throughput", "≥", 2.0, "ratio"),
    ("put_100x10", "p99_us", "≤", 1 / 2, "ratio"),
    ("put_1x1", "p50_us", "≤", 0.7, "ratio"),
    ("put_1x1", "cpu_us", "≤", 1 / 4, "ratio"),
    ("get_linearizable_100x10", "cpu_us", "≤", 1 / 3, "ratio"),
    ("get_serializable_100x10", "cpu_us", "≤", 1 / 3, "ratio"),
    ("page_10x1", "cpu_us", "≤", 1 / 8, "ratio"),
    ("count_10x1", "cpu_us", "≤", 1 / 200, "ratio"),
    ("guarded_100x10", "cpu_us", "≤", 1 / 3, "ratio"),
    ("put_100x10", "written_bytes", "≤", 0.8, "ratio"),
    ("memory_100k", "rss_anon_mib", "≤", 1 / 5, "rss_mib"),
    ("memory_100k", "rss_anon_mib", "≤", 1 / 5, "ratio"),
    ("restart_1m", "restart_ms", "≤", 1 / 10, "ratio"),
    ("slow_lists", "above_baseline_mib", "≤", 64.0, "alone"),
    ("compaction_1m", "p99_factor", "≤", 1.5, "alone"),
    ("snapshot_2g", "snapshot_mib_s", "≥", 1.5, "ratio"),
    ("snapshot_2g", "p99_factor", "≤", 1.5, "alone"),
    ("kube_200x20", "change_cpu_us", "≤", 1 / 3, "ratio"),
    ("watch_1x1000", "cpu_us", "≤", 1 / 5, "ratio"),
    ("watch_1000x1", "cpu_us", "≤", 1 / 3, "ratio"),
    ("lease_keepalive", "cpu_us", "≤", 1 / 4, "ratio"),
    ("lease_grant_50x1", "cpu_us", "≤", 1 / 3, "ratio"),
    ("put_10000x1", "throughput", "≥", 0.8, "of put_100x1"),
    ("memory_watchers", "bytes_each", "≤", 1 / 4, "ratio"),
    ("idle_connections", "bytes_each", "≤", 1 / 4, "ratio"),
    ("idle_tls", "bytes_each", "≤", 1 / 3, "ratio"),
]
CLIENT_SHARE_MAX = 0.9
REST_SHARE_MAX = 0.15


def metric(name):
    return next(each for each in METRICS if each[0] == name)


def values(document, work, side, name):
    """A metric of one side in each round that has it."""
    return {run["round"]: run["derived"][name] for run in document["runs"]
            if run["work"] == work and run["side"] == side and name in run["derived"]}  # fmt: skip


def middle(document, work, side, name):
    """Median over the rounds, or none."""
    found = values(document, work, side, name)
    return median(found.values()) if found else None


def ratio(document, work, name):
    """B / A: of the medians, and the least and greatest of one round."""
    a, b = values(document, work, "A", name), values(document, work, "B", name)
    if not a or not b or median(a.values()) == 0:
        return None
    each = [b[number] / a[number] for number in a.keys() & b.keys() if a[number]]
    return median(b.values()) / median(a.values()), min(each, default=0.0), max(each, default=0.0)


def figure(value):
    """Three significant digits, without an exponent."""
    if value is None:
        return "–"
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}" if magnitude >= 1 else f"{value:.3f}" if magnitude >= 0.001 else "0"


def ratio_text(found, rounds):
    if found is None:
        return "–"
    text = figure(found[0])
    return text if rounds == 1 else f"{text} ({figure(found[1])}–{figure(found[2])})"


def brief(derived):
    """One line for the terminal."""
    shown = [name for name in ["cpu_us", "throughput", "p50_us", "p99_us", "written_bytes", "client_cpu_us", "restart_ms",
                               "above_baseline_mib", "p99_factor", "rss_anon_mib",
                               "bytes_each", "opened_bytes_each", "change_cpu_us", "changes_s"] if name in derived]  # fmt: skip
    return ", ".join(f"{metric(name)[1]} {figure(derived[name])} {metric(name)[2]}".strip() for name in shown)


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    return [row(*head), "|" + "--|" * len(head), *rows, ""]


def markdown(document, chart_name):
    """The whole page."""
    servers, machine, rounds = document["servers"], document["machine"], document["rounds"]
    names = f"{servers['B']['name']} / {servers['A']['name']}"
    disk = machine["disk"]
    lines = [
        f"# {names}: {document['begun'][:10]}, commit {document['commit']}", "",
        f"A = {servers['A']['name']} ({servers['A']['version']}), B = {servers['B']['name']} ({servers['B']['version']}). "
        f"{rounds} round(s) of {document['settings']['seconds']:g} s each, A B A B, from {document['begun']} to {document['ended']}.", "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / (1 << 30):.1f} GiB, Linux {machine['kernel']}, "
        f"{disk['source']} ({disk['mount']}); load average before: {machine['load_before']:.2f}.", "",
        f"Command: `{document['command']}`", "", f"![charts]({chart_name})", "",
    ]  # fmt: skip
    lines += loops(document, names, rounds)
    lines += specials(document, rounds)
    lines += targets(document)
    lines += absolutes(document)
    lines += remarks(document)
    return "\n".join(lines)


def loop_works(document):
    return [work for work in document["works"] if middle(document, work, "A", "cpu_us") or middle(document, work, "B", "cpu_us")]


def loops(document, names, rounds):
    rows = [row(work, *(ratio_text(ratio(document, work, name), rounds) for name in LOOP_METRICS)) for work in loop_works(document)]
    if not rows:
        return []
    head = ["work", *(metric(name)[1] for name in LOOP_METRICS)]
    return [f"## Ratios {names}", "", "Throughput: more is better; all others: less is better. Works called `open` or `watch` have a fixed rate.", "",
            *table(head, rows)]  # fmt: skip


def specials(document, rounds):
    rows = []
    for work, shown in SPECIAL.items():
        for name in shown:
            a, b = middle(document, work, "A", name), middle(document, work, "B", name)
            if a is not None or b is not None:
                unit = metric(name)[2]
                rows.append(row(work, f"{metric(name)[1]} {unit}".strip(), figure(a), figure(b), ratio_text(ratio(document, work, name), rounds)))
    return ["## Memory, restart, compaction, snapshot", "", *table(["work", "figure", "A", "B", "B / A"], rows)] if rows else []


def bound_value(document, work, name, kind):
    """What a target binds, and its name."""
    if kind == "ratio":
        found = ratio(document, work, name)
        return (found[0] if found else None), "B / A"
    mine = middle(document, work, "B", name)
    if kind == "alone":
        return mine, f"B, {metric(name)[2]}".rstrip(", ")
    if kind.startswith("of "):
        other = middle(document, kind.removeprefix("of "), "B", name)
        return (mine / other if mine is not None and other else None), f"B / B's {kind.removeprefix('of ')}"
    other = middle(document, work, "A", kind)
    return (mine / other if mine is not None and other else None), f"B / A's {metric(kind)[1]}"


def targets(document):
    rows = []
    for work, name, sign, bound, kind in TARGETS:
        value, what = bound_value(document, work, name, kind)
        if value is None:
            continue
        met = value <= bound if sign == "≤" else value >= bound
        rows.append(row(work, metric(name)[1], f"{what} {sign} {figure(bound)}", figure(value), "met" if met else "**missed**"))
    return ["## Targets", "", *table(["work", "figure", "target", "here", ""], rows)] if rows else []


def absolutes(document):
    shown = LOOP_METRICS + DETAILS
    rows = []
    for work in loop_works(document):
        for side in "AB":
            cells = [figure(middle(document, work, side, name)) for name in shown]
            rows.append(row(work, side, *cells))
    head = ["work", "", *(f"{metric(name)[1]} {metric(name)[2]}".strip() for name in shown)]
    return ["## Figures (medians)", "", *table(head, rows)] if rows else []


def remarks(document):
    """What makes a figure doubtful, said beside it."""
    lines = ["## Remarks", ""]
    lines += [f"- `{work}`: {what}." for work, what in document["works"].items()]
    for group, data in document["data"].items():
        lines.append(f"- Data of group {group}: {data['keys']:,} keys in namespaces of {data['group']}, values of {data['value_bytes']:,} B.")
    for name, rate in document["rates"].items():
        lines.append(f"- Reference rate of {name}: {figure(rate)}/s (A, closed loop, first round).")
    for side in "AB":
        runs = [run for run in document["runs"] if run["side"] == side and "client_share" in run["derived"]]
        lines += doubtful(runs, side, "client_share", CLIENT_SHARE_MAX, "the client's thread was busy for more than 90 % of the time (its limit, not the server's)")
        lines += doubtful(runs, side, "rest_share", REST_SHARE_MAX, "something else than server and client took more than 15 % of the machine")
        lines += doubtful(runs, side, "refused_share", 0, "some operations were refused, mostly `too many requests` (not in the latencies)")
        lines += doubtful(runs, side, "unfinished", 0, "operations were without an answer 10 s after the end")
    noise = spread(document)
    if noise:
        lines.append(f"- Spread of A over its own rounds, (max − min) / median, median over the works: {noise}.")
    lines += [f"- **Failed**: {each['group']}, round {each['round']}, {each['side']}: {each['text']}" for each in document["failures"]]
    return [*lines, ""]


def doubtful(runs, side, name, bound, text):
    found = {}
    for run in runs:
        if run["derived"][name] > bound:
            found[run["work"]] = max(found.get(run["work"], 0), run["derived"][name])
    share = name.endswith("_share")
    works = [f"{work} ({value * 100:.0f} %)" if share else f"{work} ({value})" for work, value in sorted(found.items())]
    return [f"- {side}: {text}: {', '.join(works)}."] if works else []


def spread(document):
    parts = []
    for name in ["cpu_us", "throughput", "p50_us", "p99_us"]:
        found = [values(document, work, "A", name).values() for work in loop_works(document)]
        each = [(max(one) - min(one)) / median(one) for one in found if len(one) > 1 and median(one)]
        if each:
            parts.append(f"{metric(name)[1]} {median(each) * 100:.0f} %")
    return ", ".join(parts)
