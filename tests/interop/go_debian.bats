#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# github.com/xtaci/smux as Debian packages it (no CloseWrite): both roles, versions 1 and 2.

load peers

setup_file() { begin_waiting go-peer-debian 1 2; }

setup() {
    need go-peer-debian
}

# ---- Our client, Debian's Go server, version 1
# ---------------------------------------------------------

@test "our client, Debian's Go server, version 1: echoes of random sizes return unchanged" {
    ours_drives go-peer-debian 1 echo
}

@test "our client, Debian's Go server, version 1: 5000 streams are opened and closed, and none remains" {
    ours_drives go-peer-debian 1 churn
}

@test "our client, Debian's Go server, version 1: 1 GiB sent on one stream arrives with the right checksum" {
    ours_drives go-peer-debian 1 bulk-up
}

@test "our client, Debian's Go server, version 1: 1 GiB received on one stream has the right checksum" {
    ours_drives go-peer-debian 1 bulk-down
}

@test "our client, Debian's Go server, version 1: 200 streams at once get their own bytes back" {
    ours_drives go-peer-debian 1 parallel "${roomy[@]}"
}

@test "our client, Debian's Go server, version 1: streams keep flowing beside two unread ones" {
    ours_drives go-peer-debian 1 slow-reader
}

@test "our client, Debian's Go server, version 1: the server opens streams, too" {
    ours_drives go-peer-debian 1 reverse
}

@test "our client, Debian's Go server, version 1: a reply comes after the client's end of file" {
    ours_drives go-peer-debian 1 half-close
}

@test "our client, Debian's Go server, version 1: keepalive keeps an idle session alive" {
    ours_drives_idle go-peer-debian 1
}

@test "our client, Debian's Go server, version 1: killing them in mid-transfer is an error for our client" {
    their_server_dies go-peer-debian 1
}

@test "our client, Debian's Go server, version 1: killing ours in mid-transfer ends their session" {
    our_client_dies go-peer-debian 1
}

@test "our client, Debian's Go server, version 1: our client notices when they fall silent" {
    their_server_freezes go-peer-debian 1
}

# ---- Debian's Go client, our server, version 1
# ---------------------------------------------------------

@test "Debian's Go client, our server, version 1: echoes of random sizes return unchanged" {
    they_drive go-peer-debian 1 echo
}

@test "Debian's Go client, our server, version 1: 5000 streams are opened and closed, and none remains" {
    they_drive go-peer-debian 1 churn
}

@test "Debian's Go client, our server, version 1: 1 GiB sent on one stream arrives with the right checksum" {
    they_drive go-peer-debian 1 bulk-up
}

@test "Debian's Go client, our server, version 1: 1 GiB received on one stream has the right checksum" {
    they_drive go-peer-debian 1 bulk-down
}

@test "Debian's Go client, our server, version 1: 200 streams at once get their own bytes back" {
    they_drive go-peer-debian 1 parallel "${roomy[@]}"
}

@test "Debian's Go client, our server, version 1: streams keep flowing beside two unread ones" {
    they_drive go-peer-debian 1 slow-reader
}

@test "Debian's Go client, our server, version 1: the server opens streams, too" {
    they_drive go-peer-debian 1 reverse
}

@test "Debian's Go client, our server, version 1: the client can write after the server's end of file" {
    they_drive go-peer-debian 1 early-close
}

@test "Debian's Go client, our server, version 1: keepalive keeps an idle session alive" {
    they_drive_idle go-peer-debian 1
}

@test "Debian's Go client, our server, version 1: killing them in mid-transfer is an error for our server" {
    their_client_dies go-peer-debian 1
}

@test "Debian's Go client, our server, version 1: killing ours in mid-transfer ends their session" {
    our_server_dies go-peer-debian 1
}

@test "Debian's Go client, our server, version 1: they notice when our server falls silent" {
    our_server_freezes go-peer-debian 1
}

# ---- Our client, Debian's Go server, version 2
# ---------------------------------------------------------

@test "our client, Debian's Go server, version 2: echoes of random sizes return unchanged" {
    ours_drives go-peer-debian 2 echo
}

@test "our client, Debian's Go server, version 2: 5000 streams are opened and closed, and none remains" {
    ours_drives go-peer-debian 2 churn
}

@test "our client, Debian's Go server, version 2: 1 GiB sent on one stream arrives with the right checksum" {
    ours_drives go-peer-debian 2 bulk-up
}

@test "our client, Debian's Go server, version 2: 1 GiB received on one stream has the right checksum" {
    ours_drives go-peer-debian 2 bulk-down
}

@test "our client, Debian's Go server, version 2: 200 streams at once get their own bytes back" {
    ours_drives go-peer-debian 2 parallel "${roomy[@]}"
}

@test "our client, Debian's Go server, version 2: streams keep flowing beside two unread ones" {
    ours_drives go-peer-debian 2 slow-reader
}

@test "our client, Debian's Go server, version 2: the server opens streams, too" {
    ours_drives go-peer-debian 2 reverse
}

@test "our client, Debian's Go server, version 2: a reply comes after the client's end of file" {
    ours_drives go-peer-debian 2 half-close
}

@test "our client, Debian's Go server, version 2: keepalive keeps an idle session alive" {
    ours_drives_idle go-peer-debian 2
}

@test "our client, Debian's Go server, version 2: killing them in mid-transfer is an error for our client" {
    their_server_dies go-peer-debian 2
}

@test "our client, Debian's Go server, version 2: killing ours in mid-transfer ends their session" {
    our_client_dies go-peer-debian 2
}

@test "our client, Debian's Go server, version 2: our client notices when they fall silent" {
    their_server_freezes go-peer-debian 2
}

# ---- Debian's Go client, our server, version 2
# ---------------------------------------------------------

@test "Debian's Go client, our server, version 2: echoes of random sizes return unchanged" {
    they_drive go-peer-debian 2 echo
}

@test "Debian's Go client, our server, version 2: 5000 streams are opened and closed, and none remains" {
    they_drive go-peer-debian 2 churn
}

@test "Debian's Go client, our server, version 2: 1 GiB sent on one stream arrives with the right checksum" {
    they_drive go-peer-debian 2 bulk-up
}

@test "Debian's Go client, our server, version 2: 1 GiB received on one stream has the right checksum" {
    they_drive go-peer-debian 2 bulk-down
}

@test "Debian's Go client, our server, version 2: 200 streams at once get their own bytes back" {
    they_drive go-peer-debian 2 parallel "${roomy[@]}"
}

@test "Debian's Go client, our server, version 2: streams keep flowing beside two unread ones" {
    they_drive go-peer-debian 2 slow-reader
}

@test "Debian's Go client, our server, version 2: the server opens streams, too" {
    they_drive go-peer-debian 2 reverse
}

@test "Debian's Go client, our server, version 2: the client can write after the server's end of file" {
    they_drive go-peer-debian 2 early-close
}

@test "Debian's Go client, our server, version 2: keepalive keeps an idle session alive" {
    they_drive_idle go-peer-debian 2
}

@test "Debian's Go client, our server, version 2: killing them in mid-transfer is an error for our server" {
    their_client_dies go-peer-debian 2
}

@test "Debian's Go client, our server, version 2: killing ours in mid-transfer ends their session" {
    our_server_dies go-peer-debian 2
}

@test "Debian's Go client, our server, version 2: they notice when our server falls silent" {
    our_server_freezes go-peer-debian 2
}
