#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# libsmux with itself, with the extensions that only libsmux has.

load peers

setup_file() { begin_waiting c_peer 2; }

@test "libsmux with itself, version 1: echoes of random sizes return unchanged" {
    converse c_peer c_peer 1 echo
}

@test "libsmux with itself, version 2: echoes of random sizes return unchanged" {
    converse c_peer c_peer 2 echo
}

@test "libsmux with itself, a server that adopts the version: echoes in version 1" {
    start_responder c_peer --version 0
    run -0 "$peers/c_peer" --connect "$address" --version 1 --run echo
    assert_responder_content
}

@test "libsmux with itself, a server that adopts the version: echoes in version 2" {
    start_responder c_peer --version 0
    run -0 "$peers/c_peer" --connect "$address" --version 2 --run echo
    assert_responder_content
}

@test "libsmux with itself, version 1: 5000 streams are opened and closed, and none remains" {
    converse c_peer c_peer 1 churn
}

@test "libsmux with itself, version 2: 5000 streams are opened and closed, and none remains" {
    converse c_peer c_peer 2 churn
}

@test "libsmux with itself, version 1: 1 GiB sent on one stream arrives with the right checksum" {
    converse c_peer c_peer 1 bulk-up
}

@test "libsmux with itself, version 2: 1 GiB received on one stream has the right checksum" {
    converse c_peer c_peer 2 bulk-down
}

@test "libsmux with itself, version 2, windows of 64 KiB that do not grow: 1 GiB is sent on one stream" {
    converse c_peer c_peer 2 bulk-up --fixed-window
}

@test "libsmux with itself, version 1: 200 streams at once within the default budget get their own bytes back" {
    converse c_peer c_peer 1 parallel
}

@test "libsmux with itself, version 2: 200 streams at once within the default budget get their own bytes back" {
    converse c_peer c_peer 2 parallel
}

@test "libsmux with itself, version 1: a reply and its end of file come after the client's own" {
    converse c_peer c_peer 1 half-close --size 200000
}

@test "libsmux with itself, version 2: a reply larger than any window comes after the client's end of file" {
    converse c_peer c_peer 2 half-close --size 3000000
}

@test "libsmux with itself, version 1: the client can write after the server's end of file" {
    converse c_peer c_peer 1 early-close --size 3000000
}

@test "libsmux with itself, version 2: the client can write after the server's end of file" {
    converse c_peer c_peer 2 early-close --size 3000000
}

@test "libsmux with itself, version 1: streams keep flowing beside two unread ones" {
    converse c_peer c_peer 1 slow-reader
}

@test "libsmux with itself, version 2: streams keep flowing beside two unread ones" {
    converse c_peer c_peer 2 slow-reader
}

@test "libsmux with itself, the side that connects may be the smux server" {
    start_responder c_peer --version 2 --role client
    run -0 "$peers/c_peer" --connect "$address" --version 2 --role server --run echo
    assert_responder_content
}

@test "libsmux with itself, keepalive keeps an idle session alive" {
    ours_drives_idle c_peer 2
}

@test "libsmux with itself, killing the server in mid-transfer is an error for the client" {
    their_server_dies c_peer 1
}

@test "libsmux with itself, killing the client in mid-transfer is an error for the server" {
    their_client_dies c_peer 2
}

@test "libsmux with itself, the client notices when the server falls silent" {
    their_server_freezes c_peer 2
}
