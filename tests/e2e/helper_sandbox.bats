#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smux-helper in its sandbox does its work.  What the sandbox forbids is in tests/unit/test_sandbox.c.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no helper without the shim"; fi
    log=$BATS_TEST_TMPDIR/helper.log
}

teardown() {
    stop_all
    show_logs
}

dial() { ctl connect "$1" "$peer_port" </dev/null 2>&1; }

status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }

# Builds with sanitizers, or without libseccomp, say what they lack.
needs_sandbox() {
    wait_until "the helper to speak of its sandbox" grep -qi sandbox "$log"
    ! grep -E 'no sandbox|not filtered|not restricted' "$log" || skip "no sandbox in this build, or on this kernel"
}

@test "the helper gains no privilege, and has few system calls" {
    start_both "127.0.0.1:$peer_port"
    needs_sandbox
    run dial 127.0.0.1
    assert_success
    assert_equal "$(status_of "$helper_pid" NoNewPrivs)" 1
    assert_equal "$(status_of "$helper_pid" Seccomp)" 2
    run -0 awk '/^Max core file size/ { print $5, $6 }' "/proc/$helper_pid/limits"
    assert_output "0 0"
}

@test "a configuration that is replaced, and a log that is rotated away, are opened again" {
    runtime_dir=$BATS_TEST_TMPDIR/run
    mkdir "$runtime_dir" "$BATS_TEST_TMPDIR/log"
    log=$BATS_TEST_TMPDIR/log/helper
    helper_lines="log-file = $log" start_both "127.0.0.1:1"
    needs_sandbox
    sed "s/127.0.0.1:1\$/127.0.0.1:$peer_port/; s/^\[helper\]/&\nallow-users = nobody\nallow-groups = daemon/" "$smuxshim_conf" >"$smuxshim_conf.new"
    mv "$smuxshim_conf.new" "$smuxshim_conf"
    mv "$log" "$log.1"
    kill -HUP "$helper_pid"
    wait_until "the reload, in a new log" grep -q 'configuration reloaded' "$log"
    run dial 127.0.0.1
    assert_success
    # Elsewhere it opens nothing.
    mkdir "$BATS_TEST_TMPDIR/elsewhere"
    mv "$smuxshim_conf" "$BATS_TEST_TMPDIR/elsewhere/conf"
    ln -s "$BATS_TEST_TMPDIR/elsewhere/conf" "$smuxshim_conf"
    kill -HUP "$helper_pid"
    wait_until "a refusal" grep -q 'configuration not reloaded: .*: Permission denied' "$log"
    run dial 127.0.0.1
    assert_success
}

@test "who looks at other processes ends with the helper, and one that is killed can be followed at once" {
    start_both "127.0.0.1:$peer_port"
    needs_sandbox
    local looker
    looker=$(pgrep -P "$helper_pid" smux-looks)
    assert_equal "$(cat "/proc/$looker/comm")" smux-looks
    assert_equal "$(status_of "$looker" Seccomp)" 2
    run find "/proc/$looker/fd" -mindepth 1 -lname 'socket:*'
    assert_equal "${#lines[@]}" 1
    stop "$helper_pid" KILL
    start_helper
    run dial 127.0.0.1
    assert_success
    wait_until "it to end" eval '! alive $looker'
    stop "$helper_pid"
    run pgrep -P "$helper_pid"
    assert_output ''
}

@test "without who looks at other processes the helper goes on, and says so once" {
    start_both "127.0.0.1:$peer_port"
    needs_sandbox
    kill -KILL "$(pgrep -P "$helper_pid" smux-looks)"
    wait_until "the line" grep -q 'the child that searches for them has ended' "$log"
    run dial 127.0.0.1
    assert_success
    run -0 grep -c 'has ended' "$log"
    assert_output 1
}

@test "sandbox = no says so" {
    helper_lines='sandbox = no' start_both "127.0.0.1:$peer_port"
    run dial 127.0.0.1
    assert_success
    grep -q 'no sandbox: sandbox = no' "$log"
    assert_equal "$(status_of "$helper_pid" Seccomp)" 0
}
