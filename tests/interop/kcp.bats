#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# libsmux's KCP and that of kcp-go over UDP, in both roles: 10 MiB go each way at the same time, and
# each side compares every byte.

load ../e2e/lib
load peer_programs

setup() { cd "$BATS_TEST_TMPDIR" || return; }

teardown() {
    stop_all
    show_logs
}

# Both stay until they are stopped, since KCP has no end: what one of them says at last is the last
# line, and one that fails ends.
has_said() { # NAME PID LINE
    grep -q "^$3" "$1.log" || ! alive "$2"
}

# await NAME PID LINE: waits for four minutes, longer than the peers themselves do.
await() {
    local try
    for try in 1 2 3 4; do
        wait_until "'$3' of the $1" has_said "$@" 2>waited || continue
        grep -q "^$3" "$1.log" && return
        break
    done
    echo "the $1 has not said '$3'" >&2
    return 1
}

# exchange SERVER CLIENT OPTION...
exchange() {
    local port server client
    port=$(free_port)
    spawn server "$peers/$1" --listen "127.0.0.1:$port" "${@:3}"
    server=$spawned
    await server "$server" listening
    spawn client "$peers/$2" --connect "127.0.0.1:$port" "${@:3}"
    client=$spawned
    await client "$client" 'ok 10485760 bytes$'
    await server "$server" 'ok 10485760 bytes$'
}

@test "kcp-go client, our server: 10 MiB each way" {
    need kcp-go-peer
    exchange kcp_peer kcp-go-peer
}

@test "our client, kcp-go server: 10 MiB each way" {
    need kcp-go-peer
    exchange kcp-go-peer kcp_peer
}

@test "kcp-go client, our server, with the congestion window: 10 MiB each way" {
    need kcp-go-peer
    exchange kcp_peer kcp-go-peer --careful
}

@test "our client, kcp-go server, with the congestion window: 10 MiB each way" {
    need kcp-go-peer
    exchange kcp-go-peer kcp_peer --careful
}

@test "kcp-go client, our server, its largest packets, a small window: 10 MiB each way" {
    need kcp-go-peer
    exchange kcp_peer kcp-go-peer --mtu 1472 --window 16
}

@test "our client, kcp-go server, its largest packets, a small window: 10 MiB each way" {
    need kcp-go-peer
    exchange kcp-go-peer kcp_peer --mtu 1472 --window 16
}
