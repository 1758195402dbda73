#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Random conversations (tests/oracle/conversation), direct and then over every kind of path. A
# failure prints its seed; `conversation --seed N` repeats it, and tests/oracle/README.md says how
# to run many.

load ../e2e/lib

setup_file() {
    make -C "$root" BUILD="$BUILD" --no-print-directory oracle >&2
}

teardown() {
    show_logs
    stop_all
}

# talk FIRST COUNT [OPTION...]: runs COUNT conversations, from seed FIRST on.
talk() {
    $exec timeout 300 "$BUILD/oracle/conversation" --seed "$1" --count "$2" --jobs 16 "${@:3}"
}

# through FIRST COUNT [OPTION...]: the same under the shim.
through() {
    via timeout 300 "$BUILD/oracle/conversation" --seed "$1" --count "$2" --jobs 16 "${@:3}"
}

all_routes="127.0.0.1:*, [::1]:*"

# by_carriers FIRST COUNT FUNCTION [OPTION...]: calls FUNCTION FIRST COUNT [OPTION...] with the share of
# each kind of carrier, and with a gateway and a helper for it.
by_carriers() {
    local first=$1 kinds share
    kinds=$(wc -w <<<"$carriers")
    share=$(($2 / kinds))
    ! direct || { "$3" "$1" "$2" "${@:4}"; return; }
    for carrier in $carriers; do
        unset gateway_port
        start_both "$all_routes"
        "$3" "$first" "$share" "${@:4}"
        assert_carried "$share"
        stop "$helper_pid"
        stop "$gateway_pid"
        first=$((first + share))
    done
}

# start_plain VERSION: a smux server that is not ours, and a helper whose route knows it as such.
start_plain() {
    direct && return
    over_tcp "the server speaks no TLS"
    spawn plain_peer "$BUILD/oracle/plain_peer" "$1"
    wait_until "the plain peer's port" test -s "$BATS_TEST_TMPDIR/plain_peer.log"
    gateway_url=tcp://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/plain_peer.log") gateway_lines="version = $1" \
        write_smuxshim_conf 127.0.0.1:1 "handshake = none"
    start_helper
}

@test "conversations: direct, no error" {
    talk 1 300
}

@test "conversations: over smux version 2, nothing stalls and every byte and every end is right" {
    by_carriers 1 300 through
}

@test "conversations: the same over smux version 1" {
    gateway_lines="version = 1"
    by_carriers 1000 150 through
}

@test "conversations: the same with a plain smux server, version 2" {
    direct && skip "there is no direct way to a smux server"
    start_plain 2
    through 2000 100 --via 1 --no-reset
}

@test "conversations: the same with a plain smux server, version 1" {
    direct && skip "there is no direct way to a smux server"
    start_plain 1
    through 3000 100 --via 1 --no-reset
}

# This reveals lost edges and bounds that are too small. (No resets: the notice of SO_LINGER waits
# for the helper for one second only.)
@test "conversations: the same when helper and gateway get little time and all processes share one processor" {
    by_carriers 4000 150 starved
}

starved() {
    direct || renice -n 19 -p "$gateway_pid" "$helper_pid"
    direct || taskset -p -c 0 "$gateway_pid"
    direct || taskset -p -c 0 "$helper_pid"
    via taskset -c 0 timeout 300 "$BUILD/oracle/conversation" --seed "$1" --count "$2" --jobs 16 --no-reset
}
