#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Several gateways: by name (A, AAAA, SRV), shared among, failing, and vanishing from the name
# server, which is one of the test's own (programs/nameserver.py).

load lib
load tls.bash

setup() {
    direct && skip "there is no gateway without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    start_peer
    gateway_port=$(free_port) dns_port=$(free_port)
    : >zone
    spawn names python3 "$fixtures/nameserver.py" "$PWD/zone" "$dns_port"
    wait_until "the name server" grep -qx serving names.log
    helper_lines="resolver = 127.0.0.1:$dns_port"
}

teardown() {
    stop_all
    show_logs
}

# gateway_at N...: starts a gateway at 127.0.0.N; its pid is in ${pid[N]}.
declare -A pid
gateway_at() {
    local n
    for n; do
        listen_at "$gateway_port"
        listen_options[1]=$carrier://127.0.0.$n:$gateway_port
        spawn "gateway$n" "$BUILD/smux-gateway" "${listen_options[@]}" --allow '127.0.0.1:*'
        pid[$n]=$spawned
        wait_until "gateway $n" grep -q 'listening\|listens' "gateway$n.log"
    done
}

# with ADDRESS [LINE...]: starts the helper with this address, and lines of [gateway].
with() {
    local IFS=$'\n'
    gateway_url=$1 gateway_lines="ttl-min = 100ms\\n$(printf '%s\\n' "${@:2}")" write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
}

zone() { printf '%s\n' "$@" >zone.new && mv zone.new zone; }
probe() { via python3 "$fixtures/connects.py" "$peer_port" "${1:-0.05}"; }

# addresses FILTER: prints, for each address, what jq's FILTER makes of it.
addresses() { ctl status --json | jq -r ".addresses[] | $1"; }
states() { addresses '"\(.address | capture("\\((?<ip>.*)\\)").ip) \(.state)"' | sort | tr '\n' ','; }
states_are() { [ "$(states)" = "$1" ]; }

@test "a name with several addresses: least-streams has a session with each, and status tells" {
    zone "gw.test 127.0.0.1 127.0.0.2 127.0.0.3"
    gateway_at 1 2 3
    with "$carrier://gw.test:$gateway_port" 'balance = least-streams' 'connections = 2'
    probe
    wait_until "sessions" states_are "127.0.0.1 up,127.0.0.2 up,127.0.0.3 up,"
    wait_until "two sessions each" eval '[ "$(addresses .sessions | tr "\n" " ")" = "2 2 2 " ]'
    ctl status | grep -q "$carrier://gw.test:$gateway_port (127.0.0.2) "
}

@test "first uses one address, random draws among all" {
    zone "gw.test 127.0.0.1 127.0.0.2"
    gateway_at 1 2
    with "$carrier://gw.test:$gateway_port"
    probe 0.3
    assert_equal "$(addresses .sessions | sort | tr '\n' ' ')" "0 1 "
    sed -i 's/^ttl-min/balance = random\n&/' "$smuxshim_conf"
    ctl reload
    probe 0.1
    wait_until "both" states_are "127.0.0.1 up,127.0.0.2 up,"
    probe 0.5
    ctl status --json | jq -e '[.sessions[] | select(.state == "up") | .streams_total > 5] == [true, true]'
}

@test "SRV: ports and hosts from the records, the lowest priority number only, and the next if it fails" {
    local other
    other=$(free_port)
    gateway_at 1
    gateway_port=$other gateway_at 2
    zone "_smux._tcp.test srv:0:10:$gateway_port:one.test srv:5:0:$other:two.test" \
        "one.test 127.0.0.1" "two.test 127.0.0.2"
    with "srv+$carrier://_smux._tcp.test" 'balance = least-streams'
    probe
    wait_until "the first" states_are "127.0.0.1 up,127.0.0.2 untried,"
    kill -9 "${pid[1]}"
    probe
    wait_until "the second" states_are "127.0.0.1 failed,127.0.0.2 up,"
    gateway_at 1
    wait_until "the first again, and the second drained" eval '[ "$(addresses .sessions | tr "\n" " ")" = "1 0 " ]'
}

@test "a name whose records change: new sessions go to the new address, old ones drain" {
    zone "gw.test 127.0.0.1"
    gateway_at 1 2
    with "$carrier://gw.test:$gateway_port"
    mkfifo hold
    spawn held bash -c 'exec "$0" -c "$1" connect 127.0.0.1 "$2" <hold' "$BUILD/smuxctl" "$smuxshim_conf" "$peer_port"
    exec 8>hold
    wait_until "a stream" eval '[ "$(addresses .streams)" = 1 ]'
    zone "gw.test 127.0.0.2"
    wait_until "the old session to drain" eval 'probe && states_are "127.0.0.1 gone,127.0.0.2 up,"'
    assert_equal "$(ctl status --json | jq -r '.sessions[] | select(.state == "draining").streams')" 1
    exec 8>&-
    wait_until "the old session to end" states_are "127.0.0.2 up,"
}

@test "a name server that fails, lies or is silent takes no gateway away" {
    zone "gw.test 127.0.0.1"
    gateway_at 1
    with "$carrier://gw.test:$gateway_port" 'retry-min = 10ms' 'retry-max = 50ms' 'dial-timeout = 300ms'
    probe
    local lie count
    for lie in servfail truncated "short 127.0.0.9" silent ""; do
        zone "${lie:+gw.test $lie}"
        count=$(wc -l <names.log)
        wait_until "questions ($lie)" eval '[ "$(wc -l <names.log)" -gt '$((count + 4))' ]'
        states_are "127.0.0.1 up,"
    done
    grep -q 'warn: .*gw.test' helper.log
    zone "gw.test ttl:0 127.0.0.1 127.0.0.2"
    wait_until "the next answer" eval 'states | grep -q "127.0.0.2 untried"'
}

@test "SRV records that refer to themselves and a thousand addresses do no harm" {
    zone "_smux._tcp.test circle srv:0:0:$gateway_port:one.test" "one.test 127.0.0.1" "many.test many:1000:127.0.0.1"
    gateway_at 1
    with "srv+$carrier://_smux._tcp.test, $carrier://many.test:$gateway_port" 'balance = least-streams'
    probe
    alive "$helper_pid"
    [ "$(ctl status --json | jq '[.addresses[] | select(.name == "many.test")] | length')" -le 16 ]
    addresses '.last_error' | grep -q "_smux._tcp.test: "
}

# Whoever can forge an answer of the name server must not be able to choose the name that is proved.
@test "SRV over TLS: the certificate is for the records' domain, or for server-name, not for their host" {
    carrier=tls
    authority ca
    extensions='subjectAltName=DNS:svc.test' certificate domain ca domain
    extensions='subjectAltName=DNS:evil.test' certificate host ca host
    zone "_smux._tcp.svc.test srv:0:0:$gateway_port:evil.test" "evil.test 127.0.0.1"
    local which expected lines
    for which in "domain up" "host failed" "host up server-name=evil.test" "domain failed server-name=evil.test"; do
        read -r which expected lines <<<"$which"
        printf '%s\n' '[listen]' "address = tls://127.0.0.1:$gateway_port" "cert = $PWD/$which.pem" "key = $PWD/$which.key" \
            'allow = 127.0.0.1:*' 'insecure = yes' >gateway.conf
        serve gateway "$gateway_port" "$BUILD/smux-gateway" -c gateway.conf
        local gateway=$spawned
        carrier=none with "srv+tls://_smux._tcp.svc.test" "ca = $PWD/ca.pem" ${lines:+"${lines/=/ = }"}
        ctl connect 127.0.0.1 "$peer_port" </dev/null >/dev/null 2>&1 &
        wait_until "$which $lines: $expected" states_are "127.0.0.1 $expected,"
        stop "$helper_pid"
        stop "$gateway"
    done
}

# Packets to and from one of three are dropped: nothing tells its clients.
@test "a path swallows the packets of one of three gateways under load: connects go elsewhere" {
    [ "$(id -u)" = 0 ] || skip "this needs root, for a network of its own"
    start_network
    local n
    zone "gw.test 127.0.0.1 127.0.0.2 127.0.0.3"
    spawn names_inside inside python3 "$fixtures/nameserver.py" "$PWD/zone" "$dns_port"
    spawn peer_inside inside python3 "$fixtures/peer.py" "$peer_port"
    for n in 1 2 3; do
        listen_at "$gateway_port"
        listen_options[1]=$carrier://127.0.0.$n:$gateway_port
        spawn "gateway$n" inside "$BUILD/smux-gateway" "${listen_options[@]}" --allow '127.0.0.1:*'
        wait_until "gateway $n" grep -q 'listening' "gateway$n.log"
    done
    gateway_url=$carrier://gw.test:$gateway_port gateway_lines='balance = least-streams' \
        write_smuxshim_conf "127.0.0.1:$peer_port"
    spawn helper inside "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    helper_pid=$spawned
    wait_until "the helper" helper_answers
    probe >/dev/null
    wait_until "all" states_are "127.0.0.1 up,127.0.0.2 up,127.0.0.3 up,"
    spawn load probe 2
    local load=$spawned
    wait_until "load" grep -q begun load.log
    sleep 0.5
    inside nft 'table ip hole { chain out { type filter hook output priority 0; ip daddr 127.0.0.2 drop; ip saddr 127.0.0.2 drop; }; }'
    wait "$load"
    echo "# blackhole: $(tail -n 1 load.log)" >&3
    grep -q ' 0 failed' load.log
    [ "$(sed -nE 's/.*longest ([0-9]+) ms/\1/p' load.log)" -lt 1500 ]
    states | grep -q "127.0.0.2 failed"
}

# Under load, one of three dies. What a connect costs at most is written in tests/bench/README.md.
@test "one of three gateways dies under load (killed, stopped): no connect fails, none takes a second" {
    local how
    zone "gw.test 127.0.0.1 127.0.0.2 127.0.0.3"
    gateway_at 1 2 3
    with "$carrier://gw.test:$gateway_port" 'balance = least-streams'
    for how in KILL STOP; do
        probe >/dev/null
        wait_until "all" states_are "127.0.0.1 up,127.0.0.2 up,127.0.0.3 up,"
        spawn "load$how" probe 2
        local load=$spawned
        wait_until "load" grep -q begun "load$how.log"
        sleep 0.5
        kill -s "$how" "${pid[2]}"
        wait "$load"
        cat "load$how.log"
        grep -q ' 0 failed' "load$how.log"
        [ "$(sed -nE 's/.*longest ([0-9]+) ms/\1/p' "load$how.log")" -lt 1500 ]
        echo "# $how: $(tail -n 1 "load$how.log")" >&3
        states | grep -q "127.0.0.2 failed"
        [ "$how" = STOP ] || gateway_at 2
    done
    [ "$(addresses 'select(.state == "failed").retry_ms')" -ge 0 ]
}
