#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A gateway that is replaced by the installed program (SIGUSR2) while clients connect all the time.

load lib
load newcomers

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no gateway without the shim"; fi
    log=$BATS_TEST_TMPDIR/gateway.log
    gateway_port=$(free_port)
    gateway_conf=$BATS_TEST_TMPDIR/gateway.conf
    connecting=()
    program=$BATS_TEST_TMPDIR/smux-gateway
    cp "$BUILD/smux-gateway" "$program"
}

teardown() {
    stop_all
    show_logs
}

write_conf() {
    printf '%s\n' "[listen]" "address = $carrier://127.0.0.1:$gateway_port, unix://$BATS_TEST_TMPDIR/carrier" \
        "allow = 127.0.0.1:*" "$(carrier_trust)" "$@" >"$gateway_conf"
}

# Whoever replaces the gateway is not spawned by the test, and is ended with it.
gateway_is() {
    gateway_pid=$1
    echo "$1 TERM" >>"$(work)/spawned"
}

start() {
    serve gateway "$gateway_port" "$program" -c "$gateway_conf"
    gateway_pid=$spawned
    gateway_is "$gateway_pid"
}

has_said() { grep -qE "smux-gateway.$1.*$2" "$log"; }

# replaced: SIGUSR2, and $gateway_pid is the next one.
replaced() {
    kill -USR2 "$gateway_pid"
    wait_until "a successor" has_said "$gateway_pid" "replaced by pid"
    gateway_is "$(sed -n "s/.*smux-gateway.$gateway_pid.*replaced by pid //p" "$log")"
}

everybody_connects() {
    write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    [ "$carrier" = tls ] || newcomers carriers python3 "$fixtures/newcomers.py" carriers "$gateway_port" "$peer_port"
    newcomers local python3 "$fixtures/newcomers.py" carriers "$BATS_TEST_TMPDIR/carrier" "$peer_port"
    newcomers connects "$BUILD/smuxshim" -c "$smuxshim_conf" python3 "$fixtures/newcomers.py" connects "$peer_port"
    newcomers transfer "$BUILD/smuxshim" -c "$smuxshim_conf" python3 "$fixtures/newcomers.py" transfer "$peer_port"
}

@test "a gateway is replaced again and again, and no connect is refused, reset or cut off" {
    write_conf
    start
    local first=$gateway_pid
    everybody_connects
    for _ in 1 2 3 4; do replaced; done
    [ -S "$BATS_TEST_TMPDIR/carrier" ]
    # The transfer goes on where it began; new connections are the last one's.
    alive "$first"
    newcomers_end
    wait_until "the end of the first" eval '! alive $first'
    alive "$gateway_pid"
}

@test "the number of workers changes with the successor, and each queue has somebody who accepts" {
    local metrics_port
    metrics_port=$(free_port)
    write_conf "workers = 3" "metrics = 127.0.0.1:$metrics_port"
    start
    everybody_connects
    local workers
    for workers in 2 1 4 3; do
        sed -i "s/^workers = .*/workers = $workers/" "$gateway_conf"
        replaced
    done
    newcomers_end
    workers=$(pgrep -P "$gateway_pid" -x smux-gateway | wc -l)
    assert_equal "$workers" 3
    [ "$(ss -Hltn "sport = :$gateway_port" | wc -l)" = 3 ]
    # The port of metrics has moved, too.
    run -0 curl -sf --max-time 5 "http://127.0.0.1:$metrics_port/readyz"
    published_by() { [ "$(pgrep -a -x smux-metrics | grep -cF -- "-c $gateway_conf")" = "$1" ]; }
    wait_until "a single one that publishes" published_by 1
}

# fails TEXT: a successor that does not get there, and the running gateway says TEXT.
fails() {
    local text=$1 before
    before=$(failures "$text")
    kill -USR2 "$gateway_pid"
    wait_until "the failure: $text" eval '[ "$(failures "$text")" -gt "$before" ]'
}
failures() { grep -cE "smux-gateway.$gateway_pid. error: the successor .pid [0-9]+. $1: this process goes on" "$log" || true; }

silent_one() { pgrep -P "$(pgrep -d, -P "$gateway_pid")" sleep; }

install_instead() {
    rm "$program"
    printf '%s\n' '#!/bin/sh' "$@" >"$program"
    chmod 755 "$program"
}

@test "a successor that fails at any point changes nothing, and the log says so" {
    local workers silent before real=$BATS_TEST_TMPDIR/real
    cp "$program" "$real"
    for workers in 1 2; do
        write_conf "workers = $workers"
        start
        newcomers local python3 "$fixtures/newcomers.py" carriers "$BATS_TEST_TMPDIR/carrier" "$peer_port"
        echo "no-such-key = 1" >>"$gateway_conf"
        fails "has ended before it was ready"
        grep -q 'smux-gateway: .*gateway.conf:[0-9]*: ' "$log"
        sed -i '$d' "$gateway_conf"
        install_instead 'kill -9 $$'
        fails "has ended before it was ready"
        install_instead "SMUX_PREDECESSOR=7\${SMUX_PREDECESSOR#?} exec $real \"\$@\""
        fails "has ended before it was ready"
        grep -q 'smux-gateway: cannot replace the running process: expected a handover of version 1 .SMUX_PREDECESSOR., found "7:' "$log"
        # Killed in the middle, with the sockets in its hands; one that is silent gives way to the next.
        install_instead 'exec sleep 3600'
        before=$(failures "has ended before it was ready")
        kill -USR2 "$gateway_pid"
        wait_until "a silent one" silent_one
        kill -KILL "$(silent_one)"
        wait_until "its end" eval '[ "$(failures "has ended before it was ready")" -gt "$before" ]'
        kill -USR2 "$gateway_pid"
        wait_until "a silent one" silent_one
        silent=$(silent_one)
        cp "$real" "$program.new"
        mv "$program.new" "$program"
        replaced
        wait_until "its end" eval '! alive $silent'
        newcomers_end
        stop "$gateway_pid"
    done
}

@test "what has been accepted without a PROXY header, and privileges that were given up, are no hindrance" {
    [ "$(id -u)" = 0 ] || skip "this needs root"
    write_conf "accept-proxy = 127.0.0.1/32" "user = nobody"
    local dir
    dir=$(public_dir)
    sed -i "s|unix://[^ ]*|unix://$dir/carrier|" "$gateway_conf"
    start
    exec {early}<>"/dev/tcp/127.0.0.1/$gateway_port"
    wait_until "its accept" eval '[ "$(ss -Htn state established "sport = :$gateway_port" | wc -l)" = 1 ]'
    local first=$gateway_pid
    replaced
    alive "$first"
    run -0 grep -c '^Uid:.*65534' "/proc/$gateway_pid/status"
    run -0 grep -q '^Seccomp:.*2' "/proc/$gateway_pid/status"
    # It says now for whom it is: the first one serves it.
    printf 'PROXY TCP4 192.0.2.7 127.0.0.1 1234 5678\r\n' >&"$early"
    wait_until "its session" has_said "$first" "192.0.2.7:1234 via 127.0.0.1:"
    exec {early}>&-
    wait_until "its end" eval '! alive $first'
    replaced
}

@test "the service manager follows: the successor is the main process, and whoever stops it stops all" {
    write_conf
    write_smuxshim_conf "127.0.0.1:$peer_port"
    log=$BATS_TEST_TMPDIR/manager.log
    spawn manager python3 "$fixtures/manager.py" --notify "$BATS_TEST_TMPDIR/notify" --watchdog 0.6 "$program" -c "$gateway_conf"
    wait_until "its start" grep -q '^READY=1' "$log"
    gateway_is "$(sed -n 's/^pid //p' "$log")"
    local first=$gateway_pid
    start_helper
    spawn_signal=KILL newcomers transfer "$BUILD/smuxshim" -c "$smuxshim_conf" python3 "$fixtures/newcomers.py" transfer "$peer_port"
    replaced
    replaced
    grep -q "^MAINPID=$gateway_pid\$" "$log"
    wait_until "its report" eval '[ "$(grep -c "^READY=1; STATUS=serving" "$log")" = 3 ]'
    wait_until "its watchdog" eval 'sed "1,/^MAINPID=$gateway_pid/d" "$log" | grep -q "^WATCHDOG=1"'
    run grep 'of another process' "$log"
    assert_failure
    alive "$first"
    # drain-timeout counts for all from here on.
    sed -i 's/^allow/drain-timeout = 0\nallow/' "$gateway_conf"
    kill -HUP "$first" "$gateway_pid"
    wait_until "the reloads" eval '[ "$(grep -c "configuration reloaded" "$log")" = 2 ]'
    stop "$gateway_pid"
    wait_until "their end" grep -q '^ended 0' "$log"
    refute alive "$first"
}

@test "the first process of a container is not replaced, and says why" {
    [ "$(id -u)" = 0 ] || skip "this needs root"
    write_conf
    spawn_signal=KILL serve gateway "$gateway_port" unshare --pid --fork --kill-child "$program" -c "$gateway_conf"
    pkill -USR2 -P "$spawned"
    wait_until "a line" grep -q 'error: cannot be replaced: it is the first process of its PID namespace' "$log"
    listening "$gateway_port"
}
