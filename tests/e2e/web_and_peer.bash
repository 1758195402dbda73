# SPDX-License-Identifier: MIT
# For files whose tests share a web server and a peer, and have a gateway and a helper for both
# each.
# shellcheck disable=SC2154

load lib

setup_file() {
    start_nginx
    start_peer
}

teardown_file() { stop_all; }

setup() {
    start_both "127.0.0.1:$web_port, 127.0.0.1:$peer_port"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}
