#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A stopped process (SIGSTOP) does not stall others.

load web_and_peer

said() { grep -qx "$2" "$1.log"; }

# queued: prints the bytes that the kernel holds for the program because it does not read.
full() { [ "$(ss -Htn "sport = :$peer_port" | awk '$3 > 0' | wc -l)" -ge "$1" ]; }

@test "a stopped program with full sockets does not stall other programs" {
    spawn hoard via python3 "$fixtures/probe.py" hoard 127.0.0.1 "$peer_port" 10
    local hoard=$spawned
    wait_until "ten connections" said hoard hoarding
    kill -STOP "$hoard"
    wait_until "the peer to be held up ten times" full 10
    for i in 1 2 3; do
        via curl -sSf --max-time 30 -o got "http://127.0.0.1:$web_port/large"
        cmp got "$www/large"
    done
    run --separate-stderr via ab -q -n 500 -c 20 "http://127.0.0.1:$web_port/small1"
    assert_line --regexp '^Failed requests: +0$'
    assert_carried 513
}

# resetting_program: target (direct) and client in one program; the client resets when it is told
# to. With a third argument it gets a signal each millisecond from then on.
resetting_program() {
    cat <<END
import os, signal, socket, struct, sys
if sys.argv[1] == 'target':
    listener = socket.create_server(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    accepted, _ = listener.accept()
    accepted.recv(6)
    accepted.sendall(b'ok')
    try:
        while accepted.recv(100): pass
        print('end of file', flush=True)
    except ConnectionResetError:
        print('reset', flush=True)
else:
    sock = socket.create_connection(('127.0.0.1', int(sys.argv[2])))
    sock.sendall(b'first ')
    sock.recv(2)
    print('ready', flush=True)
    sys.stdin.readline()
    sock.sendall(b'part of a whole')
    if len(sys.argv) > 3:
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.close()
    print('closed', flush=True)
    signal.setitimer(signal.ITIMER_REAL, 0)
END
}

# start_reset [ARGUMENT]: the client is told to reset while the helper is stopped, and the helper has
# its notice before it.
start_reset() {
    resetting_program >program.py
    spawn target python3 program.py target
    wait_until "a port" test -s target.log
    write_smuxshim_conf "127.0.0.1:$(cat target.log)"
    ctl reload
    mkfifo ask
    via python3 program.py client "$(cat target.log)" "$@" <ask >client.log 2>&1 3>&- &
    client=$!
    echo "$client TERM" >>spawned
    exec 7>ask
    wait_until "the client" said client ready
    kill -STOP "$helper_pid"
    echo now >&7
    exec 7>&-
    wait_until "the notice" has_waiting "$BATS_TEST_TMPDIR/smuxshim-helper.sock"
}

# The helper goes on, and the target sees how the client has ended the connection.
assert_reset() {
    kill -CONT "$helper_pid"
    wait "$client"
    said client closed
    wait_until "the target to see an end" grep -q '[a-z]' target.log
    assert_equal "$(tail -n 1 target.log)" reset
}

@test "a reset by SO_LINGER reaches the target, even if the helper was stopped when the program asked for it" {
    direct && skip "there is no helper to stop without the shim"
    start_reset
    assert_reset
}

# Regression: a signal ended the wait for the helper, so that the close could overtake the notice,
# and a transfer that was given up looked complete at the target.
@test "signals do not end the wait for a helper that is to pass on a reset" {
    direct && skip "there is no helper to stop without the shim"
    start_reset signals
    sleep 1.5 # a thousand signals
    run ! said client closed
    assert_reset
}

@test "a stopped helper does not block a program in a non-blocking connect" {
    direct && skip "there is no helper to stop without the shim"
    mkfifo ask
    via python3 "$fixtures/probe.py" begin 127.0.0.1 "$peer_port" 20 <ask >begun.log 2>&1 3>&- &
    echo "$! TERM" >>spawned
    kill -STOP "$helper_pid"
    exec 7>ask
    wait_until "the connects to be begun" said begun begun
    echo 0.3 >&7
    wait_until "an answer" said begun '0 connected, 0 failed, 20 pending'
    kill -CONT "$helper_pid"
    echo 20 >&7
    wait_until "the connects to succeed" said begun '20 connected, 0 failed, 0 pending'
    exec 7>&-
}
