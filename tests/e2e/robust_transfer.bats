#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Transfers: large ones, in both directions, half-closed, aborted.

load web_and_peer

probe() { via python3 "$fixtures/probe.py" "$1" 127.0.0.1 "$peer_port" "${@:2}"; }

@test "four transfers of 128 MiB, in both directions at once, arrive unchanged" {
    local pids=() i
    for i in 1 2 3 4; do
        spawn "duplex$i" probe duplex 134217728
        pids+=("$spawned")
    done
    for i in 1 2 3 4; do
        wait "${pids[i - 1]}"
        assert_equal "$(cat "duplex$i.log")" same
    done
    assert_carried 4
}

@test "a transfer of 1 GiB arrives complete" {
    run --separate-stderr probe receive 1073741824
    assert_success
    assert_line "1073741824 eof"
    assert_carried 1
}

@test "HTTP/1.0 with a half-close after the request gets the whole answer" {
    printf 'GET /send/20000000 HTTP/1.0\r\n\r\n' | via nc -N 127.0.0.1 "$peer_port" >answer
    assert_equal "$(tail -c 20000000 answer | sha256sum)" \
        "$(perl -e 'print pack("C*", 0 .. 255) x 78125' | sha256sum)"
}

@test "20 MB sent before a half-close have all arrived before the answer" {
    head -c 20000000 /dev/urandom >data
    (echo sum; cat data) | via nc -N 127.0.0.1 "$peer_port" >answer
    assert_equal "$(cat answer)" "20000000 $(sha256sum <data | cut -d' ' -f1)"
}

@test "a remote reset is ECONNRESET, not an end of file" {
    run --separate-stderr via python3 -c '
import errno, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"reset 100000\n")
try:
    while s.recv(65536): pass
    print("eof")
except OSError as e:
    print(errno.errorcode[e.errno])' "$peer_port"
    assert_success
    assert_output ECONNRESET
}

@test "a truncated response without a length makes curl fail" {
    run via curl -sS -o got "http://127.0.0.1:$peer_port/reset/3000000"
    assert_failure
    assert_output --partial reset
    assert [ -s got ]
}
