# SPDX-License-Identifier: MIT
"""What a daemon publishes, read by the parsers that Prometheus' users have.

    metrics.py get URL              prints every sample, "NAME{LABEL="VALUE",...} VALUE", in order; fails if
                                    one of the two formats is not well-formed, or if they do not say the same
    metrics.py names URL            prints "TYPE NAME LABEL,..." of each family
    metrics.py grows OLD NEW        compares two outputs of get: prints the counters that have stepped back
    metrics.py dashboard FILE URL...  prints what the queries of a Grafana dashboard name that is not there
    metrics.py hostile URL          connects a thousand times, and asks for nothing, or for nonsense, while
                                    /readyz is asked for; prints how long the slowest answer took, in seconds
"""

import json
import re
import resource
import socket
import sys
import time
import urllib.request
from urllib.parse import urlsplit

OPEN = "application/openmetrics-text; version=1.0.0"
SUFFIXES = re.compile(r"_(total|bucket|sum|count|info)$")


def fetch(url, accept="*/*"):
    request = urllib.request.Request(url + "/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def families(url):
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as open_parser

    text, kind = fetch(url)
    open_text, open_kind = fetch(url, OPEN)
    assert kind.startswith("text/plain; version=0.0.4"), kind
    assert open_kind.startswith("application/openmetrics-text"), open_kind
    plain = list(parser.text_string_to_metric_families(text))
    openly = list(open_parser.text_string_to_metric_families(open_text))
    shown = lambda all_of_them: sorted({(s.name, str(sorted(s.labels))) for f in all_of_them for s in f.samples})
    assert shown(plain) == shown(openly), "the formats differ"
    for family in plain:
        assert family.documentation, family.name
    return plain


def line(sample):
    labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}} {sample.value:.15g}"


def get(url):
    for family in families(url):
        for sample in family.samples:
            print(line(sample))


def names(url):
    for family in families(url):
        name = family.name + "_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels if label != "le"})
        print(family.type, name, ",".join(labels))


def grows(old, new):
    def counters(file):
        with open(file, encoding="utf-8") as lines:
            split = (entry.rsplit(" ", 1) for entry in lines if re.match(r"\w+_(total|bucket|sum|count)\{", entry))
            return {name: float(value) for name, value in split}

    before, after = counters(old), counters(new)
    assert len(before) > 50, "found no counters"
    for name, value in before.items():
        if after.get(name, -1) < value:
            print(f"{name}: {value:g}, then {after.get(name)}")


def queries(node):
    if isinstance(node, dict):
        if node.get("type") == "datasource":
            return
        for key, value in node.items():
            if key in ("expr", "query", "definition") and isinstance(value, str):
                yield value
            yield from queries(value)
    elif isinstance(node, list):
        for value in node:
            yield from queries(value)


def dashboard(file, *urls):
    labels_of = {}
    for url in urls:
        for family in families(url):
            for sample in family.samples:
                labels_of.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    with open(file, encoding="utf-8") as text:
        found = sorted(set(queries(json.load(text))))
    assert len(found) > 20, "found no queries"
    for query in found:
        used = re.findall(r"smuxshim_\w+", query)
        known = set().union(*(labels_of.get(name, set()) for name in used))
        for name in used:
            if name not in labels_of:
                print(f"{query}: there is no {name}")
        named = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!=|!~|=)", query))
        for group in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", query):
            named.update(part.strip() for part in group.split(",") if part.strip())
        for name in sorted(named - known):
            print(f"{query}: no label {name}")
        if not used:
            print(f"{query}: names no metric")


def ready(url):
    begin = time.monotonic()
    with urllib.request.urlopen(url + "/readyz", timeout=10) as answer:
        assert answer.read() == b"ok\n"
    return time.monotonic() - begin


def hostile(url):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    address = (urlsplit(url).hostname, urlsplit(url).port)
    sayings = [b"", b"\x16\x03\x01\x02\x00", b"GET /metrics HTTP/1.1\r\nHost: ", b"GET " + b"/" * 20000,
               b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"\r\n" * 50,
               b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 3000, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"]
    crowd, slowest = [], 0
    for i in range(1000):
        s = socket.socket()
        s.connect(address)
        try:
            s.sendall(sayings[i % len(sayings)])
        except OSError:
            pass  # it has been closed already
        crowd.append(s)
        if i % 50 == 49:
            slowest = max(slowest, ready(url))
    for s in crowd[-40:]:  # headers that do not end
        try:
            s.sendall(b"X")
        except OSError:
            pass
    slowest = max(slowest, ready(url))
    print(f"{slowest:.3f}")


if __name__ == "__main__":
    commands = {"get": get, "names": names, "grows": grows, "dashboard": dashboard, "hostile": hostile}
    commands[sys.argv[1]](*sys.argv[2:])
