# SPDX-License-Identifier: MIT
"""What each program does repeatedly.  An operation returns, or raises an exception of outcome.py."""

import hashlib
import http.client
import json
import os
import shutil
import urllib.error
import urllib.request

import outcome
from outcome import ConnectionFailed, Wrong, run

WEB, PEER, REDIS = (os.environ[name] for name in ("web_port", "peer_port", "redis_port"))
TLS, IPERF, POSTGRES, SSH = (os.environ[name] for name in ("tls_port", "iperf_port", "postgres_port", "ssh_port"))
WWW, WORK, HERE = os.environ["www"], os.environ["hostile_dir"], os.path.dirname(__file__)
SSH_OPTIONS = os.environ["ssh_options"].split()
SHIM = dict(os.environ, LD_PRELOAD=os.environ["shim_library"], SMUXSHIM_CONFIG=os.environ["smuxshim_conf"])
GIT = dict(SHIM, GIT_SSH_COMMAND="ssh " + " ".join(SSH_OPTIONS), HOME=WORK, GIT_CONFIG_NOSYSTEM="1")
URL = f"http://127.0.0.1:{WEB}"

with open(f"{WWW}/medium", "rb") as _file:
    MEDIUM = _file.read()


def shimmed(*argv, **options):
    return run(list(argv), env=options.pop("env", SHIM), **options)


def expect(got, wanted, what):
    if got != wanted:
        raise Wrong(f"{what}: {len(got)} bytes of {len(wanted)}, sha256 {hashlib.sha256(got).hexdigest()}")


# ---- HTTP ---------------------------------------------------------------------------------------

# curl 18: an interrupted transfer; 52: an empty answer; 56 and 35 come with the errno.
CURL_MAY = r"transfer closed|Empty reply|Recv failure|SSL_ERROR_SYSCALL|SSL_connect|unexpected eof|not closed cleanly|HTTP/2 framing|Failed to connect|Failure when receiving|PROTOCOL_ERROR|INTERNAL_ERROR"


def curl(turn):
    if turn % 3 == 0:
        got, _ = shimmed("curl", "-sSf", f"{URL}/medium", may_fail=CURL_MAY)
        expect(got, MEDIUM, "http")
    elif turn % 3 == 1:
        got, _ = shimmed("curl", "-sSf", "--http2", "--cacert", os.environ["cert"],
                         f"https://127.0.0.1:{TLS}/medium", may_fail=CURL_MAY)
        expect(got, MEDIUM, "https")
    else:
        shimmed("curl", "-sSf", "-T", f"{WWW}/medium", f"{URL}/put/hostile{turn}", may_fail=CURL_MAY)
        with open(f"{WWW}/put/hostile{turn}", "rb") as file:
            expect(file.read(), MEDIUM, "upload")


def wget(_):
    got, _ = shimmed("wget", "-nv", "--tries=1", "-O", "-", f"{URL}/medium", failed_status=4)
    expect(got, MEDIUM, "wget")


def ab(_):
    said, _ = shimmed("ab", "-q", "-n", "200", "-c", "10", "-s", "50", f"{URL}/small1",
                      may_fail=r"apr_\w+: .*\((104|111|101|110|32)\)|apr_pollset_poll")
    if b"\nNon-2xx" in said:
        raise Wrong(said.decode())
    if b"\nFailed requests:        0\n" not in said:
        raise ConnectionFailed(said)


def wrk(_):
    said, wrong = shimmed("wrk", "-t", "2", "-c", "8", "-d", "1", "-s", f"{HERE}/wrk.lua", f"{URL}/medium",
                          may_fail=r"unable to connect")
    if "wrong" in wrong or b"Non-2xx" in said:
        raise Wrong(wrong + said.decode())
    if b"Socket errors" in said:
        raise ConnectionFailed(said)


def through_proxy(port):
    """A client without the shim uses a proxy that runs with it."""
    def ask(_):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/medium", timeout=outcome.OPERATION_LIMIT_S) as answer:
                expect(answer.read(), MEDIUM, "proxied")
        except urllib.error.HTTPError as problem:
            if problem.code not in (502, 503, 504):
                raise
            raise ConnectionFailed(problem) from None
        except TimeoutError as problem:
            raise outcome.Hung(str(problem)) from None
        except (http.client.IncompleteRead, ConnectionError, http.client.RemoteDisconnected) as problem:
            raise ConnectionFailed(problem) from None
    return ask


# ---- Databases ----------------------------------------------------------------------------------

REDIS_MAY = r"Server closed the connection|Could not connect|Connection lost|I/O error|Error from server|not connected"


def redis_benchmark():
    """A failed write makes redis-benchmark spin forever, even without the shim. So running on is its own
    fault, but waiting would be a hang."""
    shimmed("redis-benchmark", "-h", "127.0.0.1", "-p", REDIS, "-q", "-n", "1000", "-c", "8", "-t", "set,get",
            may_fail=REDIS_MAY, may_spin_after=20)


def redis(turn):
    if turn % 2:
        redis_benchmark()
        return
    value = hashlib.sha512(str(turn).encode()).hexdigest().encode() * 2000
    shimmed("redis-cli", "-h", "127.0.0.1", "-p", REDIS, "-x", "set", f"key{turn}", stdin=value, may_fail=REDIS_MAY)
    got, said = shimmed("redis-cli", "-h", "127.0.0.1", "-p", REDIS, "--raw", "get", f"key{turn}",
                        may_fail=REDIS_MAY)
    if got == b"\n" or outcome.CONNECTION_ERRORS.search(said):
        raise ConnectionFailed(said)
    expect(got, value + b"\n", "redis")


POSTGRES_MAY = r"server closed the connection|could not receive data|could not send data|connection to server .* failed|SSL SYSCALL|could not connect"
ROWS = "".join(f"{i}\t{hashlib.md5(str(i).encode()).hexdigest()}\n" for i in range(1, 5001)).encode()


def postgres(turn):
    if turn % 2:
        said, _ = shimmed("pgbench", "-n", "-c", "4", "-t", "30", "-f", f"{HERE}/select.sql", "postgres",
                          may_fail=POSTGRES_MAY + "|aborted")
        if b"actually processed: 120/120" not in said:
            raise ConnectionFailed(said)
        return
    got, _ = shimmed("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "postgres", "-c",
                     "copy (select i, md5(i::text) from generate_series(1, 5000) i) to stdout",
                     may_fail=POSTGRES_MAY)
    expect(got, ROWS, "psql")


# ---- ssh, iperf3 --------------------------------------------------------------------------------

SSH_MAY = r"Connection (to|closed)|kex_exchange|client_loop|Broken pipe|Could not read from remote|early EOF|unexpected disconnect|hung up|fetch-pack|Bad packet"


def ssh(_):
    got, _ = shimmed("ssh", *SSH_OPTIONS, "-p", SSH, "127.0.0.1", "cat", stdin=MEDIUM, may_fail=SSH_MAY)
    expect(got, MEDIUM, "ssh")


def git(_):
    shutil.rmtree(f"{WORK}/cloned", ignore_errors=True)
    shimmed("git", "clone", "-q", f"ssh://127.0.0.1:{SSH}{WORK}/origin.git", f"{WORK}/cloned", env=GIT,
            may_fail=SSH_MAY, sigpipe=True)
    with open(f"{WORK}/cloned/medium", "rb") as file:
        expect(file.read(), MEDIUM, "git")


def iperf3(turn):
    """Sends so much that some of it must have arrived by the end; in a second, nothing might."""
    said, _ = shimmed("iperf3", "-c", "127.0.0.1", "-p", IPERF, "-J", "-P", "2", "-n", "128M",
                      *(["-R"] if turn % 2 else []),
                      may_fail=r"server is busy|control socket has closed|unable to (receive|send|read|write|connect)"
                               r"|server has terminated|errno")
    report = json.loads(said)
    if "error" in report:
        raise ConnectionFailed(report["error"])
    sent, received = (report["end"][sum_of]["bytes"] for sum_of in ("sum_sent", "sum_received"))
    if not 0 < received <= sent:
        raise Wrong(f"{received} bytes of {sent} arrived")


# ---- Small clients ------------------------------------------------------------------------------

def perl(_):
    shimmed("perl", f"{HERE}/client.pl", PEER)


def bash(_):
    shimmed("bash", f"{HERE}/client.bash", PEER, may_fail=r"^$|line")


def nc(_):
    """nc does not tell a reset from an end; its bytes must be right as far as they go."""
    got, _ = shimmed("nc", "-N", "127.0.0.1", PEER, stdin=b"echo\n" + MEDIUM, may_fail=r"^$", sigpipe=True)
    if got != MEDIUM and MEDIUM.startswith(got):
        raise ConnectionFailed("cut")
    expect(got, MEDIUM, "nc")


def long_lived(*argv):
    """A client that runs by itself for `seconds` and then reports."""
    def session(tally, seconds):
        said, _ = shimmed(*(str(seconds) if word == "SECONDS" else word for word in argv),
                          limit=seconds + 2 * outcome.OPERATION_LIMIT_S)
        report = json.loads(said)
        tally.add(report["done"], report["errors"])
        for problem in report["problems"]:
            tally.add(problem=problem)
        if not report["done"]:
            raise ConnectionFailed("nothing done")
    return session


ONE_BY_ONE = {f.__name__: f for f in (curl, wget, ab, wrk, redis, postgres, ssh, git, iperf3, perl, bash, nc)}
ONE_BY_ONE["nginx"] = through_proxy(os.environ["nginx_front"])
ONE_BY_ONE["haproxy"] = through_proxy(os.environ["haproxy_front"])
LONG_LIVED = {
    "python": long_lived("python3", f"{HERE}/client.py", PEER, "SECONDS"),
    "node": long_lived("node", f"{HERE}/client.js", WEB, PEER, "SECONDS", f"{WWW}/medium"),
    "java": long_lived("java", "-Xshare:auto", "-cp", WORK, "HostileClient", WEB, PEER, "SECONDS", f"{WWW}/medium"),
}
