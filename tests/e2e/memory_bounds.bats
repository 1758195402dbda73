#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Memory that peers can make us hold: readers that pause, sessions that never read.

load lib

teardown() {
    stop_all
    show_logs
}

start_slow() {
    slow_port=$(free_port)
    serve slow "$slow_port" python3 "$fixtures/slow.py" serve "$slow_port"
}

# The smallest budget that covers the promised windows (64 full ones), and a path that holds much
# more than that in flight before a window update of the reader can return.
over_a_long_path() {
    gateway_conf_lines='max-receive-buffer = 16m' start_gateway
    direct || {
        path_port=$(free_port)
        serve path "$path_port" python3 "$fixtures/longpath.py" "$path_port" "$gateway_port" 0.1
        gateway_lines='max-receive-buffer = 16m' gateway_url=$carrier://127.0.0.1:$path_port write_smuxshim_conf "$@"
        start_helper
    }
}

slow() { via timeout 120 python3 "$fixtures/slow.py" "$1" "$slow_port" "${@:2}"; }

@test "hundreds of readers that pause lose nothing" {
    start_slow
    over_a_long_path '127.0.0.1:*'
    run -0 slow download 300 1200000 4
    assert_output "300 complete"
}

@test "hundreds of uploads to a server that does not read lose nothing" {
    start_slow
    over_a_long_path '127.0.0.1:*'
    run -0 slow upload 300 1200000 4
    assert_output "300 complete"
}

@test "uploads that do not wait for the gateway's answer lose nothing" {
    start_slow
    over_a_long_path '127.0.0.1:*' 'connect = eager'
    run -0 slow upload 300 1200000 4
    assert_output "300 complete"
}

# Data that waits for a paused reader must not occupy the buffers that other connections need.
@test "hundreds of readers that pause do not slow down those that read" {
    start_slow
    start_peer
    start_both '127.0.0.1:*'
    spawn pausing via python3 "$fixtures/slow.py" download "$slow_port" 600 2000000 100
    wait_until "the readers to pause" pausing 600
    sleep 2 # until nothing more comes for them
    run -0 --separate-stderr via timeout 60 python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"send 3000000\n")
n = 0
while d := s.recv(65536): n += len(d)
print(n)' "$peer_port"
    assert_output 3000000
    stop "$spawned" KILL
}

# Version 1 has no windows: the server's data comes as fast as the carrier takes it.
version_1() {
    gateway_conf_lines=$'version = 1\nstalled-reader-timeout = 1s' start_gateway
    gateway_lines='version = 1\nmax-receive-buffer = 1m\nmax-stream-buffer = 1m\nstalled-reader-timeout = 1s' write_smuxshim_conf '127.0.0.1:*'
    direct || start_helper
}

@test "version 1: a reader that is slower than its server, but steady, loses nothing" {
    start_slow
    version_1
    run -0 slow steady 1 4000000 2500000
    assert_output "1 complete"
    direct || refute grep -q 'stream reset' "$BATS_TEST_TMPDIR/helper.log"
}

@test "version 1: a reader that stops is reset after stalled-reader-timeout, and the others go on" {
    start_slow
    start_peer
    version_1
    spawn stopped via python3 "$fixtures/slow.py" download "$slow_port" 1 4000000 3
    wait_until "a full budget" stopped_reading
    run -0 via timeout 4 python3 "$fixtures/probe.py" receive 127.0.0.1 "$peer_port" 100000
    direct || wait_until "the reset" grep -q 'stream [0-9]*: stream reset: its reader has stopped' "$BATS_TEST_TMPDIR/helper.log"
    wait_until "its end" eval '! alive "$spawned"'
    direct || assert_equal "$(cat "$BATS_TEST_TMPDIR/stopped.log")" "1 Connection reset by peer"
}

stopped_reading() { direct || [ "$(ctl status --json | jq '[.sessions[].bytes_in] | add')" -ge 1000000 ]; }

pausing() { direct || [ "$(streams_now)" -ge "$1" ]; }

# Prints the resident memory of a process in KiB.
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
peak() { awk '/^VmHWM/ { print $2 }' "/proc/$1/status"; }
# settled PID: waits until its resident memory has not grown for two seconds.
settled() {
    local before
    before=$(resident "$1")
    sleep 2
    [ "$(resident "$1")" -le $((before + 1024)) ]
}

@test "clients that request much and read nothing hold at most max-memory" {
    if direct; then skip "there is no gateway without the shim"; fi
    over_tcp "the clients speak no TLS"
    local pour_port
    pour_port=$(free_port)
    serve pour "$pour_port" python3 "$fixtures/silent.py" serve "$pour_port"
    start_slow
    gateway_conf_lines='max-memory = 64m' start_both '127.0.0.1:*'
    spawn ask python3 "$fixtures/silent.py" ask "$gateway_port" "$pour_port" 3 1200
    wait_until "all to be asked for" grep -q ready "$(work)/ask.log"
    wait_until "the memory to settle" settled "$gateway_pid"
    run -0 resident "$gateway_pid"
    echo "resident: $output KiB"
    # Half of max-memory in buffers, four initial buffers for each session, and the memory of 3,600
    # streams and three carriers themselves.
    [ "$output" -lt $((100 * 1024)) ]
    run -0 slow download 20 1000000 0
    assert_output "20 complete"
}

# Three sessions have 60 MB each in flight, which a gateway that limits each session alone would
# hold.
@test "data from three clients to targets that do not read is bounded by max-memory, and not lost" {
    if direct; then skip "there is no gateway without the shim"; fi
    over_tcp "the clients speak no TLS"
    local late_port
    late_port=$(free_port)
    serve late "$late_port" python3 "$fixtures/flood.py" late "$late_port"
    late_pid=$spawned
    start_slow
    gateway_conf_lines=$'max-memory = 64m\nconnect-timeout = 60s' start_both '127.0.0.1:*'
    spawn flood python3 "$fixtures/flood.py" client "$gateway_port" "$late_port" 3 300 200000
    flood_pid=$spawned
    wait_until "all to be under way" grep -q asked "$(work)/flood.log"
    wait_until "the memory to settle" settled "$gateway_pid"
    # Other connections get their share in both directions.
    run -0 slow download 20 1000000 0
    assert_output "20 complete"
    run -0 slow upload 20 1000000 0
    assert_output "20 complete"
    alive "$flood_pid"
    # And everything continues when the target accepts.
    kill -USR1 "$late_pid"
    wait_until "the flood to be over" not_alive "$flood_pid"
    run -0 tail -n 1 "$(work)/flood.log"
    assert_output "900 answered"
    run -0 peak "$gateway_pid"
    echo "resident at most: $output KiB"
    # Half of max-memory, and the memory of the process, 940 streams and four carriers themselves.
    [ "$output" -lt $((64 * 1024)) ]
}

not_alive() { ! alive "$1"; }

@test "data from hostile gateways to programs that do not read is bounded by the helper's max-memory" {
    if direct; then skip "there is no helper without the shim"; fi
    over_tcp "the gateway speaks no TLS"
    gateway_port=$(free_port)
    serve flood "$gateway_port" python3 "$fixtures/flood.py" gateway "$gateway_port"
    gateway_lines='connections = 3' helper_lines='max-memory = 64m' \
        write_smuxshim_conf '127.0.0.1:*' 'handshake = none'
    start_helper
    spawn unread via python3 "$fixtures/unread.py" 9 900
    wait_until "the programs to connect" grep -q open "$(work)/unread.log"
    wait_until "the memory to settle" settled "$helper_pid"
    run -0 peak "$helper_pid"
    echo "resident at most: $output KiB"
    [ "$output" -lt $((64 * 1024)) ]
}
