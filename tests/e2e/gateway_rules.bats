#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smux-gateway: what it allows, how it reloads, its workers, and what replaces it when it is gone.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no gateway without the shim"; fi
}

teardown() {
    stop_all
    show_logs
}

# dial HOST: prints the result of `smuxctl connect HOST` with the peer's port.
dial() { ctl connect "$1" "$peer_port" </dev/null 2>&1; }
denied='smuxctl: Permission denied'

with_gateway_allowing() {
    gateway_allow=$1 start_both '*'
}

@test "a destination that is not listed is denied, and the gateway's log says why" {
    with_gateway_allowing '127.0.0.1:1'
    run dial 127.0.0.1
    assert_failure
    assert_output "$denied"
    run cat "$BATS_TEST_TMPDIR/gateway.log"
    assert_output --regexp "stream [0-9]+: connect to 127.0.0.1:$peer_port failed: not in the allow list"
}

@test "an empty allow list allows nothing" {
    gateway_port=$(free_port)
    listen_at "$gateway_port"
    serve gateway "$gateway_port" "$BUILD/smux-gateway" "${listen_options[@]}"
    write_smuxshim_conf '*'
    start_helper
    run dial 127.0.0.1
    assert_output "$denied"
}

@test "a v4-mapped address is checked as the IPv4 address" {
    with_gateway_allowing '[::/0]:*'
    run dial ::ffff:127.0.0.1
    assert_output "$denied"
    stop "$gateway_pid"
    gateway_allow='127.0.0.0/8:*' start_gateway
    run dial ::ffff:127.0.0.1
    assert_success
}

@test "a name rule alone does not allow a loopback address" {
    with_gateway_allowing 'localhost:*'
    run dial localhost
    assert_output "$denied"
    stop "$gateway_pid"
    gateway_allow='localhost:*, 127.0.0.0/8:*' start_gateway
    run dial localhost
    assert_success
}

@test "a name that does not exist: EHOSTUNREACH" {
    with_gateway_allowing '*'
    run dial "no-such-host.invalid"
    assert_output 'smuxctl: No route to host'
}

@test "SIGHUP applies a new allow list, and an invalid one changes nothing" {
    with_gateway_allowing '127.0.0.1:1'
    run dial 127.0.0.1
    assert_output "$denied"
    sed -i 's/^allow = .*/allow = 127.0.0.1:*/' "$gateway_conf"
    kill -HUP "$gateway_pid"
    wait_until "the gateway to reload" grep -q 'configuration reloaded' "$BATS_TEST_TMPDIR/gateway.log"
    run dial 127.0.0.1
    assert_success
    echo 'allow = nonsense:x:y' >>"$gateway_conf"
    kill -HUP "$gateway_pid"
    wait_until "the gateway to refuse" grep -q 'configuration not reloaded' "$BATS_TEST_TMPDIR/gateway.log"
    run dial 127.0.0.1
    assert_success
}

@test "workers share a port, and one that dies is replaced" {
    gateway_port=$(free_port)
    listen_at "$gateway_port"
    serve gateway "$gateway_port" "$BUILD/smux-gateway" "${listen_options[@]}" --allow '127.0.0.1:*' --workers 3
    gateway_pid=$spawned
    workers() { pgrep -P "$gateway_pid" | wc -l; }
    wait_until "three workers" eval '[ "$(workers)" = 3 ]'
    write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    run dial 127.0.0.1
    assert_success
    pgrep -P "$gateway_pid" | while read -r worker; do kill -KILL "$worker"; done
    wait_until "three new workers" eval '[ "$(workers)" = 3 ]'
    run dial 127.0.0.1
    assert_success
    kill -TERM "$gateway_pid"
    wait_until "the gateway to end" eval '! alive $gateway_pid'
    refute listening "$gateway_port"
}

@test "a gateway on a unix socket starts again after a crash has left the socket behind" {
    local carrier=$BATS_TEST_TMPDIR/gateway.sock
    spawn gateway "$BUILD/smux-gateway" --listen "unix://$carrier" --allow '127.0.0.1:*'
    gateway_pid=$spawned
    wait_until "the gateway" test -S "$carrier"
    gateway_url=unix://$carrier write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    run dial 127.0.0.1
    assert_success
    stop "$gateway_pid" KILL
    spawn gateway "$BUILD/smux-gateway" --listen "unix://$carrier" --allow '127.0.0.1:*'
    run dial 127.0.0.1
    assert_success
}

@test "a regular file at the socket's path is not removed" {
    echo precious >"$BATS_TEST_TMPDIR/file"
    run timeout 10 "$BUILD/smux-gateway" --listen "unix://$BATS_TEST_TMPDIR/file"
    assert_failure 1
    assert_output --partial 'Address already in use'
    assert_equal "$(cat "$BATS_TEST_TMPDIR/file")" precious
}

@test "SIGTERM moves new connections to another gateway at once" {
    local second
    second=$(free_port)
    gateway_drain=30s start_gateway
    listen_at "$second"
    serve second "$second" "$BUILD/smux-gateway" "${listen_options[@]}" --allow '127.0.0.1:*'
    gateway_url="$carrier://127.0.0.1:$gateway_port, $carrier://127.0.0.1:$second" write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    spawn held via python3 "$fixtures/probe.py" receive 127.0.0.1 "$peer_port" 1000 hold
    local held=$spawned
    wait_until "a connection" grep -qx flowing "$BATS_TEST_TMPDIR/held.log"
    kill -TERM "$gateway_pid"
    wait_until "the drain" grep -q draining "$BATS_TEST_TMPDIR/gateway.log"
    run dial 127.0.0.1
    assert_success
    alive "$held"
    run ctl status
    assert_line --regexp "^main +$carrier://127.0.0.1:$gateway_port +- +draining "
    assert_line --regexp "^main +$carrier://127.0.0.1:$second +- +up "
    stop "$held"
    wait_until "the gateway to end" eval '! alive $gateway_pid'
}

@test "on-failure = direct connects without a gateway" {
    gateway_port=$(free_port) write_smuxshim_conf "127.0.0.1:$peer_port" 'on-failure = direct'
    start_helper
    run ctl connect 127.0.0.1 "$peer_port" < <(printf 'sum\nhello')
    assert_output "5 $(printf hello | sha256sum | cut -d' ' -f1)"
    run via python3 "$fixtures/probe.py" duplex 127.0.0.1 "$peer_port" 3000000
    assert_success
}

@test "connect = eager needs no round trip, and a refusal is a reset" {
    gateway_allow='127.0.0.1:*' start_both '127.0.0.1:*' 'connect = eager'
    run via python3 "$fixtures/probe.py" duplex 127.0.0.1 "$peer_port" 3000000
    assert_success
    run via python3 "$fixtures/probe.py" errno 127.0.0.1 1
    assert_output connected
    run ctl connect 127.0.0.1 1
    assert_failure
    assert_output --partial 'Connection reset by peer'
}

@test "connect = eager: getsockname gives this host's address, the same in every process" {
    gateway_allow='127.0.0.1:*' start_both '127.0.0.1:*' 'connect = eager'
    run --separate-stderr via python3 -c '
import os, socket, subprocess, sys
if len(sys.argv) > 2:
    print(socket.socket(fileno=int(sys.argv[2])).getsockname())
    sys.exit()
conn = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
own = conn.getsockname()
print(own[0], own[1] > 0)
others = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(100)]
print(all(other.getsockname()[0] == own[0] for other in others), conn.getsockname() == own)
print(conn.dup().getsockname() == own)
command = [sys.executable, "-c", sys.orig_argv[2], sys.argv[1], str(conn.fileno())]
print(subprocess.check_output(command, pass_fds=[conn.fileno()], text=True).strip() == str(own))
' "$peer_port"
    assert_success
    assert_output "127.0.0.1 True
True True
True
True"
}

@test "handshake = none works with any smux server" {
    over_tcp "the example of libsmux speaks no TLS"
    gateway_port=$(free_port)
    make -s -C "$root" BUILD="$BUILD" "$BUILD/examples/echo_server" 2>/dev/null || true
    [ -x "$BUILD/examples/echo_server" ]
    serve echo "$gateway_port" "$BUILD/examples/echo_server" "$gateway_port"
    gateway_lines='version = 1' write_smuxshim_conf '192.0.2.1:7' 'handshake = none'
    start_helper
    run ctl connect 192.0.2.1 7 < <(printf hello)
    assert_success
    assert_output hello
    head -c 5000000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
    ctl connect 192.0.2.1 7 <"$BATS_TEST_TMPDIR/data" >"$BATS_TEST_TMPDIR/back"
    cmp "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/back"
}

# With $allow and $target; the program's destination is another one.
start_plain_path() {
    gateway_allow=$1 gateway_conf_lines="handshake = none
target = $2" start_gateway
    write_smuxshim_conf '192.0.2.1:7' 'handshake = none'
    start_helper
}

ask_target() { ctl connect 192.0.2.1 7 < <(printf 'sum\nhello'); }

@test "a gateway with handshake = none connects all streams to its target, by name or address" {
    local sum target
    sum="5 $(printf hello | sha256sum | cut -d' ' -f1)"
    start_plain_path '127.0.0.0/8:*, [::1]:*' "127.0.0.1:$peer_port"
    for target in "127.0.0.1:$peer_port" "localhost:$peer_port"; do
        sed -i "s/^target = .*/target = $target/" "$gateway_conf"
        : >"$BATS_TEST_TMPDIR/gateway.log"
        kill -HUP "$gateway_pid"
        wait_until "the gateway to reload" grep -q 'configuration reloaded' "$BATS_TEST_TMPDIR/gateway.log"
        run ask_target
        assert_success
        assert_output "$sum"
    done
}

@test "a gateway with handshake = none connects to its target only if the list has it" {
    start_plain_path '127.0.0.1:1' "127.0.0.1:$peer_port"
    run ask_target
    assert_failure
    wait_until "the reason" grep -q "connect to 127.0.0.1:$peer_port failed: not in the allow list" \
        "$BATS_TEST_TMPDIR/gateway.log"
}

@test "a gateway refuses to start with a target and SOCKS5, or with neither" {
    printf '[listen]\naddress = tcp://127.0.0.1:1\ntarget = 127.0.0.1:2\n' >"$BATS_TEST_TMPDIR/gateway.conf"
    run -2 timeout 60 "$BUILD/smux-gateway" -c "$BATS_TEST_TMPDIR/gateway.conf"
    assert_output --partial "gateway.conf: target: expected handshake = none as well"
    printf '[listen]\naddress = tcp://127.0.0.1:1\nhandshake = none\n' >"$BATS_TEST_TMPDIR/gateway.conf"
    run -2 timeout 60 "$BUILD/smux-gateway" -c "$BATS_TEST_TMPDIR/gateway.conf"
    assert_output --partial "gateway.conf: handshake = none: expected target = HOST:PORT as well"
}
