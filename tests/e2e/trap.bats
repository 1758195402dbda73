#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smuxshim --mode trap: programs that no library can be preloaded into, and what a supervisor's end
# does to them.

load lib

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    cc -static -D_GNU_SOURCE "$fixtures/trapped.c" -o trapped_c
    cc -static -D_GNU_SOURCE "$fixtures/trapped_waits.c" -o trapped_waits
    export GOCACHE=$BATS_FILE_TMPDIR/cache GOPATH=$BATS_FILE_TMPDIR/path GOFLAGS=-mod=mod GO111MODULE=off
    CGO_ENABLED=0 go build -o trapped_go "$fixtures/trapped.go"
}

setup() {
    programs=$BATS_FILE_TMPDIR
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() { stop_all; show_logs; }

# trapped COMMAND...: runs the command under the trap.
trapped() {
    if direct; then "$@"; else
        SMUXSHIM_LOG=$BATS_TEST_TMPDIR/trap.log "$BUILD/smuxshim" -c "$smuxshim_conf" --mode trap "$@"
    fi
}

@test "a static C program: blocking and not, IPv4 and IPv6, refused, names, options, a child" {
    start_both "127.0.0.1:*, [::1]:*"
    "$programs/trapped_c" >expected 2>&1
    [ "$(grep -c '^-- ' expected)" = 8 ]
    trapped "$programs/trapped_c" >found 2>&1
    diff expected found
    assert_carried 8
}

@test "a static Go program: addresses, an error, a hundred connections at once" {
    start_nginx
    start_both "127.0.0.1:*, [::1]:*"
    local address closed
    closed=$(free_port)
    for address in "127.0.0.1:$web_port" "[::1]:$web_port" "127.0.0.1:$closed"; do
        "$programs/trapped_go" "$address" >>expected
        trapped "$programs/trapped_go" "$address" >>found
    done
    diff expected found
    run trapped "$programs/trapped_go" "http://127.0.0.1:$web_port/small1" 100
    assert_output "100 of 100"
    assert_carried 103
}

@test "what a shell starts is reached, static or not; destinations without a route go direct" {
    start_nginx
    start_both "127.0.0.1:$web_port"
    run trapped sh -c "'$programs/trapped_go' 127.0.0.1:$web_port && curl -sS http://127.0.0.1:$web_port/"
    assert_line "from 127.0.0.1 to 127.0.0.1:$web_port"
    assert_line hello
    assert_carried 2
    local before
    direct || before=$(streams_total)
    run trapped curl -sSk "https://127.0.0.1:$tls_port/"
    assert_output hello
    direct || assert_equal "$(streams_total)" "$before"
}

@test "exit status, signal and standard streams are the program's" {
    start_both "127.0.0.1:*"
    run -7 trapped sh -c 'exit 7'
    run -143 trapped sh -c 'kill -TERM $$'
    run -127 trapped ./nonexisting
    assert_equal "$(echo text | trapped cat)" text
}

@test "a connect without an outcome ends by a signal, by SO_SNDTIMEO, and at once if it is not blocking" {
    direct && skip "nothing delays a direct connect"
    start_peer
    start_both "127.0.0.1:*"
    kill -STOP "$gateway_pid"
    run trapped "$programs/trapped_waits" "$peer_port"
    kill -CONT "$gateway_pid"
    assert_output "interrupted: -1 Interrupted system call
it goes on: 1
limited: -1 Operation now in progress
and again: -1 Operation already in progress
not blocking: -1 Operation now in progress
nor again: -1 Operation already in progress"
}

# Starts a program that connects when a line comes through the pipe `gate`, in $spawned. Sets $supervisor.
program_waits() {
    start_peer
    start_both "127.0.0.1:*"
    mkfifo gate
    spawn program trapped sh -c "echo waits; read -r line <gate; exec '$programs/trapped_go' 127.0.0.1:$peer_port"
    wait_until "the program" grep -q waits program.log
    wait_until "the supervisor" supervisor_answers
}

@test "without its supervisor a program's connects fail, and do not hang; other programs are not concerned" {
    direct && skip "there is no supervisor without the shim"
    program_waits
    kill -KILL "$supervisor"
    wait_until "the supervisor's end" not_alive "$supervisor"
    echo go >gate
    wait_until "the program's end" not_alive "$spawned"
    run cat program.log
    assert_line "error: function not implemented"
    run trapped "$programs/trapped_go" "127.0.0.1:$peer_port"
    assert_output "from 127.0.0.1 to 127.0.0.1:$peer_port"
}

# Sets $supervisor.
supervisor_answers() {
    supervisor=$(sed -n 's/.*trap: process \([0-9]*\) answers$/\1/p' trap.log)
    [ -n "$supervisor" ]
}

not_alive() { ! alive "$1"; }

@test "a SIGTERM to all processes of a service leaves the program its supervisor" {
    direct && skip "there is no supervisor without the shim"
    program_waits
    kill -TERM "$supervisor"
    echo go >gate
    wait_until "the program's end" not_alive "$spawned"
    run cat program.log
    assert_line "from 127.0.0.1 to 127.0.0.1:$peer_port"
    wait_until "the supervisor's end" not_alive "$supervisor"
}

@test "a program that cannot be put under the trap runs direct with one line, or not at all if strict" {
    direct && skip "there is no launcher without the shim"
    start_both "127.0.0.1:*"
    run trapped "$BUILD/smuxshim" -c "$smuxshim_conf" --mode trap echo runs
    assert_success
    assert_line --partial "under another supervisor of system calls already"
    assert_line runs
    SMUXSHIM_STRICT=1 run -1 trapped "$BUILD/smuxshim" -c "$smuxshim_conf" --mode trap echo runs
    refute_line runs
}

@test "the option's value is checked" {
    direct && skip "there is no launcher without the shim"
    run -2 "$BUILD/smuxshim" --mode other true
    assert_output --partial "--mode other: expected preload, trap or auto"
}

@test "--mode auto preloads what can be preloaded, and traps what cannot" {
    direct && skip "there is no launcher without the shim"
    start_nginx
    start_both "127.0.0.1:*"
    automatic() { "$BUILD/smuxshim" -v -c "$smuxshim_conf" --mode auto "$@"; }
    run --separate-stderr automatic "$programs/trapped_go" "http://127.0.0.1:$web_port/small1" 10
    assert_output "10 of 10"
    assert [ "$(grep -c 'a supervisor answers' <<<"$stderr")" = 1 ]
    run --separate-stderr automatic curl -sS "http://127.0.0.1:$web_port/"
    assert_output hello
    refute grep -q 'supervisor\|warning' <<<"$stderr"
    assert_carried 11
}
