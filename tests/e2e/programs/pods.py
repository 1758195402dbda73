# SPDX-License-Identifier: MIT
"""Runs a pod of a Kubernetes manifest on this machine, in namespaces, as far as kubelet would see it.

    pods.py WORK POD STAGE HOSTS KIND/NAME MANIFEST...

Its network is the one that this program is started in. Each container has mount and PID namespaces, its
user, groups, capabilities and volumes. Its root is that of this machine with STAGE laid over it, so all
images are the same. WORK/POD keeps the volumes; WORK/secrets/NAME are the secrets, WORK/host what
hostPath names. HOSTS is /etc/hosts. Lines on stdout say what happens; SIGTERM ends the pod as kubelet
does. Fields of the manifest that are neither known here nor listed as without effect are an error.
"""
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import yaml

work, pod, stage, hosts, wanted = sys.argv[1:6]
RUN = """
w=$1 stage=$2 hosts=$3 read_only=$4
shift 4
mount --make-rprivate / 2>/dev/null || nsenter --mount=/proc/self/ns/mnt mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$w"
mkdir "$w/upper" "$w/work" "$w/root"
cp -a "$stage/." "$w/upper"
mount -t overlay -o "lowerdir=/,upperdir=$w/upper,workdir=$w/work" overlay "$w/root"
mount -t proc proc "$w/root/proc"
mount --rbind /dev "$w/root/dev"
mount --bind "$hosts" "$w/root/etc/hosts"
mount --bind /dev/null "$w/root/etc/resolv.conf"
while [ "$1" != -- ]; do # FROM TO MODE
    mkdir -p "$w/root$2"
    mount --bind "$1" "$w/root$2"
    mount -o "remount,bind,$3" "$w/root$2"
    shift 3
done
shift
[ "$read_only" != True ] || mount -o remount,bind,ro "$w/root"
exec chroot "$w/root" "$@"
"""
NO_EFFECT = {"name", "image", "resources", "ports", "automountServiceAccountToken", "topologySpreadConstraints",
             "seccompProfile", "sizeLimit", "medium", "type", "periodSeconds", "initialDelaySeconds"}


def say(*words):
    print(*words, flush=True)


def take(what, mapping, *known):
    """The values of the known keys, None for those that are missing."""
    unknown = set(mapping) - set(known) - NO_EFFECT
    if unknown:
        raise SystemExit(f"pods.py: {what}: unknown fields {', '.join(sorted(unknown))}")
    return [mapping.get(key) for key in known]


objects = {f"{d['kind']}/{d['metadata']['name']}": d for file in sys.argv[6:] for d in yaml.safe_load_all(open(file))}
top = objects[wanted]
spec = top["spec"] if top["kind"] == "Pod" else top["spec"]["template"]["spec"]
grace, pod_security, inits, mains, volumes = take(
    wanted, spec, "terminationGracePeriodSeconds", "securityContext", "initContainers", "containers", "volumes")
grace = grace or 30
GROUP = pod_security.get("fsGroup")


def write_files(folder, files, mode, group):
    os.makedirs(folder, exist_ok=True)
    for name, data in files.items():
        path = f"{folder}/{name}"
        with open(path, "wb") as file:
            file.write(data)
        os.chown(path, 0, group or 0)
        os.chmod(path, mode)


def make_volume(volume):
    """The folder of a volume, made if necessary."""
    name, empty, config, secret, host = take(volume["name"], volume, "name", "emptyDir", "configMap", "secret", "hostPath")
    folder = f"{work}/{pod}/{name}"
    if empty is not None:
        os.mkdir(folder)
        os.chown(folder, 0, GROUP or 0)
        os.chmod(folder, 0o2777 if GROUP else 0o777)
    elif config:
        data = objects[f"ConfigMap/{config['name']}"]["data"]
        write_files(folder, {file: text.encode() for file, text in data.items()}, 0o644, GROUP)
    elif secret:
        source, mode = take(name, secret, "secretName", "defaultMode")
        files = {file: open(f"{work}/secrets/{source}/{file}", "rb").read() for file in os.listdir(f"{work}/secrets/{source}")}
        # With fsGroup kubelet lets the group read, whatever defaultMode says.
        write_files(folder, files, mode | (0o440 if GROUP else 0), GROUP)
    else:
        folder = f"{work}/host{host['path']}"
        if host["type"] == "DirectoryOrCreate":
            os.makedirs(folder, mode=0o755, exist_ok=True)
        elif not os.path.isdir(folder):
            raise SystemExit(f"pods.py: no folder {host['path']} on the node")
    return folder


os.makedirs(f"{work}/{pod}")
folders = {volume["name"]: make_volume(volume) for volume in volumes}


class Container:
    def __init__(self, fields):
        self.name = fields["name"]
        (self.command, self.args, self.env, security, self.mounts, self.startup, self.ready, self.live, self.hooks,
         self.restart) = take(self.name, fields, "command", "args", "env", "securityContext", "volumeMounts", "startupProbe",
                              "readinessProbe", "livenessProbe", "lifecycle", "restartPolicy")
        user, group, no_root, extra, escalate, self.read_only, capabilities = take(
            self.name, {**pod_security, **security}, "runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup",
            "allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities")
        if no_root and user == 0:
            raise SystemExit(f"pods.py: {self.name}: runAsNonRoot, and runs as root")
        drop, add = take(self.name, capabilities, "drop", "add")
        assert drop == ["ALL"], drop
        # Another user's process has lost unshare's --kill-child: it asks for the same once more.
        self.prefix = ["setpriv", "--pdeathsig", "KILL", f"--reuid={user}", f"--regid={group or 0}", f"--groups={extra}" if extra else "--clear-groups",
                       "--inh-caps=-all", "--bounding-set=" + ",".join(["-all", *(f"+{c.lower()}" for c in add or [])]),
                       *(["--no-new-privs"] if escalate is False else []), "env", "-i",
                       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]

    def start(self):
        scratch = f"{work}/{pod}/root-{self.name}"
        os.makedirs(scratch, exist_ok=True)
        mounts = []
        for mount in self.mounts:
            name, path, read_only = take(self.name, mount, "name", "mountPath", "readOnly")
            mounts += [folders[name], path, "ro" if read_only else "rw"]
        env = [f"{e['name']}={e['value']}" for e in self.env or []]
        say("start", self.name)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "unchanged", "--pid", "--ipc", "--fork", "--kill-child", "sh", "-ec", RUN, "-", scratch, stage, hosts,
             str(self.read_only), *mounts, "--", *self.prefix, *env, *self.command, *(self.args or [])], stdin=subprocess.DEVNULL)

    def inside(self):
        """The pid, seen from outside, of the container's first process; None if there is none yet."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            children = file.read().split()
        return int(children[0]) if children else None

    def run(self, command):
        if not self.inside():
            return -1
        return subprocess.run(["nsenter", "-t", str(self.inside()), "--mount", "--pid", "--root", "--wd", *self.prefix, *command],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode

    def passes(self, probe):
        command, get = take(self.name, probe, "exec", "httpGet", "failureThreshold")[:2]
        if command:
            return self.run(command["command"]) == 0
        port = next(p["containerPort"] for c in (inits or []) + mains for p in c.get("ports", []) if p["name"] == get["port"])
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}{get['path']}", timeout=2).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def await_probe(self, what, probe):
        deadline = time.monotonic() + 30
        while probe and self.process.poll() != 0 and not self.passes(probe):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"pods.py: {self.name}: {what} fails, status {self.process.poll()}")
            time.sleep(0.1)

    def stop(self):
        began = time.monotonic()
        if self.hooks:
            say("preStop", self.name)
            self.run(self.hooks["preStop"]["exec"]["command"])
        if self.inside():
            os.kill(self.inside(), signal.SIGTERM)
        try:
            self.process.wait(max(0, began + grace - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        say("stopped", self.name, self.process.returncode)


stop = False


def on_term(*_):
    global stop
    stop = True


signal.signal(signal.SIGTERM, on_term)
running = []
try:
    for container in map(Container, (inits or [])):
        container.start()
        if container.restart:
            running.append(container)
            container.await_probe("startupProbe", container.startup)
        elif container.process.wait() != 0:
            raise SystemExit(f"pods.py: {container.name}: status {container.process.returncode}")
    for container in map(Container, mains):
        container.start()
        running.append(container)
    for container in running:
        container.await_probe("readinessProbe", container.ready)
        container.await_probe("livenessProbe", container.live)
    say("ready")
    while not stop and all(container.process.poll() is None for container in running):
        time.sleep(0.1)
    for container in running:
        if container.process.poll():
            raise SystemExit(f"pods.py: {container.name} has ended, status {container.process.returncode}")
finally:
    while running:
        container = running.pop()
        if container.process.poll() is None:
            container.stop()
