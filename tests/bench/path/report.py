# SPDX-License-Identifier: MIT
"""Medians, ratios and the table."""

import os
import platform
from statistics import median


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo") as info:
        gib = int(info.readline().split()[1]) / 1048576
    return (f"{len(os.sched_getaffinity(0))} cores ({model}), {gib:.0f} GiB, "
            f"Linux {platform.release()} {platform.machine()}")


def number(value):
    """Three significant digits, without an exponent."""
    if value is None:
        return "-"
    size = abs(value)
    if size == 0 or size >= 100:
        return f"{value:.0f}"
    return f"{value:.3f}" if size < 1 else f"{value:.2f}" if size < 10 else f"{value:.1f}"


def ratio(value):
    return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


class Results:
    """values[metric][path] is a list with a number for each round, or None where it failed."""

    def __init__(self):
        self.values = {}
        self.failures = []

    def add(self, path, values):
        for key, value in values.items():
            self.values.setdefault(key, {}).setdefault(path, []).append(value)

    def fail(self, scenario, path, error):
        self.failures.append((scenario, path, str(error)))

    def median(self, key, path):
        numbers = [value for value in self.values.get(key, {}).get(path, []) if value is not None]
        return median(numbers) if numbers else None

    def shown(self, metric, path):
        """What the table shows: the median, or its ratio to direct's median."""
        value = self.median(metric.key, path)
        if not metric.ratio or value is None:
            return value
        direct = self.median(metric.key, "direct")
        return value / direct if direct else None


def wanted(metric, path):
    """Whether it should have a value there. A relay's own cost is required of ours only: direct has none."""
    return path == metric.only if metric.only else metric.ratio or path.startswith("smuxshim")


def empty_cells(scenarios, paths_of, results):
    """What should have a value but has none."""
    return [f"{path}: {metric.key}" for scenario in scenarios for metric in scenario.metrics
            for path in paths_of(scenario) if wanted(metric, path) and results.median(metric.key, path) is None]


def verdict_tls(results, metric):
    """The targets for smuxshim-tls, and whether they are reached."""
    value = results.shown(metric, "smuxshim-tls")
    wishes = []
    for sign, factor, *path in metric.tls:
        other = results.shown(metric, path[0]) if path else 1
        bound = None if other is None or value is None else other * factor
        good = None if bound is None else (value >= bound if sign == ">=" else value <= bound)
        wishes.append((f"{sign} {factor:g} x {path[0]}" if path else f"{sign} {factor:g}", good))
    return told(wishes)


def verdict(results, metric, ours):
    """The target for smuxshim, and whether it is reached."""
    if ours == "smuxshim-tls":
        return verdict_tls(results, metric)
    value = results.shown(metric, ours)
    wishes = []
    if metric.target:
        sign, bound = metric.target
        good = None if value is None else (value >= bound if sign == ">=" else value <= bound)
        wishes.append((f"{sign} {bound:g}", good))
    rival = results.shown(metric, metric.beat) if metric.beat else None
    if rival is not None:
        times = f"{metric.by:g} x " if metric.by != 1 else ""
        good = None if value is None else value > rival * metric.by
        wishes.append((f"> {times}{metric.beat}", good))
    return told(wishes)


def told(wishes):
    words = {True: "", False: " MISSED", None: ""}
    return ", ".join(text + words[good] for text, good in wishes)


def our_column(metric, results):
    """Some rows are about a variant of ours."""
    for path in ("smuxshim", "smuxshim-eager"):
        if path in results.values.get(metric.key, {}):
            return path
    return "smuxshim"


def rows(scenarios, columns, results, judged):
    for scenario in scenarios:
        for metric in scenario.metrics:
            if metric.key not in results.values:
                continue
            ours = our_column(metric, results)
            cells = [f"{metric.label}" + (f" [{metric.unit}]" if metric.unit else "")]
            for column in columns:
                path = ours if column == "smuxshim" else column
                value = results.shown(metric, path)
                if column == "direct":
                    cells.append(number(results.median(metric.key, "direct")))
                else:
                    cells.append(ratio(value) if metric.ratio else number(value))
            if judged in columns:
                cells.append(verdict(results, metric, ours if judged == "smuxshim" else judged))
            yield cells


def table(scenarios, columns, results, judged="smuxshim"):
    """With the targets of the column `judged`, and whether it reaches them."""
    head = ["workload", *columns] + ([f"target for {judged}"] if judged in columns else [])
    lines = [head, *rows(scenarios, columns, results, judged)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    text = []
    for line in [lines[0], rule, *lines[1:]]:
        first, *others = (f"{cell:{'<' if i in (0, len(head) - 1) else '>'}{widths[i]}}"
                          for i, cell in enumerate(line))
        text.append("| " + " | ".join([first, *others]) + " |")
    return "\n".join(text)
