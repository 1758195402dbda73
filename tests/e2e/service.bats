#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The daemons under a service manager: what they tell it, and the sockets that it passes to them.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there are no daemons without the shim"; fi
    told=$BATS_TEST_TMPDIR/manager.log
    gateway_port=$(free_port)
    gateway_conf=$BATS_TEST_TMPDIR/gateway.conf
}

teardown() {
    stop_all
    show_logs
}

# managed [OPTION...] PROGRAM...: runs a daemon under tests/e2e/programs/manager.py.
managed() {
    spawn manager python3 "$fixtures/manager.py" --notify "${notify:-$BATS_TEST_TMPDIR/notify}" "$@"
    manager_pid=$spawned
    wait_until "its start" grep -q '^pid ' "$told"
}

# The daemon that runs now.
daemon() { sed -n 's/^pid //p' "$told" | tail -n 1; }

# tells TEXT [TIMES]: waits until the daemon has said that.
tells() { wait_until "the daemon to say: $1" said "$1" "${2:-1}"; }
said() { [ "$(grep -cE "^$1" "$told")" -ge "$2" ]; }

write_gateway_conf() {
    printf '%s\n' "[listen]" "address = tcp://127.0.0.1:$gateway_port" "allow = 127.0.0.1:*" "$@" >"$gateway_conf"
}

managed_gateway() { # [OPTION OF manager.py...]
    managed "$@" "$BUILD/smux-gateway" -c "$gateway_conf"
    tells 'READY=1'
}

dial() { ctl connect 127.0.0.1 "$peer_port" </dev/null; }

@test "a gateway in its sandbox reports that it is ready, reloads and stops" {
    write_gateway_conf "drain-timeout = 3s"
    managed_gateway
    tells 'READY=1; STATUS=serving: 0 sessions, 0 streams'
    grep -qE 'no sandbox|system calls filtered' "$told"
    run -0 ss -Hltn "sport = :$gateway_port"
    [ -n "$output" ]
    kill -HUP "$(daemon)"
    tells 'RELOADING=1; MONOTONIC_USEC=[0-9]{6,}$'
    tells 'READY=1; STATUS=serving' 2
    sed -i 's/^allow = .*/no-such-key = 1/' "$gateway_conf"
    kill -HUP "$(daemon)"
    tells 'RELOADING=1' 2
    tells 'READY=1; STATUS=configuration not reloaded: .*gateway.conf:3: '
    stop "$(daemon)"
    tells 'STOPPING=1; EXTEND_TIMEOUT_USEC=8000000; STATUS=draining: 0 sessions, 0 streams'
    tells 'ended 0'
    run grep 'of another process' "$told"
    assert_failure
}

@test "a gateway in its sandbox feeds the watchdog, and one that hangs does not" {
    write_gateway_conf
    notify=@smuxshim-test-$BATS_ROOT_PID-$BATS_TEST_NUMBER managed_gateway --watchdog 0.4
    tells 'WATCHDOG=1; STATUS=serving: 0 sessions, 0 streams' 3
    kill -STOP "$(daemon)"
    sleep 0.3
    local before
    before=$(grep -c WATCHDOG "$told")
    sleep 0.7
    assert_equal "$(grep -c WATCHDOG "$told")" "$before"
    kill -CONT "$(daemon)"
    tells 'WATCHDOG=1' $((before + 1))
}

@test "the first process of several workers reports for all, and replaces a worker that hangs" {
    write_gateway_conf "workers = 2"
    managed_gateway --watchdog 0.8
    tells 'READY=1; STATUS=serving: 2 of 2 workers run'
    tells 'WATCHDOG=1; STATUS=serving: 2 of 2 workers run' 2
    local stuck
    stuck=$(pgrep -P "$(daemon)" | head -n 1)
    kill -STOP "$stuck"
    tells '.* error: worker [01] .pid '"$stuck"'. has done nothing for [0-9.]+ s: it is killed and replaced'
    wait_until "its end" eval '! alive $stuck'
    both() { [ "$(pgrep -P "$(daemon)" | wc -l)" = 2 ]; }
    wait_until "another worker" both
    kill -HUP "$(daemon)"
    tells 'RELOADING=1'
    tells 'READY=1' 2
    stop "$(daemon)"
    tells 'STOPPING=1; EXTEND_TIMEOUT_USEC=35000000; STATUS=draining: 2 of 2 workers run'
    run grep 'of another process' "$told"
    assert_failure
}

@test "workers that were stopped together with their supervisor are not taken for stuck" {
    write_gateway_conf "workers = 2"
    managed_gateway --watchdog 0.8
    local workers
    mapfile -t workers < <(pgrep -P "$(daemon)")
    kill -STOP "$(daemon)" "${workers[@]}"
    sleep 1.2
    kill -CONT "$(daemon)"
    sleep 0.05
    kill -CONT "${workers[@]}"
    tells 'WATCHDOG=1; STATUS=serving: 2 of 2 workers run' $(($(grep -c WATCHDOG "$told") + 4))
    assert_equal "$(pgrep -P "$(daemon)")" "$(printf '%s\n' "${workers[@]}")"
}

@test "a gateway takes the socket that was opened for it, and no connect is refused while it is restarted" {
    write_gateway_conf "drain-timeout = 0"
    managed_gateway --listen "127.0.0.1:$gateway_port" --name carriers
    write_smuxshim_conf '127.0.0.1:*'
    start_helper
    run -0 dial
    spawn connects python3 "$fixtures/constant.py" "$gateway_port"
    wait_until "connects" grep -q '^connected 20$' "$BATS_TEST_TMPDIR/connects.log"
    for round in 1 2 3; do
        kill -USR1 "$manager_pid"
        tells 'READY=1' $((round + 1))
    done
    stop "$spawned"
    run grep -v '^connected' "$BATS_TEST_TMPDIR/connects.log"
    assert_failure
    run -0 dial
}

@test "workers share a socket that was passed" {
    write_gateway_conf "workers = 2"
    managed_gateway --listen "127.0.0.1:$gateway_port"
    write_smuxshim_conf '127.0.0.1:*'
    start_helper
    run -0 dial
    local inode
    inode=$(ss -Hltne "sport = :$gateway_port" | grep -oE 'ino:[0-9]+' | sort -u)
    assert_equal "$(wc -l <<<"$inode")" 1
}

@test "a passed socket that no address names keeps a gateway from starting, with one line" {
    local other
    other=$(free_port)
    write_gateway_conf
    spawn manager python3 "$fixtures/manager.py" --listen "127.0.0.1:$other" --name spare.socket \
        "$BUILD/smux-gateway" -c "$gateway_conf"
    tells 'ended 1'
    run grep -c 'error: 127.0.0.1:'"$other"' .spare.socket. was passed by the service manager, but is none of this gateway.s addresses' "$told"
    assert_output 1
    # As many as there are, and no more.
    run --separate-stderr sh -c 'LISTEN_FDS=3 LISTEN_PID=$$ exec "$@" 3>&- 4>&- 5>&-' - "$BUILD/smux-gateway" -c "$gateway_conf"
    assert_failure 2
    assert_equal "$stderr" "smux-gateway: LISTEN_FDS: expected at most 2048 descriptors from 3 on: Bad file descriptor"
    run --separate-stderr env NOTIFY_SOCKET=vsock:2:1234 "$BUILD/smux-gateway" -c "$gateway_conf"
    assert_failure 2
    assert_equal "$stderr" "smux-gateway: NOTIFY_SOCKET: expected a path or @NAME: Address family not supported by protocol"
}

@test "a helper takes the socket that was opened for it, reports, and leaves the socket in place" {
    start_gateway
    write_smuxshim_conf '127.0.0.1:*'
    managed --listen "$BATS_TEST_TMPDIR/smuxshim-helper.sock" --watchdog 0.6 "$BUILD/smux-helper" -f -c "$smuxshim_conf"
    tells 'READY=1; STATUS=serving: 0 connections'
    tells 'WATCHDOG=1; STATUS=serving: 0 connections' 2
    run -0 dial
    run -0 "$BUILD/smuxshim" -c "$smuxshim_conf" curl -s "http://127.0.0.1:$peer_port/" --http0.9 --max-time 5 -o /dev/null
    kill -HUP "$(daemon)"
    tells 'RELOADING=1; MONOTONIC_USEC='
    tells 'READY=1' 2
    ctl reload
    tells 'READY=1' 3
    # A program that connects while the helper is away is served by the next one.
    kill -USR1 "$manager_pid"
    tells 'ended 0'
    [ -S "$BATS_TEST_TMPDIR/smuxshim-helper.sock" ]
    run -0 dial
    tells 'READY=1' 4
    run -0 ctl drain
    tells '.* warn: the service manager keeps the socket: new connections wait until this helper has ended'
    tells 'ended 0' 2
}

@test "a helper that a program of a service started says nothing to the service manager" {
    start_gateway
    write_smuxshim_conf '127.0.0.1:*'
    managed sh -c '"$@" && sleep 1' - "$BUILD/smux-helper" -c "$smuxshim_conf"
    wait_until "the helper" ctl status
    ctl reload
    ctl stop
    tells 'ended 0'
    run grep -v '^pid\|^ended' "$told"
    assert_failure
}
