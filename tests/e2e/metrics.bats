#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What gateway and helper publish by HTTP: whether they are alive and ready, and how much they have done.

load lib

setup_file() {
    start_peer
    if direct; then return; fi
    busy
}
teardown_file() { stop_all; }

setup() {
    if direct; then skip "without the shim there is neither gateway nor helper"; fi
    metrics_port=$(free_port)
    publish="metrics = 127.0.0.1:$metrics_port"
}

teardown() {
    stop_all
    show_logs
}

# Debian's Python has the parsers; there may be another one in front of it.
metrics() { /usr/bin/python3 "$fixtures/metrics.py" "$@"; }

# get PATH [OPTION-OF-CURL...]: prints the status of the answer and then its body.
get() {
    local body
    body=$(curl -s -m 5 -w '\n%{http_code}' "${@:2}" "http://127.0.0.1:$metrics_port$1") || true
    printf '%s\n%s' "${body##*$'\n'}" "${body%$'\n'*}"
}
answers() { [ "$(get "$1" | head -n 1)" = "$2" ]; }

dial() { ctl connect 127.0.0.1 "$peer_port" </dev/null 2>&1; }

# busy: a gateway with a client and a helper, both of which publish, and connections of every kind; what they
# publish then, in $BATS_FILE_TMPDIR, and where. The last connection stays open.
busy() {
    export gateway_metrics helper_metrics
    gateway_metrics=http://127.0.0.1:$(free_port) helper_metrics=http://127.0.0.1:$(free_port)
    gateway_conf_lines="metrics = ${gateway_metrics#http://}
address = unix://$BATS_FILE_TMPDIR/carrier
allow = 127.0.0.1:*
access-log = $BATS_FILE_TMPDIR/access.log
[client tester]
identity = uid:$(id -u)" gateway_allow='127.0.0.1:*' start_gateway
    gateway_url=unix://$BATS_FILE_TMPDIR/carrier helper_lines="metrics = ${helper_metrics#http://}" \
        write_smuxshim_conf 127.0.0.0/8
    start_helper
    mkfifo "$BATS_FILE_TMPDIR/hold"
    sleep 600 >"$BATS_FILE_TMPDIR/hold" 3>&- 4>&- &
    echo "$! TERM" >>"$BATS_FILE_TMPDIR/spawned"
    via python3 "$fixtures/mixture.py" "$peer_port" <"$BATS_FILE_TMPDIR/hold" >"$BATS_FILE_TMPDIR/mixture" 3>&- 4>&- &
    echo "$! TERM" >>"$BATS_FILE_TMPDIR/spawned"
    wait_until "the connections" grep -q done "$BATS_FILE_TMPDIR/mixture"
    wait_until "the gateway's counters" settled "$gateway_metrics" gateway round_trip_seconds_count
    wait_until "the helper's counters" settled "$helper_metrics" helper round_trip_seconds_count
}

# settled URL DAEMON HISTOGRAM: both resets have arrived, and the histogram has an observation. Writes DAEMON.metrics.
settled() {
    metrics get "$1" >"$BATS_FILE_TMPDIR/$2.metrics" &&
        grep -q 'end="client-reset".* 1$' "$BATS_FILE_TMPDIR/$2.metrics" &&
        grep -q 'end="target-reset".* 1$' "$BATS_FILE_TMPDIR/$2.metrics" &&
        grep -q "_$3{.* [1-9]" "$BATS_FILE_TMPDIR/$2.metrics"
}

# has DAEMON LABELS NAME[:LABEL] VALUE...: these are the values of the daemon's metrics with these labels.
has() {
    local daemon=$1 labels=$2 extra
    shift 2
    while [ $# -gt 0 ]; do
        extra=
        [[ $1 != *:* ]] || extra=,${1#*:}
        echo "smuxshim_${daemon}_${1%%:*}{$(tr ',' '\n' <<<"$labels$extra" | sort | paste -sd,)} $2"
        shift 2
    done | sort >"$BATS_TEST_TMPDIR/expected"
    run comm -23 "$BATS_TEST_TMPDIR/expected" <(sort "$BATS_FILE_TMPDIR/$daemon.metrics")
    assert_output ""
}

@test "both daemons count what the connections did, byte for byte, by client and by route and gateway" {
    local daemon
    for daemon in gateway helper; do
        local labels='client="tester"'
        [ $daemon = gateway ] || labels='route="test",gateway="main"'
        has $daemon "$labels" connections_opened_total 6 connections_active 1 connections_opening 0 \
            connections_refused_total:'reason="refused"' 2 connections_refused_total:'reason="denied"' 1 \
            connections_refused_total:'reason="timeout"' 0 connections_ended_total:'end="closed"' 3 \
            connections_ended_total:'end="client-reset"' 1 connections_ended_total:'end="target-reset"' 1 \
            connections_ended_total:'end="given-up"' 0 connect_seconds_count 6 connect_seconds_bucket:'le="+Inf"' 6 \
            bytes_total:'direction="from-target"' 300000 \
            bytes_total:'direction="to-target"' $((3 * 12 + 8 + 7 + 5))
    done
    has gateway 'client="tester"' sessions 1 sessions_begun_total 1 sessions_ended_total 0
    has helper 'gateway="main"' sessions 1 gateway_unreachable 0 streams_waiting 0
    # The access log, which counts for itself, agrees; the connection that is open is not in it yet.
    ended() { [ "$(wc -l <"$BATS_FILE_TMPDIR/access.log")" = 8 ]; }
    wait_until "the access log" ended
    run -0 jq -s 'map(.bytes_from_target) | add' "$BATS_FILE_TMPDIR/access.log"
    assert_output 300000
}

@test "descriptors, memory and processor time are those that the kernel tells" {
    local pid value
    for daemon in gateway helper; do
        pid=$(pgrep -f "^$BUILD/smux-$daemon -c $BATS_FILE_TMPDIR" | head -n 1)
        value() { sed -nE "s/^smuxshim_${daemon}_$1\{.*\} //p" "$BATS_FILE_TMPDIR/$daemon.metrics"; }
        run value open_descriptors
        assert_output "$(find "/proc/$pid/fd" -mindepth 1 | wc -l)"
        run value descriptors_limit
        assert_output "$(awk '/^Max open files/ { print $4 }' "/proc/$pid/limits")"
        [ "$(value resident_memory_bytes)" -ge 1000000 ] || fail "$(value resident_memory_bytes)"
        awk -v s="$(value cpu_seconds_total)" 'BEGIN { exit !(s > 0 && s < 60) }' || fail "$(value cpu_seconds_total)"
    done
}

@test "the manuals list exactly what is published, with its type and labels" {
    local daemon page
    for daemon in gateway helper; do
        page=$(echo "$root"/helper/*/smux-$daemon.8.scd)
        awk '/^# METRICS/ { on = 1; next } /^# / { on = 0 } on' "$page" |
            sed -nE "s/^\*(smuxshim_[a-z_]+)\*(\{(.*)\})?, ([a-z]+)$/\4 \1 \3/p" | sort >"$BATS_TEST_TMPDIR/told"
        local url=${daemon}_metrics
        metrics names "${!url}" | sort >"$BATS_TEST_TMPDIR/published"
        run diff "$BATS_TEST_TMPDIR/told" "$BATS_TEST_TMPDIR/published"
        assert_output ""
    done
}

@test "promtool, Prometheus' own checker, has nothing to say about what either publishes" {
    local url
    for url in "$gateway_metrics" "$helper_metrics"; do
        curl -sS -m 60 "$url/metrics" >"$BATS_TEST_TMPDIR/published"
        assert grep -q '^# TYPE smuxshim_' "$BATS_TEST_TMPDIR/published"
        run -0 promtool check metrics <"$BATS_TEST_TMPDIR/published"
        assert_output ""
    done
}

@test "every query of the dashboard names metrics and labels that exist" {
    run -0 metrics dashboard "$root/examples/grafana/smuxshim.json" "$gateway_metrics" "$helper_metrics"
    assert_output ""
}

@test "the gateway is healthy and ready; other paths are 404, other methods 405" {
    gateway_conf_lines=$publish start_gateway
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
    sed -i "s/^metrics = .*/metrics = 127.0.0.1:1/" "$gateway_conf"
    kill -HUP "$gateway_pid"
    wait_until "the reload" grep -q 'metrics: the changed value takes effect only after a restart' \
        "$BATS_TEST_TMPDIR/gateway.log"
}

@test "who answers has no root, no files and few system calls; without it the gateway goes on, and says so" {
    [ "$(id -u)" = 0 ] || skip "this needs root, to become somebody else"
    gateway_conf_lines="metrics = $BATS_TEST_TMPDIR/socket
user = nobody" start_gateway
    local pid
    curl_unix() { curl -s --unix-socket "$BATS_TEST_TMPDIR/socket" http://x/readyz; }
    run -0 curl_unix
    assert_output ok
    pid=$(pgrep -P "$gateway_pid" smux-metrics)
    run -0 sed -nE 's/^(Uid|CapPrm|CapBnd|NoNewPrivs|Seccomp):\s+(\w+).*/\1 \2/p' "/proc/$pid/status"
    if grep -qE 'no sandbox|not filtered' "$BATS_TEST_TMPDIR/gateway.log"; then
        assert_line "Uid $(id -u nobody)"
    else
        assert_output "Uid $(id -u nobody)
CapPrm 0000000000000000
CapBnd 0000000000000000
NoNewPrivs 1
Seccomp 2"
    fi
    run -0 find "/proc/$pid/fd" -lname '/*' ! -lname /dev/null
    assert_output ""
    kill -KILL "$pid"
    wait_until "a line" grep -q 'error: the process that publishes the metrics has died' "$BATS_TEST_TMPDIR/gateway.log"
    alive "$gateway_pid"
}

@test "what keeps the metrics from being published is one line, and nothing starts; a helper of a program goes on" {
    cat >"$BATS_TEST_TMPDIR/gateway.conf" <<END
[listen]
address = tcp://127.0.0.1:$(free_port)
metrics = 127.0.0.1:$peer_port
END
    run -1 "$BUILD/smux-gateway" -c "$BATS_TEST_TMPDIR/gateway.conf"
    assert_equal "${#lines[@]}" 1
    assert_output --partial "error: metrics: tcp://127.0.0.1:$peer_port: cannot bind: Address already in use"
    gateway_port=$(free_port) helper_lines="metrics = 127.0.0.1:$peer_port\nlog-file = $BATS_TEST_TMPDIR/helper.log" \
        write_smuxshim_conf "127.0.0.1:$peer_port"
    run -1 "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    run -0 "$BUILD/smux-helper" -c "$smuxshim_conf"
    run -0 ctl status
    run -0 ctl stop
    assert_equal "$(grep -c 'metrics: tcp://127.0.0.1:.*cannot bind' "$BATS_TEST_TMPDIR/helper.log")" 2
}

@test "a gateway that drains is not ready, and says so, until it has ended" {
    gateway_conf_lines=$publish gateway_drain=20s start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    coproc "$BUILD/smuxctl" -c "$smuxshim_conf" connect 127.0.0.1 "$peer_port" 2>/dev/null
    one_stream() { [ "$(streams_now)" = 1 ]; }
    wait_until "a stream" one_stream
    answers /readyz 200
    kill -TERM "$gateway_pid"
    wait_until "503" answers /readyz 503
    run -0 get /readyz
    assert_output $'503\ndraining'
    run -0 get /healthz
    assert_output $'200\nok'
    kill "$COPROC_PID"
    wait_until "the gateway's end" eval "! alive $gateway_pid"
    run -0 get /readyz
    assert_output --partial 000
}

@test "a helper is ready until its gateway cannot be reached, and again when it can" {
    helper_lines=$publish start_both "127.0.0.1:$peer_port"
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

@test "no counter steps back when workers are killed, and what they had open has ended" {
    gateway_conf_lines="workers = 3
$publish" start_gateway
    gateway_lines='connections = 6' write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    local i url=http://127.0.0.1:$metrics_port
    for i in 1 2 3 4 5 6; do run -0 dial; done
    coproc "$BUILD/smuxctl" -c "$smuxshim_conf" connect 127.0.0.1 "$peer_port" 2>/dev/null
    sum() { get /metrics | awk -v name="^smuxshim_gateway_$1[{ ]" '$0 ~ name { n += $NF } END { print n + 0 }'; }
    all_there() { [ "$(sum connections_ended_total)" = 6 ] && [ "$(sum connections_active)" = 1 ]; }
    wait_until "seven connections" all_there
    metrics get "$url" >"$BATS_TEST_TMPDIR/before"
    pgrep -P "$gateway_pid" smux-gateway | xargs kill -KILL
    replaced() { [ "$(sum workers_replaced_total)" = 3 ] && [ "$(sum sessions)" -ge 3 ]; }
    wait_until "other workers, and sessions with them" replaced
    metrics get "$url" >"$BATS_TEST_TMPDIR/after"
    run -0 metrics grows "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
    assert_output ""
    assert_equal "$(sum connections_opened_total) $(sum connections_active)" "7 0"
    run -0 grep -F 'connections_ended_total{client="-",end="worker-died"} 1' "$BATS_TEST_TMPDIR/after"
    wait_until "a connection" dial
    counted() { [ "$(sum connections_opened_total)" = 8 ]; } # the answer may be 100 ms old
    wait_until "its count" counted
}

@test "strangers who fail at the gateway are counted by the reason that the log has in full" {
    carrier=tls
    gateway_conf_lines="$publish
hello-timeout = 700ms" start_gateway
    local at=127.0.0.1:$gateway_port
    openssl s_client -connect "$at" -tls1_2 </dev/null >/dev/null 2>&1 || true
    openssl s_client -connect "$at" -tls1_3 -psk 00112233445566778899aabbccddeeff -psk_identity test \
        </dev/null >/dev/null 2>&1 || true
    openssl s_client -connect "$at" -tls1_3 -alpn smux -psk 00112233445566778899aabbccddeeff -psk_identity nobody \
        </dev/null >/dev/null 2>&1 || true
    openssl s_client -connect "$at" -tls1_3 -alpn smux -psk 00112233445566778899aabbccddeeff -psk_identity test \
        </dev/null >/dev/null 2>&1 || true
    curl -s "http://$at/" >/dev/null || true
    nc -N 127.0.0.1 "$gateway_port" </dev/null || true
    sleep 1 | nc 127.0.0.1 "$gateway_port" >/dev/null || true
    failures() { get /metrics | sed -nE 's/^smuxshim_gateway_handshake_failures_total\{worker="0",reason="(.*)"\} ([1-9].*)/\1 \2/p' | sort; }
    all_seven() { [ "$(failures | awk '{ n += $2 } END { print n }')" = 7 ]; }
    wait_until "seven failures" all_seven
    run -0 failures
    assert_output "closed 1
not-tls 1
protocol 1
secret 2
silent 1
version 1"
}

@test "a thousand connections of idlers and of nonsense keep nobody from an answer, nor the gateway from its work" {
    gateway_conf_lines=$publish start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    run -0 metrics hostile "http://127.0.0.1:$metrics_port"
    awk -v s="$output" 'BEGIN { exit !(s < 2) }' || fail "an answer took $output s"
    run -0 dial
    local pid
    pid=$(pgrep -P "$gateway_pid" smux-metrics)
    [ "$(find "/proc/$pid/fd" -mindepth 1 | wc -l)" -le 70 ] || fail "too many descriptors"
    [ "$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status")" -le 30000 ] || fail "$(grep VmHWM "/proc/$pid/status")"
}
