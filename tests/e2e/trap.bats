#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smuxshim --mode trap: programs that no library can be preloaded into, and what a supervisor's end
# does to them.

load lib

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    cc -static -D_GNU_SOURCE "$fixtures/trapped.c" -o trapped_c
    export GOCACHE=$BATS_FILE_TMPDIR/cache GOPATH=$BATS_FILE_TMPDIR/path GOFLAGS=-mod=mod GO111MODULE=off
    CGO_ENABLED=0 go build -o trapped_go "$fixtures/trapped.go"
}

setup() {
    programs=$BATS_FILE_TMPDIR
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() { stop_all; show_logs; }

# trapped COMMAND...: runs the command under the trap.
trapped() {
    if direct; then "$@"; else
        SMUXSHIM_LOG=$BATS_TEST_TMPDIR/trap.log "$BUILD/smuxshim" -c "$smuxshim_conf" --mode trap "$@"
    fi
}

@test "a static C program: blocking and not, IPv4 and IPv6, refused, names, options, a child" {
    start_both "127.0.0.1:*, [::1]:*"
    "$programs/trapped_c" >expected 2>&1
    [ "$(grep -c '^-- ' expected)" = 8 ]
    trapped "$programs/trapped_c" >found 2>&1
    diff expected found
    assert_carried 8
}

@test "a static Go program: addresses, an error, a hundred connections at once" {
    start_nginx
    start_both "127.0.0.1:*, [::1]:*"
    local address closed
    closed=$(free_port)
    for address in "127.0.0.1:$web_port" "[::1]:$web_port" "127.0.0.1:$closed"; do
        "$programs/trapped_go" "$address" >>expected
        trapped "$programs/trapped_go" "$address" >>found
    done
    diff expected found
    run trapped "$programs/trapped_go" "http://127.0.0.1:$web_port/small1" 100
    assert_output "100 of 100"
    assert_carried 103
}

@test "what a shell starts is reached, static or not; destinations without a route go direct" {
    start_nginx
    start_both "127.0.0.1:$web_port"
    run trapped sh -c "'$programs/trapped_go' 127.0.0.1:$web_port && curl -sS http://127.0.0.1:$web_port/"
    assert_line "from 127.0.0.1 to 127.0.0.1:$web_port"
    assert_line hello
    assert_carried 2
    local before
    direct || before=$(streams_total)
    run trapped curl -sSk "https://127.0.0.1:$tls_port/"
    assert_output hello
    direct || assert_equal "$(streams_total)" "$before"
}

@test "exit status, signal and standard streams are the program's" {
    start_both "127.0.0.1:*"
    run -7 trapped sh -c 'exit 7'
    run -143 trapped sh -c 'kill -TERM $$'
    run -127 trapped ./nonexisting
    assert_equal "$(echo text | trapped cat)" text
}

@test "the option's value is checked" {
    direct && skip "there is no launcher without the shim"
    run -2 "$BUILD/smuxshim" --mode other true
    assert_output --partial "--mode other: expected preload or trap"
}
