#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The newest github.com/xtaci/smux: both roles, versions 1 and 2.

load peers

setup_file() { begin_waiting go-peer 1 2; }

setup() {
    need go-peer
}

# ---- Our client, Go server, version 1 ---------------------------------------------------------

@test "our client, Go server, version 1: echoes of random sizes return unchanged" {
    ours_drives go-peer 1 echo
}

@test "our client, Go server, version 1: 5000 streams are opened and closed, and none remains" {
    ours_drives go-peer 1 churn
}

@test "our client, Go server, version 1: 1 GiB sent on one stream arrives with the right checksum" {
    ours_drives go-peer 1 bulk-up
}

@test "our client, Go server, version 1: 1 GiB received on one stream has the right checksum" {
    ours_drives go-peer 1 bulk-down
}

@test "our client, Go server, version 1: 200 streams at once get their own bytes back" {
    ours_drives go-peer 1 parallel "${roomy[@]}"
}

@test "our client, Go server, version 1: streams keep flowing beside two unread ones" {
    ours_drives go-peer 1 slow-reader
}

@test "our client, Go server, version 1: the server opens streams, too" {
    ours_drives go-peer 1 reverse
}

@test "our client, Go server, version 1: a reply comes after the client's end of file" {
    ours_drives go-peer 1 half-close
}

@test "our client, Go server, version 1: the client can write after the server's end of file" {
    ours_drives go-peer 1 early-close -- --careful-close
}

@test "our client, Go server, version 1: keepalive keeps an idle session alive" {
    ours_drives_idle go-peer 1
}

@test "our client, Go server, version 1: killing them in mid-transfer is an error for our client" {
    their_server_dies go-peer 1
}

@test "our client, Go server, version 1: killing ours in mid-transfer ends their session" {
    our_client_dies go-peer 1
}

@test "our client, Go server, version 1: our client notices when they fall silent" {
    their_server_freezes go-peer 1
}

# ---- Go client, our server, version 1 ---------------------------------------------------------

@test "Go client, our server, version 1: echoes of random sizes return unchanged" {
    they_drive go-peer 1 echo
}

@test "Go client, our server, version 1: 5000 streams are opened and closed, and none remains" {
    they_drive go-peer 1 churn
}

@test "Go client, our server, version 1: 1 GiB sent on one stream arrives with the right checksum" {
    they_drive go-peer 1 bulk-up
}

@test "Go client, our server, version 1: 1 GiB received on one stream has the right checksum" {
    they_drive go-peer 1 bulk-down
}

@test "Go client, our server, version 1: 200 streams at once get their own bytes back" {
    they_drive go-peer 1 parallel "${roomy[@]}"
}

@test "Go client, our server, version 1: streams keep flowing beside two unread ones" {
    they_drive go-peer 1 slow-reader
}

@test "Go client, our server, version 1: the server opens streams, too" {
    they_drive go-peer 1 reverse
}

@test "Go client, our server, version 1: a reply comes after the client's end of file" {
    they_drive go-peer 1 half-close -- --careful-close
}

@test "Go client, our server, version 1: the client can write after the server's end of file" {
    they_drive go-peer 1 early-close
}

@test "Go client, our server, version 1: keepalive keeps an idle session alive" {
    they_drive_idle go-peer 1
}

@test "Go client, our server, version 1: killing them in mid-transfer is an error for our server" {
    their_client_dies go-peer 1
}

@test "Go client, our server, version 1: killing ours in mid-transfer ends their session" {
    our_server_dies go-peer 1
}

@test "Go client, our server, version 1: they notice when our server falls silent" {
    our_server_freezes go-peer 1
}

# ---- Our client, Go server, version 2 ---------------------------------------------------------

@test "our client, Go server, version 2: echoes of random sizes return unchanged" {
    ours_drives go-peer 2 echo
}

@test "our client, Go server, version 2: 5000 streams are opened and closed, and none remains" {
    ours_drives go-peer 2 churn
}

@test "our client, Go server, version 2: 1 GiB sent on one stream arrives with the right checksum" {
    ours_drives go-peer 2 bulk-up
}

@test "our client, Go server, version 2: 1 GiB received on one stream has the right checksum" {
    ours_drives go-peer 2 bulk-down
}

@test "our client, Go server, version 2: 200 streams at once get their own bytes back" {
    ours_drives go-peer 2 parallel "${roomy[@]}"
}

@test "our client, Go server, version 2: streams keep flowing beside two unread ones" {
    ours_drives go-peer 2 slow-reader
}

@test "our client, Go server, version 2: the server opens streams, too" {
    ours_drives go-peer 2 reverse
}

@test "our client, Go server, version 2: a reply comes after the client's end of file" {
    ours_drives go-peer 2 half-close
}

@test "our client, Go server, version 2: the client can write after the server's end of file" {
    ours_drives go-peer 2 early-close -- --careful-close
}

@test "our client, Go server, version 2: keepalive keeps an idle session alive" {
    ours_drives_idle go-peer 2
}

@test "our client, Go server, version 2: killing them in mid-transfer is an error for our client" {
    their_server_dies go-peer 2
}

@test "our client, Go server, version 2: killing ours in mid-transfer ends their session" {
    our_client_dies go-peer 2
}

@test "our client, Go server, version 2: our client notices when they fall silent" {
    their_server_freezes go-peer 2
}

# ---- Go client, our server, version 2 ---------------------------------------------------------

@test "Go client, our server, version 2: echoes of random sizes return unchanged" {
    they_drive go-peer 2 echo
}

@test "Go client, our server, version 2: 5000 streams are opened and closed, and none remains" {
    they_drive go-peer 2 churn
}

@test "Go client, our server, version 2: 1 GiB sent on one stream arrives with the right checksum" {
    they_drive go-peer 2 bulk-up
}

@test "Go client, our server, version 2: 1 GiB received on one stream has the right checksum" {
    they_drive go-peer 2 bulk-down
}

@test "Go client, our server, version 2: 200 streams at once get their own bytes back" {
    they_drive go-peer 2 parallel "${roomy[@]}"
}

@test "Go client, our server, version 2: streams keep flowing beside two unread ones" {
    they_drive go-peer 2 slow-reader
}

@test "Go client, our server, version 2: the server opens streams, too" {
    they_drive go-peer 2 reverse
}

@test "Go client, our server, version 2: a reply comes after the client's end of file" {
    they_drive go-peer 2 half-close -- --careful-close
}

@test "Go client, our server, version 2: the client can write after the server's end of file" {
    they_drive go-peer 2 early-close
}

@test "Go client, our server, version 2: keepalive keeps an idle session alive" {
    they_drive_idle go-peer 2
}

@test "Go client, our server, version 2: killing them in mid-transfer is an error for our server" {
    their_client_dies go-peer 2
}

@test "Go client, our server, version 2: killing ours in mid-transfer ends their session" {
    our_server_dies go-peer 2
}

@test "Go client, our server, version 2: they notice when our server falls silent" {
    our_server_freezes go-peer 2
}

# ---- The side that connects need not be the smux client
# --------------------------------------------

@test "our smux server connects to their smux client" {
    start_responder go-peer --version 2 --role client
    run -0 "$peers/c_peer" --connect "$address" --version 2 --role server --run echo
    assert_responder_content
}

@test "their smux server connects to our smux client" {
    start_responder c_peer --version 2 --role client
    run -0 "$peers/go-peer" --connect "$address" --version 2 --role server --run echo
    assert_responder_content
}

@test "our server adopts their client's version 1" {
    start_responder c_peer --version 0
    run -0 "$peers/go-peer" --connect "$address" --version 1 --run echo
    assert_responder_content
}

@test "our server adopts their client's version 2" {
    start_responder c_peer --version 0
    run -0 "$peers/go-peer" --connect "$address" --version 2 --run echo
    assert_responder_content
}
