#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The newest async_smux: both roles, version 1.

load peers

setup_file() { begin_waiting rust-peer 1; }

setup() {
    need rust-peer
}

# ---- Our client, Rust server, version 1 ---------------------------------------------------------

@test "our client, Rust server, version 1: echoes of random sizes return unchanged" {
    ours_drives rust-peer 1 echo
}

@test "our client, Rust server, version 1: 5000 streams are opened and closed, and none remains" {
    ours_drives rust-peer 1 churn
}

@test "our client, Rust server, version 1: 1 GiB sent on one stream arrives with the right checksum" {
    ours_drives rust-peer 1 bulk-up
}

@test "our client, Rust server, version 1: 1 GiB received on one stream has the right checksum" {
    ours_drives rust-peer 1 bulk-down
}

@test "our client, Rust server, version 1: 200 streams at once get their own bytes back" {
    ours_drives rust-peer 1 parallel "${roomy[@]}"
}

@test "our client, Rust server, version 1: streams keep flowing beside two unread ones" {
    ours_drives rust-peer 1 slow-reader
}

@test "our client, Rust server, version 1: the server opens streams, too" {
    ours_drives rust-peer 1 reverse
}

@test "our client, Rust server, version 1: a reply comes after the client's end of file" {
    ours_drives rust-peer 1 half-close
}

@test "our client, Rust server, version 1: the client can write after the server's end of file" {
    ours_drives rust-peer 1 early-close
}

@test "our client, Rust server, version 1: keepalive keeps an idle session alive" {
    ours_drives_idle rust-peer 1
}

@test "our client, Rust server, version 1: killing them in mid-transfer is an error for our client" {
    their_server_dies rust-peer 1
}

@test "our client, Rust server, version 1: killing ours in mid-transfer ends their session" {
    our_client_dies rust-peer 1
}

@test "our client, Rust server, version 1: our client notices when they fall silent" {
    their_server_freezes rust-peer 1
}

# ---- Rust client, our server, version 1 ---------------------------------------------------------

@test "Rust client, our server, version 1: echoes of random sizes return unchanged" {
    they_drive rust-peer 1 echo
}

@test "Rust client, our server, version 1: 5000 streams are opened and closed, and none remains" {
    they_drive rust-peer 1 churn
}

@test "Rust client, our server, version 1: 1 GiB sent on one stream arrives with the right checksum" {
    they_drive rust-peer 1 bulk-up
}

@test "Rust client, our server, version 1: 1 GiB received on one stream has the right checksum" {
    they_drive rust-peer 1 bulk-down
}

@test "Rust client, our server, version 1: 200 streams at once get their own bytes back" {
    they_drive rust-peer 1 parallel "${roomy[@]}"
}

@test "Rust client, our server, version 1: streams keep flowing beside two unread ones" {
    they_drive rust-peer 1 slow-reader
}

@test "Rust client, our server, version 1: the server opens streams, too" {
    they_drive rust-peer 1 reverse
}

@test "Rust client, our server, version 1: a reply comes after the client's end of file" {
    they_drive rust-peer 1 half-close
}

@test "Rust client, our server, version 1: the client can write after the server's end of file" {
    they_drive rust-peer 1 early-close
}

@test "Rust client, our server, version 1: keepalive keeps an idle session alive" {
    they_drive_idle rust-peer 1
}

@test "Rust client, our server, version 1: killing them in mid-transfer is an error for our server" {
    their_client_dies rust-peer 1
}

@test "Rust client, our server, version 1: killing ours in mid-transfer ends their session" {
    our_server_dies rust-peer 1
}

@test "Rust client, our server, version 1: they notice when our server falls silent" {
    our_server_freezes rust-peer 1
}
