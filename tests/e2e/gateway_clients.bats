#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Clients of the gateway: the identity of a carrier's peer decides what it may do ([client NAME]).

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no gateway without the shim"; fi
    cd "$BATS_TEST_TMPDIR" || return
    me=$(id -u)
}

teardown() {
    stop_all
    show_logs
}

# clients [ALLOW-OF-LISTEN]: starts a gateway at a unix socket and at a port, with the clients given
# on stdin, and a helper that uses the socket.
clients() {
    gateway_allow=${1-127.0.0.1:*} gateway_conf_lines="address = unix://$BATS_TEST_TMPDIR/carrier
$(cat)" start_gateway
    gateway_url=unix://$BATS_TEST_TMPDIR/carrier write_smuxshim_conf '*'
    start_helper
}

# reload SED-EXPRESSION: edits the gateway's configuration and reloads it.
reload() {
    local before
    before=$(grep -c 'configuration reloaded' gateway.log || true)
    sed -i "$1" "$gateway_conf"
    kill -HUP "$gateway_pid"
    wait_until "the reload" eval "[ \$(grep -c 'configuration reloaded' gateway.log) -gt $before ]"
}

dial() { ctl connect 127.0.0.1 "$peer_port" </dev/null 2>&1; }
denied='smuxctl: Permission denied'
too_many='smuxctl: Cannot assign requested address'

@test "a client that a section names is served, and the log names it" {
    clients <<<"[client tester]
identity = psk:somebody, uid:$me"
    run -0 dial
    assert grep -q "unix:pid=[0-9]*,uid=$me (tester): session begins" gateway.log
}

@test "who is no client is refused in one line that says what it has proved" {
    clients <<<"[client somebody]
identity = uid:$((me + 1))"
    run -1 dial
    assert grep -q "unix:pid=[0-9]*,uid=$me: session refused: no \[client\] has the identity uid:$me\$" gateway.log
    refute grep -q 'session begins\|session ended' gateway.log
}

@test "who has proved nothing is refused where there are clients" {
    clients <<<"[client tester]
identity = uid:$me"
    gateway_url=tcp://127.0.0.1:$gateway_port write_smuxshim_conf '*'
    stop "$helper_pid"
    start_helper
    run -1 dial
    assert grep -q '127.0.0.1:[0-9]*: session refused: it has proved no identity' gateway.log
    refute grep -q 'session begins' gateway.log
}

@test "users have names, and each has a section of his own" {
    local dir
    [ "$me" = 0 ] || skip "needs root, for another user"
    dir=$(public_dir)
    gateway_allow="127.0.0.1:1" gateway_conf_lines="address = unix://$dir/carrier
socket-mode = 0666
[client other]
identity = user:nobody
allow = 127.0.0.1:$peer_port
[client tester]
identity = user:root" start_gateway
    gateway_url=unix://$dir/carrier runtime_dir=$dir write_smuxshim_conf '*'
    start_helper
    run dial
    assert_output "$denied"
    stop "$helper_pid"
    chown nobody "$dir"
    rm -f "$dir"/*-helper*
    spawn helper as_user nobody "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    helper_pid=$spawned
    wait_until "the helper" helper_answers
    run -0 as_user nobody "$BUILD/smuxctl" -c "$smuxshim_conf" connect 127.0.0.1 "$peer_port" </dev/null
    assert grep -q "uid=$(id -u nobody) (other): session begins" gateway.log
    assert grep -q "uid=0 (tester): stream [0-9]* to 127.0.0.1:$peer_port refused: not in the allow list" gateway.log
}

@test "a client's own allow list stands in place of the one of [listen]" {
    clients '127.0.0.1:1' <<<"[client tester]
identity = uid:$me
allow = 127.0.0.1:$peer_port"
    run -0 dial
    run ctl connect 127.0.0.1 1 </dev/null
    assert_output "$denied"
}

@test "a reload gives a session that exists another allow list, and then another name" {
    clients <<<"[client tester]
identity = uid:$me
allow = 127.0.0.1:1"
    run dial
    assert_output "$denied"
    reload "s/^allow = 127.0.0.1:1\$/allow = 127.0.0.1:$peer_port/"
    run -0 dial
    reload 's/client tester/client renamed/; s/^allow = 127.0.0.1:[0-9]*$/allow = 127.0.0.1:1/'
    run dial
    assert_output "$denied"
    assert grep -q "uid=$me (renamed): stream" gateway.log
    assert_equal "$(grep -c 'session begins' gateway.log)" 1
    refute grep -q 'session ended' gateway.log
}

@test "a reload ends the sessions of whom it makes a stranger" {
    clients <<<"[client tester]
identity = uid:$me"
    run -0 dial
    reload "s/^identity = .*/identity = psk:somebody/"
    wait_until "the end" grep -q "(tester): session ended after 1 streams: no \[client\] has the identity uid:$me" gateway.log
    run -1 dial
}

@test "a client has as many streams as its section says, over all its sessions" {
    clients <<<"[client tester]
identity = uid:$me
max-streams = 2"
    local i
    for i in 1 2; do
        spawn "hold$i" via nc 127.0.0.1 "$peer_port"
    done
    wait_until "two streams" eval '[ "$(streams_now)" = 2 ]'
    run dial
    assert_output "$too_many"
    assert grep -q "(tester): stream [0-9]* to 127.0.0.1:$peer_port refused: too many streams of the client (max-streams)" gateway.log
    reload 's/max-streams = 2/max-streams = 3/'
    run -0 dial
}

@test "a client that connects too often in a second is refused, and served again after it" {
    clients <<<"[client tester]
identity = uid:$me
max-connects-per-second = 5"
    local n=0 i
    for i in $(seq 40); do
        if dial >/dev/null; then n=$((n + 1)); fi
    done
    # Five at once, and five more for each second that the loop takes.
    [ $n -ge 5 ] && [ $n -le $((5 + 5 * SECONDS)) ] && [ $n -lt 40 ] || fail "$n of 40 connections"
    assert grep -q '(tester): stream [0-9]* to .* refused: too many connections of the client in a second (max-connects-per-second)' gateway.log
    sleep 1
    run -0 dial
}
