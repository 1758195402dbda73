#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Places for sessions at the gateway: idle carriers keep no client out (gateway_place.h).

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no gateway without the shim"; fi
    over_tcp "the carriers that occupy places speak no TLS"
}

teardown() {
    stop_all
    show_logs
}

# hold NAME SOURCE COUNT FRAMES: carriers.py, see there.
hold() {
    spawn "$1" python3 "$fixtures/carriers.py" "$gateway_port" "$2" "$3" "$4"
    holder_pid=$spawned
    wait_until "$3 carriers" grep -q ready "$BATS_TEST_TMPDIR/$1.log"
}

# The number of established carriers of a source, as seen by the gateway.
held_by() { ss -Htn state established "sport = :$gateway_port and dst $1" | wc -l; }
has_at_most() { [ "$(held_by "$1")" -le "$2" ]; }

dial() { ctl connect 127.0.0.1 "$peer_port" </dev/null; }

with_gateway() {
    gateway_conf_lines=$(printf '%s\n' "$@") start_both '127.0.0.1:*'
}

@test "a table full of carriers that have sent a frame but opened no stream keeps no client out" {
    with_gateway 'max-sessions = 64' 'max-sessions-per-source = 64'
    hold idle 127.0.0.2 64 hello
    run -0 dial
    run -0 grep -c 'carrier closed to make room for another: it has opened no stream' "$BATS_TEST_TMPDIR/gateway.log"
    assert_output 1
}

@test "a table full of silent carriers keeps no client out" {
    with_gateway 'max-sessions = 64' 'max-sessions-per-source = 64'
    hold idle 127.0.0.2 64 silent
    run -0 dial
    run -0 grep -c 'carrier closed to make room for another: it has sent nothing' "$BATS_TEST_TMPDIR/gateway.log"
    assert_output 1
}

@test "an idle carrier that has had streams is kept before those that have had none" {
    with_gateway 'max-sessions = 64' 'max-sessions-per-source = 64'
    run -0 dial
    hold idle 127.0.0.2 300 hello
    hold silent 127.0.0.3 300 silent
    run -0 dial
    run -0 ctl status --json
    assert_equal "$(jq '[.sessions[].streams_total] | add' <<<"$output")" 2
    assert_equal "$(held_by 127.0.0.1)" 1
}

@test "a source at its limit replaces its own carriers" {
    with_gateway 'max-sessions-per-source = 8'
    hold first 127.0.0.3 4 hello
    hold idle 127.0.0.2 100 hello
    wait_until "the limit" has_at_most 127.0.0.2 8
    assert_equal "$(held_by 127.0.0.3)" 4
    run -0 dial
}

@test "a source at its limit whose carriers all have streams gets no more, and the log names the limit" {
    with_gateway 'max-sessions-per-source = 8'
    hold busy 127.0.0.2 8 stream
    hold more 127.0.0.2 1 stream
    wait_until "the refusal" grep -q '127.0.0.2:[0-9]*: carrier refused: too many sessions of one source (max-sessions-per-source)' \
        "$BATS_TEST_TMPDIR/gateway.log"
    assert_equal "$(held_by 127.0.0.2)" 8
    run -0 dial
}

@test "a carrier that must make room is told to drain, and its client continues over another one" {
    with_gateway 'max-sessions = 1'
    run -0 dial
    hold busy 127.0.0.2 1 hello
    wait_until "the helper to hear of it" grep -q 'drains' "$BATS_TEST_TMPDIR/helper.log"
    for _ in 1 2 3; do run -0 dial; done
    run -0 grep -c 'its streams have ended' "$BATS_TEST_TMPDIR/gateway.log"
}

@test "a carrier that sends nothing, or opens no stream, is closed after its time limit" {
    with_gateway 'hello-timeout = 1s' 'first-stream-timeout = 1s'
    hold silent 127.0.0.2 3 silent
    hold idle 127.0.0.3 3 hello
    hold busy 127.0.0.4 3 stream
    wait_until "the silent ones to go" has_at_most 127.0.0.2 0
    wait_until "the idle ones to go" has_at_most 127.0.0.3 0
    assert_equal "$(held_by 127.0.0.4)" 3
    run -0 grep -c 'no frame within hello-timeout' "$BATS_TEST_TMPDIR/gateway.log"
    assert_output 3
    run -0 grep -c 'no stream within first-stream-timeout' "$BATS_TEST_TMPDIR/gateway.log"
    assert_output 3
}

@test "clients of a unix socket are counted by user" {
    local dir
    dir=$(public_dir)
    gateway_conf_lines="address = unix://$dir/carrier
max-sessions-per-source = 2
socket-mode = 0666"
    start_gateway
    run -0 python3 - "$dir/carrier" <<'END'
import socket, struct, sys
kept, refused = [], 0
for _ in range(4):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    try:
        s.sendall(struct.pack("<BBHIBBHI", 2, 1, 0, 0xFFFFFF00, 2, 0, 0, 3))
        refused += not s.recv(8)  # the answer to the hello
    except OSError:
        refused += 1
    kept.append(s)
print(refused)
END
    assert_output 2
    wait_until "the refusal" grep -q "unix:pid=[0-9]*,uid=$(id -u): carrier refused: too many sessions of one source" \
        "$BATS_TEST_TMPDIR/gateway.log"
}
