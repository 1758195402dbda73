# SPDX-License-Identifier: MIT
"""The paths from a client to a server that are compared: direct, ours, the rivals.

A path is started for a set of targets (name -> port of a server). Then `prefix` is what a client's
command line begins with, and `port(name)` is the port it connects to. `near` and `far` are the
processes of the client's and of the server's side.

With a line (tests/bench/path/delay.c) the long way lies where it would in reality: between the two
halves of a tunnel, or before the server where there is one program only.
"""

import os
import shutil
import subprocess

from processes import Failed, cpu_seconds, wait_until


class Path:
    title = ""
    needs = ()  # commands
    relay = True  # there are processes on the way whose cost can be measured
    takes_line = True
    descriptors_each = 1  # for a connection, in the process that has most of them

    def __init__(self, bench, targets, line=False):
        self.bench = bench
        self.targets = dict(targets)
        self.line = line
        self.prefix = []
        self.ports = dict(targets)
        self.near, self.far = [], []
        self.restart = False
        self.folder = bench.new_folder(self.title)

    @classmethod
    def prepare(cls, bench):
        """Called before the first path is started."""
        for command in cls.needs:
            if not shutil.which(command):
                raise Failed(f"{command} is missing")

    def long_way(self, port):
        """The port of a delay line before `port`, if one is wanted."""
        return self.bench.start_line(port) if self.line else port

    def begin(self):
        """Starts what lies between client and server."""

    def port(self, target):
        return self.ports[target]

    def pids(self):
        return [process.pid for process in self.near + self.far]

    def cpu(self):
        return cpu_seconds(self.pids())

    def end(self):
        for process in reversed(self.far + self.near):
            self.bench.processes.stop(process)

    # ---- For the subclasses

    def start(self, name, argv, port=None, env=None):
        return self.bench.processes.start(f"{os.path.basename(self.folder)}-{name}", argv, port, env=env)

    def write(self, name, text, mode=0o644):
        file = os.path.join(self.folder, name)
        with open(file, "w") as out:
            out.write(text)
        os.chmod(file, mode)
        return file

    def forwards(self):
        """A free port for each target."""
        self.ports = {name: self.bench.ports.take() for name in self.targets}
        return self.ports


class Direct(Path):
    title = "direct"
    relay = False

    def begin(self):
        self.ports = {name: self.long_way(port) for name, port in self.targets.items()}


class Smuxshim(Path):
    title = "smuxshim"
    connect = "confirm"
    scheme = "tcp"
    trust = ""  # how both sides know each other

    def begin(self):
        bench, gateway_port = self.bench, self.bench.ports.take()
        wanted = ", ".join(f"127.0.0.1:{port}" for port in self.targets.values())
        gateway = self.write(
            "gateway.conf",
            f"[listen]\naddress = {self.scheme}://127.0.0.1:{gateway_port}\nallow = {wanted}\n{self.trust}",
        )
        self.far = [self.start("gateway", [bench.built("smux-gateway"), "-c", gateway], gateway_port)]
        carrier = self.long_way(gateway_port)
        self.config = self.write(
            "smuxshim.conf",
            f"[gateway main]\naddress = {self.scheme}://127.0.0.1:{carrier}\n{self.trust}"
            f"[route bench]\ndestinations = {wanted}\ngateway = main\nconnect = {self.connect}\n"
            f"[helper]\nsocket = {self.folder}/smuxshim-helper.sock\nautostart = no\n",
        )
        self.near = [self.start("helper", [bench.built("smux-helper"), "-c", self.config, "-f"])]
        status = [bench.built("smuxctl"), "-c", self.config, "status"]
        wait_until(
            "smux-helper",
            lambda: subprocess.run(status, capture_output=True).returncode == 0,
            lambda: self.near[0].poll() is None,
        )
        self.prefix = [bench.built("smuxshim"), "-c", self.config]


class SmuxshimEager(Smuxshim):
    title = "smuxshim eager"
    connect = "eager"


class Haproxy(Path):
    title = "haproxy"
    descriptors_each = 2
    needs = ("haproxy",)

    def configure(self, name, services, bind="", server=""):
        """`services`: (name, port to listen on, port to connect to); what is behind the addresses."""
        text = (
            f"global\n    maxconn {self.bench.idle_connections(2) + 50}\ndefaults\n    mode tcp\n"
            "    timeout connect 10s\n    timeout client 1h\n    timeout server 1h\n"
        )
        for service, port, target in services:
            text += f"listen {service}\n    bind 127.0.0.1:{port} {bind}\n    server one 127.0.0.1:{target} {server}\n"
        return self.write(f"{name}.cfg", text)

    def begin(self):
        services = [(name, port, self.long_way(self.targets[name])) for name, port in self.forwards().items()]
        config = self.configure("haproxy", services)
        self.near = [self.start("haproxy", ["haproxy", "-db", "-q", "-f", config], max(self.ports.values()))]


class Bare(Path):
    """Two relays in a row that do nothing else (bare.c): the least that two hops cost."""

    title = "2 bare relays"
    descriptors_each = 2

    def begin(self):
        middle = {name: self.bench.ports.take() for name in self.targets}
        pairs = [f"{port}:{self.targets[name]}" for name, port in middle.items()]
        self.far = [self.start("far", [self.bench.tool("bare"), *pairs], max(middle.values()))]
        pairs = [f"{local}:{self.long_way(middle[name])}" for name, local in self.forwards().items()]
        self.near = [self.start("near", [self.bench.tool("bare"), *pairs], max(self.ports.values()))]


class Ssh(Path):
    """ssh -L as people run it: a master connection that all forwards share."""

    title = "ssh -L"
    needs = ("ssh", "sshd", "ssh-keygen")
    options = ()

    def make_keys(self):
        for name in ("hostkey", "id"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(self.folder, name)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        shutil.copy(os.path.join(self.folder, "id.pub"), os.path.join(self.folder, "authorized_keys"))

    def begin(self):
        self.make_keys()
        folder, port = self.folder, self.bench.ports.take()
        config = self.write(
            "sshd_config",
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/hostkey\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nAllowTcpForwarding yes\n",
        )
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.far = [self.start("sshd", [shutil.which("sshd"), "-D", "-e", "-f", config], port)]
        argv = ["ssh", "-F", "none", "-M", "-S", f"{folder}/ctl", "-N", "-p", str(self.long_way(port))]
        for option in ("IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=no",
                       f"UserKnownHostsFile={folder}/known", "ExitOnForwardFailure=yes", *self.options):
            argv += ["-o", option]
        argv += ["-i", f"{folder}/id"]
        for name, local in self.forwards().items():
            argv += ["-L", f"127.0.0.1:{local}:127.0.0.1:{self.targets[name]}"]
        self.near = [self.start("ssh", argv + ["127.0.0.1"], local)]


class Proxychains(Path):
    title = "proxychains4 + microsocks"
    needs = ("proxychains4", "microsocks")

    def begin(self):
        port = self.bench.ports.take()
        self.far = [self.start("microsocks", ["microsocks", "-i", "127.0.0.1", "-p", str(port)], port)]
        config = self.write(
            "proxychains.conf",
            "strict_chain\nquiet_mode\ntcp_read_time_out 15000\ntcp_connect_time_out 8000\n"
            f"[ProxyList]\nsocks5 127.0.0.1 {self.long_way(port)}\n",
        )
        self.prefix = ["proxychains4", "-q", "-f", config]


class Kcptun(Path):
    """Go smux over KCP (UDP), without encryption, compression and error correction."""

    title = "kcptun"
    needs = ("kcptun-client", "kcptun-server")
    takes_line = False  # UDP
    options = ["--crypt", "none", "--nocomp", "--datashard", "0", "--parityshard", "0", "--mode", "fast3",
               "--sndwnd", "2048", "--rcvwnd", "2048", "--mtu", "1400", "--quiet"]

    def begin(self):
        for name, local in self.forwards().items():
            middle = self.bench.ports.take()
            self.far.append(self.start(f"server-{name}", [
                "kcptun-server", "-l", f"127.0.0.1:{middle}", "-t", f"127.0.0.1:{self.targets[name]}",
                *self.options]))
            self.near.append(self.start(f"client-{name}", [
                "kcptun-client", "-l", f"127.0.0.1:{local}", "-r", f"127.0.0.1:{middle}", *self.options],
                local))


class Relay(Path):
    """A relay on another library, built from source: its folder, and the command that builds `program`."""

    program, folder_of_sources = "", ""
    descriptors_each = 2

    @classmethod
    def build(cls, bench):
        """The command line, and the environment that it needs."""
        raise NotImplementedError

    @classmethod
    def sources(cls):
        return os.path.join(os.path.dirname(os.path.abspath(__file__)), cls.folder_of_sources)

    @classmethod
    def prepare(cls, bench):
        super().prepare(bench)
        argv, env = cls.build(bench)
        done = subprocess.run(argv, cwd=cls.sources(), env={**os.environ, **env}, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{' '.join(argv)}: {done.stderr.strip()[-300:]}")
        cls.take(bench)

    @classmethod
    def take(cls, bench):
        """Puts the program among the benchmark's tools, if that is not where it was built."""

    def begin(self):
        program = self.bench.tool(self.program)
        port = self.bench.ports.take()
        self.far = [self.start("server", [program, "server", str(port)], port)]
        pairs = [f"{local}:{self.targets[name]}" for name, local in self.forwards().items()]
        self.near = [self.start("client", [program, "client", str(self.long_way(port)), *pairs],
                                max(self.ports.values()))]


class GoSmux(Relay):
    """xtaci/smux, version 2."""

    title = "Go smux"
    needs = ("go",)
    program = "go-relay"
    folder_of_sources = "go-relay"

    @classmethod
    def build(cls, bench):
        return ["go", "build", "-buildvcs=false", "-o", bench.tool(cls.program), "."], {}


class AsyncSmux(Relay):
    title = "async_smux"
    needs = ("cargo",)
    program = "rust-relay"
    folder_of_sources = "rust-relay"

    @classmethod
    def target(cls, bench):
        return os.path.abspath(os.environ.get("CARGO_TARGET_DIR", bench.tool("rust-target")))

    @classmethod
    def build(cls, bench):
        return ["cargo", "build", "--release", "--quiet", "--locked"], {"CARGO_TARGET_DIR": cls.target(bench)}

    @classmethod
    def take(cls, bench):
        shutil.copy2(os.path.join(cls.target(bench), "release/rust-relay"), bench.tool(cls.program))


RIVALS = {
    "bare": Bare,
    "haproxy": Haproxy,
    "ssh": Ssh,
    "proxychains": Proxychains,
    "kcptun": Kcptun,
    "go-smux": GoSmux,
    "async-smux": AsyncSmux,
}
OURS = {"smuxshim": Smuxshim, "smuxshim-eager": SmuxshimEager}
