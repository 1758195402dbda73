#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# examples/haproxy as it is, in networks with its addresses: three gateways behind haproxy.

load lib
load networks

setup() {
    direct && skip "there is no gateway"
    cd "$BATS_TEST_TMPDIR" || return
    local file n
    "$BUILD/smuxctl" genpsk test psk
    for file in "$root"/examples/haproxy/*; do
        sed -E "s|/etc/smuxshim/\|/run/haproxy/|$PWD/|" "$file" >"${file##*/}"
    done
    printf '[helper]\nsocket = %s/smuxshim-helper.sock\nautostart = no\n' "$PWD" >>smuxshim.conf
    smuxshim_conf=$PWD/smuxshim.conf
    plug_in client 192.0.2.2/24
    plug_in balancer 192.0.2.10/24
    plug_in target 192.0.2.200/24
    spawn redis in_network target redis-server --bind 192.0.2.200 --save "" --appendonly no --protected-mode no
    for n in 1 2 3; do
        plug_in gateway$n 192.0.2.1$n/24
        spawn gateway$n in_network gateway$n "$BUILD/smux-gateway" -c gateway.conf
        gateway[n]=$spawned
    done
    wait_until "redis" in_network target redis-cli -h 192.0.2.200 ping
    spawn haproxy in_network balancer haproxy -db -f haproxy.cfg
    spawn helper in_network client "$BUILD/smux-helper" -c smuxshim.conf -f
    helper_pid=$spawned
    wait_until "the helper" helper_answers
    wait_until "three gateways behind haproxy" healthy 3
}

teardown() {
    stop_all
    show_logs
}

# servers: prints name and state of haproxy's servers.
servers() {
    python3 -c '
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("admin.sock")
s.sendall(b"show stat\n")
for line in s.makefile():
    fields = line.split(",")
    if fields[0] == "gateways" and fields[1] != "BACKEND":
        print(fields[1], fields[17])'
}
healthy() { [ "$(servers | grep -c ' UP$')" = "$1" ]; }
sessions() { ctl status --json | jq '[.sessions[] | select(.state == "up")] | length'; }
has_sessions() { [ "$(sessions)" = "$1" ]; }

begin_load() {
    spawn steady in_network client "$BUILD/smuxshim" -c smuxshim.conf python3 "$fixtures/steady.py" 192.0.2.200 6379 8 12
    load_pid=$spawned
    rounds 5
}
# rounds N: waits for N times ten more short connections.
rounds() {
    local lines
    lines=$(wc -l <steady.log)
    wait_until "the load" eval '[ "$(wc -l <steady.log)" -ge '$((lines + $1))' ]'
}
end_load() {
    stop "$load_pid"
    tail -n 1 steady.log
}

# The connections to redis that a gateway has.
connections_of() { in_network target ss -Htn state established dst "192.0.2.1$1" | wc -l; }

@test "a gateway killed under load costs its own connections, a drained one costs none" {
    local own errors
    begin_load
    for n in 1 2 3; do assert grep -q '192\.0\.2\.2:[0-9]*.*session begins' gateway$n.log; done
    own=$(connections_of 2)
    assert [ "$own" -ge 1 ]
    kill -KILL "${gateway[2]}"
    rounds 20
    wait_until "three sessions" has_sessions 3
    run -0 end_load
    echo "# killed, with $own connections: $output" >&3
    errors=$(jq '[.errors[]] | add' <<<"$output")
    # Eight programs had perhaps another one under way than those that were counted.
    assert [ "$errors" -ge 1 ] && assert [ "$errors" -le $((own + 8)) ]
    assert [ "$(jq .slowest_ms <<<"$output")" -lt 3000 ]
    wait_until "haproxy to notice" healthy 2

    begin_load
    assert [ "$(connections_of 1)" -ge 1 ]
    kill -TERM "${gateway[1]}"
    rounds 20
    wait_until "three sessions" has_sessions 3
    wait_until "haproxy to notice" healthy 1
    assert alive "${gateway[1]}" # long connections are left
    run -0 end_load
    echo "# drained: $output" >&3
    assert_equal "$(jq -c .errors <<<"$output")" '{}'
    wait_until "the gateway's end" eval "! alive ${gateway[1]}"
    assert grep -q stopped gateway1.log
}
