#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A gateway's address that accepts connections and closes them: a load balancer whose backend is
# down. This does not count as a gateway yet: connects wait for one, as they do when nobody listens.

load lib

setup() {
    direct && skip "there is no balancer without a gateway"
    cd "$BATS_TEST_TMPDIR" || return
    start_peer
    gateway_port=$(free_port) balancer_port=$(free_port)
    serve balancer "$balancer_port" python3 "$fixtures/balancer.py" "$balancer_port" "$gateway_port"
    gateway_url=$carrier://127.0.0.1:$balancer_port
}

teardown() {
    stop_all
    show_logs
}

# with_route [LINE...]: starts the helper, with a route over the balancer.
with_route() {
    write_smuxshim_conf "127.0.0.1:$peer_port" 'connect-timeout = 120s' "$@"
    start_helper
}

times() { grep -cx "$1" balancer.log || true; }
closed_often() { [ "$(times closed)" -ge "$1" ]; }

# begin_connects COUNT: begins non-blocking connects; `count_connects` then counts their outcomes.
begin_connects() {
    mkfifo questions
    run_spawned via python3 "$fixtures/probe.py" begin 127.0.0.1 "$peer_port" "$1" <questions >begin.log 2>&1 3>&- 4>&- &
    echo "$! TERM" >>spawned
    exec 7>questions
    wait_until "connects to have begun" grep -qx begun begin.log
}

count_connects() {
    local lines
    lines=$(wc -l <begin.log)
    echo "$1" >&7
    wait_until "an answer" eval '[ "$(wc -l <begin.log)" -gt '"$lines"' ]'
    tail -n 1 begin.log
}

@test "connects wait while a balancer closes carriers, and succeed when its gateway is back" {
    with_route
    begin_connects 20
    wait_until "attempts in vain" closed_often 4
    assert_equal "$(count_connects 0.1)" "0 connected, 0 failed, 20 pending"
    start_gateway
    assert_equal "$(count_connects 100)" "20 connected, 0 failed, 0 pending"
}

@test "the pauses between attempts grow, and the log reports the closed carrier once" {
    local began
    began=$(date +%s)
    with_route
    begin_connects 200
    wait_until "attempts in vain" closed_often 6
    assert_equal "$(count_connects 0.1)" "0 connected, 0 failed, 200 pending"
    # Pauses of 100, 200 and 400 ms, then of 500 ms, each shortened at random by at most half.
    assert [ "$(times closed)" -le $((6 + 4 * ($(date +%s) + 1 - began))) ]
    assert_equal "$(grep -c "warn: gateway main" helper.log)" 1
    refute grep -q 'session begins' helper.log
    local why='closed before a gateway has said anything'
    [ "$carrier" = tcp ] || why='the gateway has closed within the TLS handshake, as one at tcp:// does'
    assert_equal "$(ctl status --json | jq -r '.sessions[0].last_error')" "$gateway_url: $why"
}

@test "connect = eager: the data that the program has sent is kept for the gateway" {
    with_route 'connect = eager'
    spawn duplex via python3 "$fixtures/probe.py" duplex 127.0.0.1 "$peer_port" 300000
    local duplex=$spawned
    wait_until "attempts in vain" closed_often 3
    alive "$duplex"
    start_gateway
    wait "$duplex"
    assert_equal "$(cat duplex.log)" same
}

@test "handshake = none: the same with any smux server" {
    over_tcp "the example of libsmux speaks no TLS"
    make -s -C "$root" BUILD="$BUILD" "${BUILD#"$root"/}/examples/echo_server"
    gateway_lines='version = 1' with_route 'handshake = none'
    spawn echoed ctl connect 127.0.0.1 "$peer_port"
    wait_until "attempts in vain" closed_often 3
    alive "$spawned"
    local client=$spawned
    serve echo "$gateway_port" "$BUILD/examples/echo_server" "$gateway_port"
    wait "$client"
}

@test "on-failure = direct: the first closed carrier is enough" {
    with_route 'on-failure = direct'
    run via python3 "$fixtures/probe.py" duplex 127.0.0.1 "$peer_port" 300000
    assert_output same
    assert [ "$(times closed)" -ge 1 ]
}

@test "if the gateway has another address, it is used" {
    local second
    second=$(free_port)
    gateway_port=$second start_gateway
    gateway_url="$gateway_url, $carrier://127.0.0.1:$second" with_route
    run via python3 "$fixtures/probe.py" duplex 127.0.0.1 "$peer_port" 300000
    assert_output same
    assert [ "$(times closed)" -ge 1 ]
}

# A peer that sends no hello in time must not be taken for a plain server: it may be a stopped
# gateway. To a plain server a reset becomes an end of file, and truncated data would look complete.
@test "a reset of an eager connection over a gateway that is slow to greet is a reset" {
    local target_port
    target_port=$(free_port)
    serve target "$target_port" python3 -c '
import socket, sys
s, _ = socket.create_server(("127.0.0.1", int(sys.argv[1]))).accept()
try:
    while s.recv(65536): pass
    print("eof", flush=True)
except OSError: print("reset", flush=True)
s.recv(1)' "$target_port"
    start_gateway
    gateway_url=$carrier://127.0.0.1:$gateway_port write_smuxshim_conf "127.0.0.1:$target_port" \
        'connect = eager' 'connect-timeout = 60s'
    start_helper
    kill -STOP "$gateway_pid"
    spawn client via python3 -c '
import socket, struct, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"x" * 1000)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
print("gone", flush=True)' "$target_port"
    sleep 3 # longer than anybody waits for a hello before a reset
    kill -CONT "$gateway_pid"
    wait_until "the client" grep -qx gone client.log
    wait_until "the target to see an end" grep -q . target.log
    assert_equal "$(cat target.log)" reset
}

@test "a gateway that accepts the connection and never sends a hello is abandoned after dial-timeout" {
    local silent_port
    silent_port=$(free_port)
    serve silent "$silent_port" python3 -c '
import socket, sys
s, held = socket.create_server(("127.0.0.1", int(sys.argv[1]))), []
while True: held.append(s.accept())' "$silent_port"
    gateway_url=$carrier://127.0.0.1:$silent_port gateway_lines='dial-timeout = 1s' \
        write_smuxshim_conf "127.0.0.1:$peer_port" 'connect = eager' 'connect-timeout = 4s'
    start_helper
    run --separate-stderr via python3 -c '
import errno, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"size 1\n")
try: print(s.recv(1))
except OSError as e: print(errno.errorcode[e.errno])' "$peer_port"
    assert_output ECONNRESET
    grep -q "no hello within dial-timeout, expected a smux-gateway" helper.log
}
