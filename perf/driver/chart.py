"""Charts in one SVG, written by hand from the document: no library, and the same bytes for the same figures."""

from html import escape
from math import ceil, floor, log10

from .report import figure, loop_works, metric, middle

COLOURS = {"A": "#8a8f98", "B": "#d9541e"}
WIDTH = 1080
LABEL = 220
BAR = 13
STEP = 40
# Below it a figure is other work's noise: what is written while something is only read.
LEAST = {"written_bytes": 16}
PERCENTILES = ["p10", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99"]
STYLE = "text{font:12px sans-serif;fill:#222}.h{font-size:15px;font-weight:bold}.s{font-size:10px;fill:#666}"


def draw(document):
    """The whole picture."""
    panels = [legend(document)]
    loops = loop_works(document)
    for name in ["cpu_us", "throughput", "p99_us", "written_bytes", "switches"]:
        panels.append(bars(document, loops, name))
    panels.append(bars(document, document["works"], "bytes_each"))
    panels.append(latencies(document, loops))
    panels.append(memory(document))
    panels.append(series(document))
    body, top = [], 10
    for parts, height in panels:
        if parts:
            body.append(f'<g transform="translate(0,{top})">' + "".join(parts) + "</g>")
            top += height + 20
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}">'
            f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(body)}</svg>\n')  # fmt: skip


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>'


def line(points, colour):
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'


def rule(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def legend(document):
    parts = []
    for index, side in enumerate("AB"):
        server = document["servers"][side]
        parts.append(rectangle(10, 8 + index * 20, 14, 14, COLOURS[side]))
        parts.append(text(30, 20 + index * 20, f"{side}: {server['name']} ({server['version']})"))
    machine = document["machine"]
    parts.append(text(10, 62, f"{document['begun'][:16]}, commit {document['commit']}, {machine['cpu']}, {machine['cores']} cores, "
                              f"Linux {machine['kernel']}; medians of {document['rounds']} round(s)", "s"))  # fmt: skip
    return parts, 70


def bars(document, works, name):
    """Two bars for each work, the longer one as long as the panel is wide."""
    _, heading, unit, less = metric(name)
    parts = [text(10, 14, f"{heading} ({unit or 'number'}; {'less' if less else 'more'} is better; each work to its own scale)", "h")]
    top = 28
    for work in works:
        found = {side: middle(document, work, side, name) for side in "AB"}
        largest = max((value for value in found.values() if value), default=0)
        if largest <= LEAST.get(name, 0):
            continue
        parts.append(text(10, top + BAR + 4, work))
        for index, side in enumerate("AB"):
            if found[side] is None:
                continue
            y = top + index * (BAR + 1)
            width = (WIDTH - LABEL - 160) * found[side] / largest
            parts.append(rectangle(LABEL, y, width, BAR, COLOURS[side]))
            share = f"  ({found['B'] / found['A']:.3g} of A)" if side == "B" and found["A"] else ""
            parts.append(text(LABEL + width + 6, y + BAR - 2, figure(found[side]) + share, "s"))
        top += STEP
    return (parts, top) if top > 28 else ([], 0)


def latencies(document, works):
    """Small multiples: latency by percentile, one curve for each round."""
    columns, width, height, parts = 3, WIDTH / 3, 190, []
    parts.append(text(10, 14, "latency by percentile (logarithmic), one curve for each round", "h"))
    for index, work in enumerate(works):
        left, top = (index % columns) * width, 30 + (index // columns) * (height + 30)
        parts += one_latency(document, work, left + 50, top + 16, width - 70, height - 30)
    return (parts, 30 + ceil(len(works) / columns) * (height + 30)) if works else ([], 0)


def one_latency(document, work, left, top, width, height):
    curves = [(run["side"], [run["raw"]["latency_ns"][name] / 1e3 for name in PERCENTILES])
              for run in document["runs"] if run["work"] == work and run["raw"].get("latency_ns")]  # fmt: skip
    everything = [value for _, curve in curves for value in curve if value > 0]
    if not everything:
        return []
    low, high = floor(log10(min(everything))), max(ceil(log10(max(everything))), floor(log10(min(everything))) + 1)
    place = lambda value: top + height * (1 - (log10(max(value, 10**low)) - low) / (high - low))  # noqa: E731
    step = width / (len(PERCENTILES) - 1)
    parts = [text(left, top - 6, work)]
    for power in range(low, high + 1):
        parts.append(rule(left, place(10**power), left + width, place(10**power)))
        parts.append(text(left - 4, place(10**power) + 3, duration(10**power), "s", "end"))
    for index, name in enumerate(PERCENTILES):
        parts.append(text(left + index * step, top + height + 12, name, "s", "middle"))
    for side, curve in curves:
        parts.append(line([(left + index * step, place(value)) for index, value in enumerate(curve)], COLOURS[side]))
    return parts


def duration(microseconds):
    if microseconds < 1000:
        return f"{microseconds:g} µs"
    return f"{microseconds / 1000:g} ms" if microseconds < 1_000_000 else f"{microseconds / 1_000_000:g} s"


def memory(document):
    """Anonymous and file-backed memory where it was left to rest."""
    parts = [text(10, 14, "resident memory (MiB): anonymous dark, file-backed light", "h")]
    top = 28
    for work in ["fill_100k", "memory_100k", "fill_1m", "restart_1m"]:
        found = {(side, name): middle(document, work, side, name) for side in "AB" for name in ["rss_anon_mib", "rss_file_mib"]}
        sums = [sum(found[side, name] or 0 for name in ["rss_anon_mib", "rss_file_mib"]) for side in "AB"]
        if not any(sums):
            continue
        parts.append(text(10, top + BAR + 4, work))
        scale = (WIDTH - LABEL - 160) / max(sums)
        for index, side in enumerate("AB"):
            anonymous, file = found[side, "rss_anon_mib"] or 0, found[side, "rss_file_mib"] or 0
            y = top + index * (BAR + 1)
            parts.append(rectangle(LABEL, y, anonymous * scale, BAR, COLOURS[side]))
            parts.append(f'<g opacity="0.4">{rectangle(LABEL + anonymous * scale, y, file * scale, BAR, COLOURS[side])}</g>')
            parts.append(text(LABEL + sums[index] * scale + 6, y + BAR - 2, f"{figure(anonymous)} + {figure(file)}", "s"))
        top += STEP
    return (parts, top) if top > 28 else ([], 0)


def series(document):
    """Anonymous memory while the slow lists run."""
    runs = [run for run in document["runs"] if run["raw"].get("rss_anon_series")]
    if not runs:
        return [], 0
    left, top, width, height = 60, 30, WIDTH - 90, 200
    longest = max(len(run["raw"]["rss_anon_series"]) for run in runs)
    highest = max(max(run["raw"]["rss_anon_series"]) for run in runs) or 1
    parts = [text(10, 14, "anonymous memory while five clients list slowly (MiB, by seconds)", "h")]
    for share in [0, 0.25, 0.5, 0.75, 1]:
        y = top + height * (1 - share)
        parts.append(rule(left, y, left + width, y))
        parts.append(text(left - 4, y + 3, figure(highest * share / (1 << 20)), "s", "end"))
    for share in [0, 0.25, 0.5, 0.75, 1]:
        parts.append(text(left + width * share, top + height + 14, f"{longest * share / 10:.0f} s", "s", "middle"))
    for run in runs:
        seen, points = 0, []
        for index, value in enumerate(run["raw"]["rss_anon_series"]):
            seen = value or seen
            points.append((left + width * index / max(longest - 1, 1), top + height * (1 - seen / highest)))
        parts.append(line(points, COLOURS[run["side"]]))
    return parts, top + height + 20
