#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A connect that the program abandons ends in the helper and at the gateway long before any timeout.

load lib

setup() {
    export dir=$BATS_TEST_TMPDIR
    port=$(free_port)
    if ! direct; then
        gateway_conf_lines="connect-timeout = 1h"
        start_both "127.0.0.1:$port" "connect-timeout = 1h"
    fi
    spawn server python3 "$fixtures/abandon.py" server "$port" "$dir"
    wait_until "a full backlog" test -e "$dir/server-ready"
    fillers=3 # as abandon.py has it
    wait_until "those that fill it" dials 0
    export port fillers
}

teardown() {
    stop_all
    show_logs
}

# The number of connects to the server in progress, including those that fill its backlog.
dialling() { ss -Htn state syn-sent "dport = :$port" | wc -l; }
dials() { [ "$(dialling)" = $((fillers + $1)) ]; }
streams() { direct || [ "$(streams_now)" = "$1" ]; }

more_than() { [ "$(dialling)" -gt "$1" ]; }

# begin KIND: starts the program in the background and waits until its connect is in progress.
begin() {
    local before
    before=$(dialling)
    spawn "$1" via python3 "$fixtures/abandon.py" "$1" "$port" "$dir"
    wait_until "$1 to begin" test -e "$dir/$1-ready"
    wait_until "its connect" more_than "$before"
}

@test "helper and gateway abort a connect whose socket the program closes" {
    begin close
    wait_until "the connect" dials 1
    wait_until "its stream" streams 1
    touch "$dir/close"
    wait_until "the close" test -e "$dir/close-done"
    wait_until "no connect of the gateway's" dials 0
    wait_until "no stream" streams 0
}

@test "helper and gateway abort a connect whose program is killed" {
    begin block
    wait_until "the connect" dials 1
    wait_until "its stream" streams 1
    stop "$spawned" KILL
    wait_until "no connect of the gateway's" dials 0
    wait_until "no stream" streams 0
}

@test "a connect that the program shuts down is aborted at once, even if a child has a copy" {
    begin shutdown
    wait_until "the connect" dials 1
    wait_until "its stream" streams 1
    touch "$dir/shutdown"
    wait_until "the shutdown" test -e "$dir/shutdown-done"
    wait_until "no connect of the gateway's" dials 0
    wait_until "no stream" streams 0
}

@test "a connect that a child still waits for continues" {
    begin fork
    wait_until "the connect" dials 1
    begin close
    touch "$dir/close"
    wait_until "the other one to be given up" dials 1
    wait_until "its stream to end" streams 1
    touch "$dir/accept"
    wait_until "the child's connection" test -e "$dir/fork-done"
}
