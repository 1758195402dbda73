#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Invalid requests at the helper's socket: each is one line in the log and affects no other client.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    direct && skip "there is no helper without the shim"
    start_both "127.0.0.1:$peer_port"
    socket=$BATS_TEST_TMPDIR/smuxshim-helper.sock
}

teardown() {
    stop_all
    show_logs
}

stranger() { python3 "$fixtures/stranger.py" "$socket" "$1" "$peer_port"; }
works() { [ "$(via python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port")" = connected ]; }
helper_fds() { find "/proc/$helper_pid/fd" -mindepth 1 | wc -l; }
fds_are_back() { [ "$(helper_fds)" -le "$1" ]; }

# rejects KIND ENDS TEXT: sends an invalid request of that KIND; checks how the connection ends for
# the sender, and what the helper's log says.
rejects() {
    local before
    works # the session is there now
    before=$(helper_fds)
    run stranger "$1"
    assert_output --regexp "^($2)$"
    run cat "$BATS_TEST_TMPDIR/helper.log"
    assert_output --partial "$3"
    wait_until "the helper's descriptors to be closed" fds_are_back "$before"
    works
}

@test "an ordinary request opens a connection" {
    works
    run stranger good
    assert_output open
}

@test "bytes that are not a request are rejected" { rejects junk 'closed|reset' "does not begin with the request's magic number"; }
@test "half a request is rejected" { rejects half 'closed|reset' 'incomplete after the time limit'; }
@test "a client that sends nothing is rejected" { rejects silent 'closed|reset' 'incomplete after the time limit'; }
@test "a request without a descriptor is rejected" { rejects nofd 'closed|reset' 'no descriptor'; }
@test "a request with two descriptors is rejected" { rejects twofds 'closed|reset' 'more than one descriptor'; }
@test "a request with two hundred descriptors is rejected" { rejects manyfds 'closed|reset' 'more than one descriptor'; }
@test "a TCP socket as the descriptor is rejected" { rejects tcpfd 'closed|reset' 'not an unnamed AF_UNIX socket'; }
@test "a file as the descriptor is rejected" { rejects filefd 'closed|reset' 'not an unnamed AF_UNIX socket'; }
@test "another connection's end as the descriptor is rejected" { rejects otherfd 'closed|reset' 'not the other end of this connection'; }
@test "a socket that is bound to a name as the descriptor is rejected" { rejects named 'closed|reset' 'not an unnamed AF_UNIX socket'; }
@test "a request of another control version is answered with EPROTO" { rejects version 'errno EPROTO' 'control version 9, this helper 1'; }
@test "a host name that is too long is rejected" { rejects longname 'closed|reset' 'host name longer than 255 bytes'; }
@test "an invalid host name is rejected" { rejects badname 'closed|reset' 'characters that are not allowed in one'; }

@test "a notice about a connection that does not exist is ignored" {
    works
    run stranger notice
    assert_output --regexp '^(closed|reset)$'
    works
}

@test "no bytes can be sent through the gate before the outcome" {
    run stranger flood
    assert_output open
    works
}

@test "a hundred silent strangers leave room for others" {
    works
    local pids=()
    for _ in $(seq 100); do
        stranger silent >/dev/null &
        pids+=($!)
    done
    works
    wait "${pids[@]}"
    works
}

@test "a helper out of descriptors refuses, and recovers" {
    stop "$helper_pid"
    # shellcheck disable=SC2016
    spawn helper bash -c 'ulimit -n 40; exec "$@"' limited "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    helper_pid=$spawned
    wait_until "the helper" helper_answers
    works
    spawn hoard via python3 "$fixtures/probe.py" hoard 127.0.0.1 "$peer_port" 60
    local hoard=$spawned
    wait_until "the helper to run out" grep -q 'Too many open files' "$BATS_TEST_TMPDIR/helper.log"
    stop "$hoard" KILL
    wait_until "the helper to recover" works
}

@test "when another user has taken the abstract name, the helper warns and programs still connect" {
    stop "$helper_pid"
    spawn squatter python3 -c '
import socket, sys, time
h = 0xcbf29ce484222325
for c in sys.argv[1].encode():
    h = ((h ^ c) * 0x100000001b3) & (2 ** 64 - 1)
s = socket.socket(socket.AF_UNIX)
s.bind("\0smuxshim-helper/%016x" % h)
print("taken", flush=True)
time.sleep(1000)' "$socket"
    wait_until "the squatter" grep -q taken "$BATS_TEST_TMPDIR/squatter.log"
    start_helper
    run cat "$BATS_TEST_TMPDIR/helper.log"
    assert_output --partial 'its abstract name is taken'
    works
}
