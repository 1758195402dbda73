#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Limits that a session can reach: its stream ids.

load lib

setup() {
    direct && skip "there is no helper without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    start_peer
    start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
}

teardown() {
    stop_all
    show_logs
}

# A helper each of whose sessions has only twenty stream ids left.
build_helper() {
    make -s -C "$root" BUILD="$PWD/few" OPT=-O0 CFLAGS=-DFIRST_CLIENT_ID=0xFFFFFED9u "$PWD/few/smux-helper" \
        "$PWD/few/smuxctl" >make.log 2>&1 || { cat make.log; return 1; }
    ln -s "$BUILD/smuxshim" "$BUILD/libsmuxshim.so" few
    BUILD=$PWD/few
}

sessions_begun() { grep -c 'session begins' gateway.log; }
one_session_left() { [ $(($(sessions_begun) - $(grep -c 'session ended' gateway.log))) = 1 ]; }

@test "when a session's stream ids are used up, another session begins and open streams continue" {
    build_helper
    start_helper
    mkfifo words
    via nc -N 127.0.0.1 "$peer_port" <words >answers 3>&- 4>&- &
    local long_lived=$!
    exec 7>words
    printf 'echo\nbefore\n' >&7
    wait_until "the first answer" grep -q before answers
    run --separate-stderr via python3 "$fixtures/clients.py" asyncio 127.0.0.1 "$peer_port" 100
    assert_output "100 ok"
    run --separate-stderr via python3 "$fixtures/clients.py" nonblocking 127.0.0.1 "$peer_port" 100
    assert_output "100 ok"
    assert [ "$(sessions_begun)" -ge 10 ]
    assert grep -q 'new session: ' helper.log
    printf 'after\n' >&7
    exec 7>&-
    wait "$long_lived"
    assert_equal "$(cat answers)" "before
after"
    # Sessions without ids end when they have no streams left.
    wait_until "the old sessions to end" one_session_left
}
