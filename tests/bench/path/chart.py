# SPDX-License-Identifier: MIT
"""Draws what `make bench BENCH="--json FILE"` has written: chart.py FILE.json >FILE.svg.

With --table it prints the README's rows instead: the same numbers, against direct TCP and against
two bare relays.
"""

import json
import math
import sys
from xml.sax.saxutils import escape

import report
import scenarios

CHART = {
    "iperf_one": "iperf3, 1 stream",
    "iperf_eight_back": "iperf3, 8 streams, reverse",
    "ab": "ab, short connections",
    "redis_GET_1": "redis GET, 50 clients",
    "redis_GET_16": "... pipelined by 16",
    "line_up": "bulk over a 50 ms path",
}
TABLE = {
    "iperf_one": "bulk data, 1 stream (iperf3)",
    "iperf_eight_back": "bulk data, 8 streams, reverse (iperf3)",
    "ab": "short connections, 16 at a time (ab)",
    "redis_GET_1": "small requests, 50 clients (redis-benchmark)",
    "ping_p50": "time of a 64-byte round trip, less is better",
}
# Path, its name, the colour of its bar and of the number after it.
SERIES = [
    ("smuxshim", "smuxshim", "#1f5fa8", "#1f5fa8"),
    ("bare", "two bare relays", "#7d8894", "#4d565f"),
    ("haproxy", "haproxy (one hop)", "#b9c1c9", "#4d565f"),
    ("go-smux", "relays on Go smux", "#e0a458", "#4d565f"),
]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 200, 60, 64, 44
BAR, GAP, SPACE = 11, 2, 14  # height of a bar, between two, between workloads
GROUP = len(SERIES) * (BAR + GAP) + SPACE
FONT = 'font-family="sans-serif"'


def metric_of(key):
    return next(metric for scenario in scenarios.ALL for metric in scenario.metrics if metric.key == key)


def text(x, y, words, size=12, anchor="start", colour="#24292f", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def bars(results, key, top, scale):
    """The bars of one workload; a path that could not run it has none."""
    for index, (path, _, colour, ink) in enumerate(SERIES):
        value = results.shown(metric_of(key), path)
        y = top + index * (BAR + GAP)
        if value is None:
            continue
        yield f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{BAR}" fill="{colour}"/>'
        yield text(LEFT + value * scale + 5, y + BAR - 1.5, report.ratio(value), 11, colour=ink,
                   weight="bold" if path == "smuxshim" else "normal")


def legend():
    x = LEFT
    for _, name, colour, _ in SERIES:
        yield f'<rect x="{x}" y="36" width="{BAR}" height="{BAR}" fill="{colour}"/>'
        yield text(x + BAR + 5, 46, name)
        x += 36 + 6.4 * len(name)


def axis(scale, bottom, limit):
    for tenth in range(0, round(limit * 10) + 1, 2):
        x = LEFT + tenth / 10 * scale
        is_direct = tenth == 10
        yield (f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="'
               f'{"#24292f" if is_direct else "#d8dee4"}" stroke-width="1"'
               f'{" stroke-dasharray=" + chr(34) + "4 3" + chr(34) if is_direct else ""}/>')
        yield text(x, bottom + 15, f"{tenth / 10:.1f}", 11, "middle", "#57606a")
    yield text(LEFT + scale, bottom + 31, "direct TCP", 11, "middle")


def chart(results, machine):
    shown = [results.shown(metric_of(key), path) or 0 for key in CHART for path, *_ in SERIES]
    limit = max(1.2, math.ceil(max(shown) * 5) / 5)
    scale = (WIDTH - LEFT - RIGHT) / limit
    bottom = TOP + len(CHART) * GROUP - SPACE + 6
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + BOTTOM}" '
             f'width="{WIDTH}" height="{bottom + BOTTOM}" {FONT}>',
             f'<rect width="{WIDTH}" height="{bottom + BOTTOM}" fill="#ffffff"/>',
             text(LEFT, 22, "Throughput, direct TCP = 1", 15, weight="bold"),
             *legend(), *axis(scale, bottom, limit)]
    for index, (key, label) in enumerate(CHART.items()):
        top = TOP + index * GROUP
        parts.append(text(LEFT - 10, top + len(SERIES) * (BAR + GAP) / 2 + 3, label, anchor="end"))
        parts += bars(results, key, top, scale)
    parts += [text(LEFT, bottom + 34, machine, 10, colour="#57606a"), "</svg>"]
    return "\n".join(parts)


def table(results):
    lines = ["| | against direct TCP | against two bare relays |", "|---|---|---|"]
    for key, label in TABLE.items():
        ours, bare = (results.shown(metric_of(key), path) for path in ("smuxshim", "bare"))
        over_bare = ours / bare if ours and bare else None
        lines.append(f"| {label} | {report.ratio(ours)} | {report.ratio(over_bare)} |")
    return "\n".join(lines)


def main(argv):
    if not argv or argv[0].startswith("-") or argv[1:] not in ([], ["--table"]):
        sys.exit("usage: chart.py FILE.json [--table]")
    with open(argv[0]) as file:
        measured = json.load(file)
    results = report.Results()
    results.values = measured["values"]
    print(table(results) if argv[1:] else chart(results, measured["machine"]))


if __name__ == "__main__":
    main(sys.argv[1:])
