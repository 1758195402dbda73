#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# iperf3 over one carrier: both directions, eight connections and its control connection.

load lib

setup_file() { start_iperf3; }

teardown_file() { stop_all; }

setup() { start_both "127.0.0.1:$iperf_port"; }

teardown() {
    stop_all
    show_logs
}

# measure OPTIONS...: runs iperf3 and prints "STREAMS SENT RECEIVED" of its report.
measure() {
    via iperf3 -c 127.0.0.1 -p "$iperf_port" -J "$@" >"$BATS_TEST_TMPDIR/report"
    jq -r 'if .error then .error else [(.end.streams | length), .end.sum_sent.bytes, .end.sum_received.bytes] | @tsv end' \
        "$BATS_TEST_TMPDIR/report"
}

check_report() {
    assert_success
    # shellcheck disable=SC2154 # bats sets $output
    read -r streams sent received <<<"$output"
    assert_equal "$streams" "$1"
    assert [ "$sent" -gt 100000000 ]
    assert [ "$received" -gt 100000000 ]
    # iperf3 3.16 and later counts in other threads than send: a block of each may be missing.
    assert [ "$received" -le $((sent + streams * 131072)) ]
}

@test "iperf3 sends over eight connections" {
    run measure -P 8 -t 2
    check_report 8
    assert_carried 9
}

@test "iperf3 receives over eight connections" {
    run measure -P 8 -t 2 -R
    check_report 8
    assert_carried 9
}

@test "iperf3 sends and receives at the same time" {
    run measure -P 2 -t 2 --bidir
    check_report 4
    assert_carried 5
}
