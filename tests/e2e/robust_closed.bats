#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What remains after a program has closed completely.

load lib

teardown() {
    stop_all
    show_logs
}

gateway_has_let_go() { ! ss -Htnp "dport = :$1" | grep -q "pid=$gateway_pid,"; }

# The target never closes: the kernel drops the gateway's half-closed connection after
# tcp_fin_timeout, as it does with a direct connection.
@test "programs that have ended leave no connection in the gateway, even if their targets never close" {
    local port
    port=$(free_port)
    serve holder "$port" python3 -c '
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
held = [s.accept() for i in range(20)]
print("all", flush=True)
time.sleep(3600)' "$port"
    start_both "127.0.0.1:$port"
    via python3 -c '
import socket, sys
for i in range(20):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"last words")
    s.close()' "$port"
    wait_until "all connections" grep -q all "$BATS_TEST_TMPDIR/holder.log"
    wait_until "the gateway to let go" gateway_has_let_go "$port"
    assert_equal "$(streams_total)" 20
}
