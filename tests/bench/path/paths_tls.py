# SPDX-License-Identifier: MIT
"""The paths whose long way is encrypted: our TLS carrier and its rivals, all with AES-128-GCM.

Each rival runs one program on either side, as smuxshim does.
"""

import os
import subprocess

from paths import Haproxy, Path, Smuxshim, Ssh

SUITE = "TLS_AES_128_GCM_SHA256"
SSH_CIPHER = "aes128-gcm@openssh.com"


def make_certificate(folder):
    """A key and its certificate, both in the file that is returned."""
    file = os.path.join(folder, "server.pem")
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
            "-subj", "/CN=localhost", "-days", "2", "-keyout", file, "-out", file + ".crt"]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    with open(file, "a") as out, open(file + ".crt") as certificate:
        out.write(certificate.read())
    return file


class SmuxshimTls(Smuxshim):
    """A shared secret on both sides, with which nothing else than this cipher can be agreed on."""

    title = "smuxshim over TLS"
    scheme = "tls"

    def begin(self):
        secret = os.path.join(self.folder, "secret")
        subprocess.run([self.bench.built("smuxctl"), "genpsk", "bench", secret], check=True, capture_output=True)
        self.trust = f"psk = {secret}\n"
        super().begin()


class Stunnel(Path):
    title = "stunnel4, both ends"
    needs = ("stunnel4", "openssl")
    descriptors_each = 2

    def configure(self, name, options, services):
        """`services`: (name, port to listen on, port to connect to)."""
        text = ("foreground = yes\npid =\ndebug = err\nsslVersion = TLSv1.3\n"
                f"ciphersuites = {SUITE}\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n{options}")
        for service, port, target in services:
            text += f"[{service}]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{target}\n"
        return ["stunnel4", self.write(f"{name}.conf", text, 0o600)]

    def begin(self):
        pem = make_certificate(self.folder)
        middle = {name: self.bench.ports.take() for name in self.targets}
        argv = self.configure("far", f"cert = {pem}\n",
                              [(name, port, self.targets[name]) for name, port in middle.items()])
        self.far = [self.start("far", argv, max(middle.values()))]
        argv = self.configure("near", f"client = yes\nCAfile = {pem}.crt\nverifyPeer = yes\n",
                              [(name, port, self.long_way(middle[name]))
                               for name, port in self.forwards().items()])
        self.near = [self.start("near", argv, max(self.ports.values()))]


class HaproxyTls(Haproxy):
    title = "haproxy with TLS, both ends"
    needs = ("haproxy", "openssl")

    def side(self, name, services, bind="", server=""):
        return self.start(name, ["haproxy", "-db", "-q", "-f", self.configure(name, services, bind, server)],
                          max(port for _, port, _ in services))

    def begin(self):
        pem = make_certificate(self.folder)
        middle = {name: self.bench.ports.take() for name in self.targets}
        tls = f"ssl ssl-min-ver TLSv1.3 ciphersuites {SUITE}"
        self.far = [self.side("far", [(name, port, self.targets[name]) for name, port in middle.items()],
                              bind=f"{tls} crt {pem}")]
        self.near = [self.side("near", [(name, port, self.long_way(middle[name]))
                                        for name, port in self.forwards().items()],
                               server=f"{tls} verify required ca-file {pem}.crt")]


class SshGcm(Ssh):
    title = "ssh -L, AES-128-GCM"
    options = (f"Ciphers={SSH_CIPHER}",)


RIVALS = {"stunnel": Stunnel, "haproxy-tls": HaproxyTls, "ssh-gcm": SshGcm}
OURS = {"smuxshim-tls": SmuxshimTls}
