#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Names under the trap: a program without libc asks name servers itself, and reaches names that only
# the gateway knows.
#
# As in shim_names.bats the gateway has a hosts file of its own, and the server reports the address
# at which it was reached. The program is in a network of its own, which has a name server.

load lib

setup_file() {
    direct && return
    cd "$BATS_FILE_TMPDIR" || return
    export P gateway_port
    P=$(free_port)
    serve where "$P" python3 "$fixtures/where.py" "$P"
    gateway_port=$(free_port)
    cat >hosts <<END
127.0.0.1 localhost
127.0.0.2 db.internal
127.0.0.3 known.internal
127.0.0.4 db.silent
END
    echo 'nameserver 127.0.0.1' >resolv.conf
    echo 'nameserver 127.0.0.251' >resolv.nobody
    echo 'hosts: files' >nsswitch.conf
    cat >gateway.conf <<END
[listen]
address = $carrier://127.0.0.1:$gateway_port
$(carrier_trust)
allow = *.internal:*, *.silent:*, 127.0.0.0/8:*
END
    serve gateway "$gateway_port" own_mounts sh -c \
        "mount --bind '$PWD/hosts' /etc/hosts && mount --bind '$PWD/nsswitch.conf' /etc/nsswitch.conf && exec '$BUILD/smux-gateway' -c gateway.conf"
    start_network
    printf '%s\n' 'known.internal 192.0.2.1' 'plain.test 127.0.0.9' >zone
    spawn names inside python3 "$fixtures/nameserver.py" "$PWD/zone"
    wait_until "the name server" inside sh -c 'ss -Hlnu "sport = :53" | grep -q .'
    export GOCACHE=$PWD/cache GO111MODULE=off CGO_ENABLED=0
    go build -o client "$fixtures/trapped.go"
}

teardown_file() { stop_all; }

setup() {
    direct && skip "without the trap these names do not exist"
    cd "$BATS_TEST_TMPDIR" || return
    write_smuxshim_conf "*.internal:1-65535, *.silent:$P"
    start_helper
}

teardown() {
    stop_all
    show_logs
}

# client FILE ARGUMENT...: the static Go program with that resolv.conf, and Go's own resolver.
client() {
    own_mounts sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$BATS_FILE_TMPDIR/$1" \
        nsenter --net="/proc/$network_pid/ns/net" env GODEBUG=netdns=go "${launcher[@]}" "$BATS_FILE_TMPDIR/client" "${@:2}"
}
launcher=()
trapped() {
    local launcher=("$BUILD/smuxshim" -c "$smuxshim_conf" --mode trap)
    client "$@"
}
get() { trapped "$1" get "http://$2:$P/"; }

@test "a name that only the gateway knows is reached, whether the name server says no or there is none" {
    run get resolv.conf db.internal
    assert_output 127.0.0.2
    run get resolv.nobody db.internal
    assert_output 127.0.0.2
}

@test "a name server that does not answer is not waited for in vain" {
    run get resolv.conf db.silent
    assert_output 127.0.0.4
}

@test "a name that the name server knows is the gateway's all the same, if a route has it" {
    run get resolv.conf known.internal
    assert_output 127.0.0.3
}

@test "names of no route are answered as without the trap" {
    local name
    for name in plain.test:1 unknown.test:1; do
        client resolv.conf "$name" >>expected 2>&1
        trapped resolv.conf "$name" >>found 2>&1
    done
    diff expected found
    grep -q 'refused' found
    grep -q 'no such host' found
}

@test "a hundred look-ups and connects at once" {
    run trapped resolv.conf "http://db.internal:$P/" 100
    assert_output "100 of 100"
}

@test "answers come from the name server's own address where that is this machine's" {
    run inside "$BUILD/smuxshim" -c "$smuxshim_conf" --mode trap python3 -c '
import socket
for server in "127.0.0.77", "127.0.0.1", "::1":
    s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((server, 53))
    print(s.getpeername()[0], s.getpeername()[1] != 53)'
    assert_output "$(printf '%s True\n' 127.0.0.77 127.0.0.1 ::1)"
}
