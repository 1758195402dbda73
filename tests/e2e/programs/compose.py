# SPDX-License-Identifier: MIT
"""Turns the services of a compose file and their Containerfile into pods for pods.py, as far as examples/
containers needs it: entry points, commands, users, health checks, volumes, secrets.

    compose.py COMPOSE CONTAINERFILE        prints the manifests
"""
import json
import os
import re
import sys

import yaml

compose_file, container_file = sys.argv[1:3]
compose = yaml.safe_load(open(compose_file))
top = os.path.dirname(compose_file)


def read_stages():
    """Of each stage what it inherits and adds: USER, ENTRYPOINT, HEALTHCHECK and the files it copies from the tree."""
    stages, stage = {}, {}
    text = re.sub(r"\\\n", " ", open(container_file).read())
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.split()
            stage = stages[name] = {"copied": [], **stages.get(base, {})}
            stage["copied"] = list(stage["copied"])
        elif word == "COPY" and not rest.startswith("--from"):
            stage["copied"].append(rest.split())
        elif word == "HEALTHCHECK":
            stage[word] = json.loads(rest.partition("CMD ")[2])
        elif word == "ENTRYPOINT":
            stage[word] = json.loads(rest)
        elif word == "USER":
            stage[word] = rest
        elif word not in ("", "#", "ARG", "RUN", "COPY", "EXPOSE"):
            raise SystemExit(f"compose.py: unknown instruction {word}")
    return stages


stages = read_stages()
for name, service in compose["services"].items():
    stage = stages[service["build"]["target"]]
    user, group = map(int, service.get("user", stage["USER"]).split(":"))
    volumes, mounts, maps = [], [], []

    def mount(kind, volume, path, read_only=True):
        volumes.append({"name": f"v{len(volumes)}", kind: volume})
        mounts.append({"name": f"v{len(mounts)}", "mountPath": path, "readOnly": read_only})

    def mount_file(source, folder):
        maps.append({"kind": "ConfigMap", "metadata": {"name": f"{name}-{len(maps)}"},
                     "data": {os.path.basename(source): open(source).read()}})
        mount("configMap", {"name": maps[-1]["metadata"]["name"]}, folder.rstrip("/"))

    for source, to in stage["copied"]:
        mount_file(f"{top}/{service['build']['context']}/{source}", to)
    if service.get("secrets"):
        mount("secret", {"secretName": "compose", "defaultMode": 0o400}, "/run/secrets")
    for volume in service.get("volumes", []):
        source, path, *mode = volume.split(":")
        if source in compose["volumes"]:
            mount("hostPath", {"path": f"/{source}", "type": "Directory"}, path, False)
        else:
            mount_file(f"{top}/{source}", os.path.dirname(path))
    container = {
        "name": name,
        "command": service.get("entrypoint", stage.get("ENTRYPOINT", [])),
        "args": service.get("command", []),
        "env": [{"name": key, "value": value} for key, value in service.get("environment", {}).items()],
        "securityContext": {"runAsUser": user, "runAsGroup": group, "readOnlyRootFilesystem": service.get("read_only", False),
                            "allowPrivilegeEscalation": False, "capabilities": {"drop": service.get("cap_drop", ["ALL"])}},
        "volumeMounts": mounts,
        "readinessProbe": {"exec": {"command": stage["HEALTHCHECK"]}} if "HEALTHCHECK" in stage else None,
    }
    pod = {"kind": "Pod", "metadata": {"name": name}, "spec": {"securityContext": {"fsGroup": group}, "containers": [container],
                                                               "volumes": volumes}}
    print(yaml.safe_dump_all([*maps, pod], explicit_start=True), end="")
