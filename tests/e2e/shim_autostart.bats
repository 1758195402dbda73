#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The library starts the helper itself if nothing else has, and the program does not notice.

load lib

setup() {
    direct && skip "there is no library without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    start_peer
    start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
    sed -i 's/^autostart.*/autostart = yes/' "$smuxshim_conf"
    export SMUXSHIM_CONFIG=$smuxshim_conf SMUXSHIM_LOG=$BATS_TEST_TMPDIR/shim.log
    helper_socket=$BATS_TEST_TMPDIR/smuxshim-helper.sock
    library=$BUILD/libsmuxshim.so
}

teardown() {
    end_autostarted
    stop_all
    show_logs
}

# Any process that listens at the socket was started by a test.
end_autostarted() {
    local pid
    pid=$(running_helper) && [ -n "$pid" ] && stop "$pid"
    return 0
}

running_helper() { SMUXSHIM_LOG='' SMUXSHIM_SOCKET=$helper_socket "$BUILD/smuxctl" -c "$smuxshim_conf" status --json 2>/dev/null | jq .pid; }

preloaded() { LD_PRELOAD=$library "$@"; }
probe() { preloaded python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"; }

@test "the first routed connect starts a helper, and the next program uses it" {
    run probe
    assert_output connected
    local pid
    pid=$(running_helper)
    assert alive "$pid"
    run probe
    assert_output connected
    assert_equal "$(running_helper)" "$pid"
    assert_equal "$(carriers)" 1
}

@test "SMUXSHIM_ROUTES and SMUXSHIM_GATEWAY suffice, without a file" {
    over_tcp "the environment names no secret"
    unset SMUXSHIM_CONFIG
    export SMUXSHIM_ROUTES=127.0.0.1:$peer_port SMUXSHIM_GATEWAY=tcp://127.0.0.1:$gateway_port
    HOME=/nonexisting SMUXSHIM_SOCKET=$helper_socket run probe
    assert_output connected
    assert_equal "$(carriers)" 1
}

@test "the program gets no SIGCHLD, and wait finds no child" {
    cat >program.py <<END
import os, signal, socket, time
seen = []
signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))
s = socket.socket()
print(s.connect_ex(('127.0.0.1', $peer_port)))
for _ in range(20):
    time.sleep(0.02)
try:
    print(os.waitpid(-1, os.WNOHANG | 0x40000000)) # __WALL
except ChildProcessError:
    print('no child')
print(len(seen), 'signals')
END
    run preloaded python3 program.py
    assert_output "0
no child
0 signals"
    assert alive "$(running_helper)"
}

@test "the helper inherits no descriptor, no signal mask, no ignored signal, no terminal and no preload" {
    cat >program.py <<END
import os, signal, socket
held = open('held', 'w')
os.set_inheritable(held.fileno(), True)
os.dup2(held.fileno(), 700)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
os.environ['LD_PRELOAD'] = '/nonexisting.so'
s = socket.socket()
print(s.connect_ex(('127.0.0.1', $peer_port)))
END
    SECRET=of-the-program run preloaded python3 program.py
    assert_output 0
    local pid
    pid=$(running_helper)
    assert_equal "$(readlink "/proc/$pid/fd/"* | grep -c held)" 0
    start_beside
    assert_equal "$(signals_of "$pid" Blk)" "$(signals_of "$helper_pid" Blk)"
    assert_equal "$(signals_of "$pid" Ign)" 0000000001801000 # its own: SIGPIPE, SIGXCPU, SIGXFSZ
    refute grep -q libsmuxshim "/proc/$pid/maps"
    refute grep -qa -e SECRET -e LD_PRELOAD "/proc/$pid/environ"
    [ "$(ps -o sid= -p "$pid" | tr -d ' ')" != "$(ps -o sid= -p $$ | tr -d ' ')" ]
    assert_equal "$(ps -o tty= -p "$pid" | tr -d ' ')" "?"
}

signals_of() { awk "/^Sig$2/ { print \$2 }" "/proc/$1/status"; }

# A helper started by hand, for comparison.
start_beside() {
    mkdir -p beside
    runtime_dir=$PWD/beside write_smuxshim_conf 192.0.2.1
    unset SMUXSHIM_CONFIG
    start_helper
}

@test "many processes and threads at once start one helper" {
    cat >program.py <<END
import socket, threading
results = []
def connect():
    results.append(socket.socket().connect_ex(('127.0.0.1', $peer_port)))
threads = [threading.Thread(target=connect) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(results)
END
    local i pids=()
    for i in 1 2 3 4 5 6; do
        preloaded python3 program.py >"out.$i" 2>&1 3>&- 4>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    assert_equal "$(sort out.* | uniq -c | tr -s ' ')" " 6 [0, 0, 0, 0, 0, 0, 0, 0]"
    assert_equal "$(carriers)" 1
}

@test "non-blocking connects start a helper, too, even while other threads fork" {
    cat >program.py <<END
import errno, os, select, socket, threading
stop = False
def fork():
    while not stop:
        pid = os.fork()
        if pid == 0: os._exit(0)
        os.waitpid(pid, 0)
thread = threading.Thread(target=fork)
thread.start()
s = socket.socket()
s.setblocking(False)
error = s.connect_ex(('127.0.0.1', $peer_port))
select.select([], [s], [], 60)
stop = True
thread.join()
print(errno.errorcode[error], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
END
    run preloaded python3 program.py
    assert_output "EINPROGRESS 0"
}

@test "autostart = no: no helper is started" {
    sed -i 's/^autostart.*/autostart = no/' "$smuxshim_conf"
    run probe
    assert_output ENETUNREACH
    refute [ -e "$helper_socket" ]
}

@test "a helper that cannot start: ENETUNREACH, the reason in the log, and not a new attempt for each connect" {
    chmod 777 .
    cat >program.py <<END
import errno, socket
for _ in range(3):
    print(errno.errorcode[socket.socket().connect_ex(('127.0.0.1', $peer_port))])
END
    run preloaded python3 program.py
    assert_output "ENETUNREACH
ENETUNREACH
ENETUNREACH"
    assert_equal "$(grep -c 'others cannot write to' shim.log)" 1
}

@test "a library without smux-helper beside it logs that, and the program continues" {
    mkdir alone
    cp "$library" alone
    LD_PRELOAD=$PWD/alone/libsmuxshim.so run python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output ENETUNREACH
    assert grep -q 'cannot start smux-helper: it is not beside libsmuxshim.so' shim.log
}

@test "a helper that was killed is replaced at the next connect, also under the launcher" {
    cat >program.py <<END
import socket
print(socket.socket().connect_ex(('127.0.0.1', $peer_port)), flush=True)
input()
print(socket.socket().connect_ex(('127.0.0.1', $peer_port)), flush=True)
END
    mkfifo wake
    unset SMUXSHIM_CONFIG
    via python3 program.py <wake >out 3>&- 4>&- &
    local program=$! first
    exec 7>wake
    wait_until "the first connection" grep -q 0 out
    first=$(running_helper)
    kill -KILL "$first"
    wait_until "it to be gone" eval "! alive $first"
    echo >&7
    exec 7>&-
    wait "$program"
    assert_equal "$(cat out)" "0
0"
    assert alive "$(running_helper)"
}

@test "a helper that ends between request and outcome is replaced while a blocking connect waits" {
    cat >mortal.py <<END
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind('$helper_socket')
listener.listen()
print('listening', flush=True)
asked, _ = listener.accept()
while len(asked.recv(80)) == 0: pass
os.unlink('$helper_socket')
listener.close()
END
    mkdir -p "$(dirname "$helper_socket")"
    python3 mortal.py >mortal.out 3>&- 4>&- &
    local mortal=$!
    wait_until "it to listen" grep -q listening mortal.out
    cat >program.py <<END
import socket
s = socket.socket()
s.bind(('127.0.0.1', 0))
bound = s.getsockname()
print(s.connect_ex(('127.0.0.1', $peer_port)), s.getpeername(), s.getsockname() == bound)
END
    run preloaded python3 program.py
    assert_output "0 ('127.0.0.1', $peer_port) True"
    wait "$mortal"
}

@test "a program with its standard descriptors closed keeps them closed" {
    cat >program.py <<END
import os, socket
out = os.dup(1)
s = socket.socket()
for fd in (0, 1, 2): os.close(fd)
error = s.connect_ex(('127.0.0.1', $peer_port))
os.write(out, b'%d %s' % (error, str([fd for fd in (0, 1, 2) if os.path.exists('/proc/self/fd/%d' % fd)]).encode()))
END
    run preloaded python3 program.py
    assert_output "0 []"
    assert_equal "$(readlink "/proc/$(running_helper)/fd/0")" /dev/null
}

@test "a program under valgrind starts a helper without errors" {
    run preloaded valgrind -q --error-exitcode=9 nc -z 127.0.0.1 "$peer_port"
    assert_success
    assert alive "$(running_helper)"
}
