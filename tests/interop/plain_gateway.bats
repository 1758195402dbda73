#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# `handshake = none` at the gateway: to Go and Rust clients it is a smux server like any other, behind
# which is the target of its configuration.

load ../e2e/lib
load peer_programs
load path

setup() { cd "$BATS_TEST_TMPDIR" || return; }

teardown() {
    stop_all
    show_logs
}

# start_plain_gateway LINE...: in front of $target.
start_plain_gateway() {
    gateway_port=$(free_port)
    printf '%s\n' '[listen]' "address = tcp://127.0.0.1:$gateway_port" 'handshake = none' "target = $target" \
        "allow = $target" 'log-level = debug' "$budget" "$@" >gateway.conf
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c gateway.conf
    gateway_pid=$spawned
}

client() { # PEER OPTION...
    $exec "$peers/$1" --connect "127.0.0.1:$gateway_port" "${roomy[@]}" "${@:2}"
}

client_to_target() { # PEER VERSION
    need "$1"
    start_target
    start_plain_gateway
    run_all client "$1" --version "$2"
    expect_line gateway.log 'session ended after [1-9][0-9]* streams'
    stop "$target_pid"
    expect_line target.log '^session ended: .* truncated=0 failed=0$'
}

@test "Go client, our gateway without SOCKS5, version 1: all that it does arrives whole" {
    budget=$small_budget
    client_to_target go-peer 1
}

@test "Go client, our gateway without SOCKS5, version 2: all that it does arrives whole" {
    client_to_target go-peer 2
}

@test "Rust client, our gateway without SOCKS5: all that it does arrives whole" {
    client_to_target rust-peer 1
}

@test "Debian's Go client, our gateway without SOCKS5: streams at once" {
    need go-peer-debian
    start_target
    start_plain_gateway
    run -0 client go-peer-debian --version 2 --run parallel
}

# The stream is known to Go only when its opener has run again after writing SYN, which no frame
# shows as long as it sends nothing: hence a delay that no machine needs.
hears() { # PEER VERSION
    need "$1"
    spawn target python3 "$BATS_TEST_DIRNAME/speaks_first.py" 100000 1
    expect_line target.log '^listening '
    target=$(sed -n 's/^listening //p' target.log)
    start_plain_gateway 'silent-client-delay = 5s'
    run -0 client "$1" --version "$2" --seed 1 --size 100000 --run spoken-to
    assert_output 'ok spoken-to streams=40 bytes=4000000'
}

@test "Go client that sends nothing: a target that speaks first is heard on each stream, version 1" {
    hears go-peer 1
}

@test "Go client that sends nothing: a target that speaks first is heard on each stream, version 2" {
    hears go-peer 2
}

@test "Debian's Go client that sends nothing: a target that speaks first is heard on each stream" {
    hears go-peer-debian 2
}
