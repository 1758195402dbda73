#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# libsmux with itself, and what only it can: extensions are in use here.

load peers

setup_file() { begin_waiting c_peer 2; }

@test "libsmux with itself, version 1: echoes of random sizes come back unchanged" {
    converse c_peer c_peer 1 echo
}

@test "libsmux with itself, version 2: echoes of random sizes come back unchanged" {
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

@test "libsmux with itself, version 1: 5000 streams are opened and closed, and none is left" {
    converse c_peer c_peer 1 churn
}

@test "libsmux with itself, version 2: 5000 streams are opened and closed, and none is left" {
    converse c_peer c_peer 2 churn
}

@test "libsmux with itself, version 1: 1 GiB goes up one stream and its checksum agrees" {
    converse c_peer c_peer 1 bulk-up
}

@test "libsmux with itself, version 2: 1 GiB comes down one stream and its checksum agrees" {
    converse c_peer c_peer 2 bulk-down
}

@test "libsmux with itself, version 2, windows of 64 KiB that do not grow: 1 GiB goes up one stream" {
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

@test "libsmux with itself, version 1: the client writes on after the server's end of file" {
    converse c_peer c_peer 1 early-close --size 3000000
}

@test "libsmux with itself, version 2: the client writes on after the server's end of file" {
    converse c_peer c_peer 2 early-close --size 3000000
}

@test "libsmux with itself, version 1: streams flow on beside two that nobody reads" {
    converse c_peer c_peer 1 slow-reader
}

@test "libsmux with itself, version 2: streams flow on beside two that nobody reads" {
    converse c_peer c_peer 2 slow-reader
}

@test "libsmux with itself, the side that connects may be the smux server" {
    start_responder c_peer --version 2 --role client
    run -0 "$peers/c_peer" --connect "$address" --version 2 --role server --run echo
    assert_responder_content
}

@test "libsmux with itself, keepalive carries an idle session" {
    ours_drives_idle c_peer 2
}

@test "libsmux with itself, the server's death in mid-transfer is an error to the client" {
    their_server_dies c_peer 1
}

@test "libsmux with itself, the client's death in mid-transfer is an error to the server" {
    their_client_dies c_peer 2
}

@test "libsmux with itself, the client notices when the server falls silent" {
    their_server_freezes c_peer 2
}
