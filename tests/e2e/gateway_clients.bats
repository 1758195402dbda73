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
    over_tcp "over TLS everybody has proved something"
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
    assert grep -q "uid=0 (tester): stream [0-9]*: connect to 127.0.0.1:$peer_port failed: not in the allow list" gateway.log
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
    assert grep -q "(tester): stream [0-9]*: connect to 127.0.0.1:$peer_port failed: too many streams of the client (max-streams)" gateway.log
    reload 's/max-streams = 2/max-streams = 3/'
    run -0 dial
}

@test "a client that connects too often in a second is refused, and served again after it" {
    clients <<<"[client tester]
identity = uid:$me
max-connects-per-second = 5"
    local n=0 i
    SECONDS=0 # not local: that would be an ordinary variable, which stays 0
    for i in $(seq 40); do
        if dial >/dev/null; then n=$((n + 1)); fi
    done
    # Five at once, and five more for each second that the loop takes, the last one included.
    [ $n -ge 5 ] && [ $n -le $((5 + 5 * (SECONDS + 1))) ] && [ $n -lt 40 ] || fail "$n of 40 connections"
    assert grep -q '(tester): stream [0-9]*: connect to .* failed: too many connections of the client in a second (max-connects-per-second)' gateway.log
    sleep 1
    run -0 dial
}

# ---- Bytes in a second --------------------------------------------------------------------------

# limited RATE: a client of so many bytes in a second.
limited() {
    clients <<<"[client tester]
identity = uid:$me
max-bytes-per-second = $1"
}

# download SECONDS: how many bytes come in this time.
download() { echo "send 100000000000" | timeout "$1" "$BUILD/smuxshim" -c "$smuxshim_conf" nc 127.0.0.1 "$peer_port" | wc -c; }

# took COMMAND...: the milliseconds, in $ms.
took() {
    local begin
    begin=$(date +%s%3N)
    "$@"
    ms=$(($(date +%s%3N) - begin))
}

# within VALUE MIN MAX
within() { if [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ]; then fail "$1: expected from $2 to $3"; fi; }

@test "what comes from targets keeps to the rate of the client, whatever it is" {
    local rate bytes
    limited 1
    for rate in 20000 400000 8000000; do
        reload "s/^max-bytes-per-second = .*/max-bytes-per-second = $rate/"
        took bytes_in_three_seconds
        within "$bytes" $((3 * rate / 2)) $((ms * rate / 1000 + rate / 4 + 100000))
    done
}

bytes_in_three_seconds() { bytes=$(download 3); }

@test "streams of a client share its rate, and those that wait get equal shares" {
    local i
    limited 400000
    for i in 1 2 3 4; do
        download 4 >"got$i" 3>&- 4>&- &
    done
    sleep 5
    wait_until "four results" eval '[ "$(cat got? | wc -l)" = 4 ]'
    within "$(cat got? | awk '{ n += $1 } END { print n }')" 800000 2400000
    for i in 1 2 3 4; do
        within "$(cat "got$i")" 150000 700000
    done
}

upload() { (echo sum; head -c "$1" /dev/zero) | via nc -N 127.0.0.1 "$peer_port"; }

@test "what goes to targets keeps to the rate of the client, and all of it arrives" {
    limited 300000
    took run -0 upload 1500000
    assert_output "1500000 $(head -c 1500000 /dev/zero | sha256sum | cut -d' ' -f1)"
    within "$ms" 2300 20000
}

@test "a client of plain smux, of version 1, keeps to its rate as well" {
    limited 300000
    gateway_lines='version = 1' gateway_url=unix://$BATS_TEST_TMPDIR/carrier write_smuxshim_conf '*'
    stop "$helper_pid"
    start_helper
    took run -0 upload 1500000
    assert_output --partial "1500000 "
    within "$ms" 2300 20000
}

@test "one direction takes nothing from the other, and small connections get through" {
    limited 300000
    download 6 >got 3>&- 4>&- &
    local running=$!
    took run -0 upload 300000
    within "$ms" 0 4500
    took eval 'ctl connect 127.0.0.1 "$peer_port" <<<"send 1000" >small'
    assert_equal "$(wc -c <small)" 1000
    within "$ms" 0 4000
    wait "$running"
    within "$(cat got)" 900000 3000000
}

@test "a reload changes the rate of transfers that are under way, and takes it away" {
    limited 1000
    run_download() { echo "send 3000000" | via nc 127.0.0.1 "$peer_port" | wc -c; }
    run_download >got 3>&- 4>&- &
    sleep 1
    [ ! -s got ] || fail "it was not limited"
    reload 's/^max-bytes-per-second = 1000$/max-bytes-per-second = 500000/'
    sleep 1
    [ ! -s got ] || fail "it was not limited"
    reload '/^max-bytes-per-second/d'
    wait_until "the rest" test -s got
    assert_equal "$(cat got)" 3000000
}

@test "what a limited client sends waits at the client, not in the gateway, and costs no time" {
    local i ticks
    limited 20000
    for i in $(seq 20); do
        spawn "upload$i" bash -c '{ echo sink; cat /dev/zero; } | "$0" "$@"' \
            "$BUILD/smuxshim" -c "$smuxshim_conf" nc 127.0.0.1 "$peer_port"
    done
    sleep 3
    ticks=$(awk '{ print $14 + $15 }' "/proc/$gateway_pid/stat")
    sleep 3
    ticks=$(($(awk '{ print $14 + $15 }' "/proc/$gateway_pid/stat") - ticks))
    within "$ticks" 0 30 # a tenth of the time
    within "$(awk '/VmHWM/ { print $2 }' "/proc/$gateway_pid/status")" 1000 120000
}
