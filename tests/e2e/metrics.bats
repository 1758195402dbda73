#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What gateway and helper publish by HTTP: whether they are alive and ready, and how much they have done.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "without the shim there is neither gateway nor helper"; fi
    metrics_port=$(free_port)
}

teardown() {
    stop_all
    show_logs
}

# get PATH [OPTION...]: prints the status of the answer and, below it, its body.
get() { curl -s -m 5 -o - -w '\n%{http_code}' "${@:2}" "http://127.0.0.1:$metrics_port$1" | tac | awk 'NR == 1 || NF' | { read -r code; echo "$code"; tac; }; }
answers() { [ "$(get "$1" | head -n 1)" = "$2" ]; }

dial() { ctl connect 127.0.0.1 "$peer_port" "$@" </dev/null 2>&1; }

@test "the gateway is healthy and ready; other paths are 404, other methods 405" {
    gateway_conf_lines="metrics = 127.0.0.1:$metrics_port" start_gateway
    run -0 get /healthz
    assert_output $'200\nok'
    run -0 get /readyz
    assert_output $'200\nok'
    run -0 get /
    assert_output $'404\nexpected /metrics, /healthz or /readyz'
    run -0 get /metrics -X POST -d x
    assert_output $'405\nexpected GET or HEAD'
    run -0 get /metrics --head
    assert_line 'Content-Type: text/plain; version=0.0.4; charset=utf-8'$'\r'
}

@test "a gateway that drains is not ready, and says so, until it has ended" {
    gateway_conf_lines="metrics = 127.0.0.1:$metrics_port" gateway_drain=20s start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    coproc "$BUILD/smuxctl" -c "$smuxshim_conf" connect 127.0.0.1 "$peer_port" 2>/dev/null
    wait_until "a stream" test "$(streams_now)" = 1
    answers /readyz 200
    kill -TERM "$gateway_pid"
    wait_until "503" answers /readyz 503
    run -0 get /readyz
    assert_output $'503\ndraining'
    run -0 get /healthz
    assert_output $'200\nok'
    kill "$COPROC_PID"
    wait_until "the gateway's end" eval "! alive $gateway_pid"
    run get /readyz
    assert_output 000
}

@test "a helper is ready until its gateway cannot be reached, and again when it can" {
    helper_lines="metrics = 127.0.0.1:$metrics_port" start_both "127.0.0.1:$peer_port"
    run -0 get /readyz
    assert_output $'200\nok'
    run dial
    stop "$gateway_pid"
    wait_until "503" answers /readyz 503
    run -0 get /readyz
    assert_output $'503\nno gateway can be reached'
    start_gateway
    wait_until "200" answers /readyz 200
}
