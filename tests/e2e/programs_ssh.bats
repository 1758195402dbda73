#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# ssh, and programs that use it, over one carrier.

load lib

setup_file() {
    start_sshd
    head -c 20000000 /dev/urandom >"$BATS_FILE_TMPDIR/large"
}

teardown_file() { stop_all; }

setup() {
    start_both "127.0.0.1:$ssh_port"
    large=$BATS_FILE_TMPDIR/large
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

remote() { # shellcheck disable=SC2086 # options are several words
    via ssh $ssh_options -p "$ssh_port" 127.0.0.1 "$@"
}

@test "ssh runs a command and returns its exit status" {
    run --separate-stderr remote 'echo out; exit 7'
    assert_failure 7
    assert_output out
    assert_carried 1
}

@test "the ssh server sees the gateway's address and the right port" {
    run --separate-stderr remote 'echo $SSH_CONNECTION'
    assert_success
    assert_output --regexp "^127.0.0.1 [0-9]+ 127.0.0.1 $ssh_port\$"
    assert_carried 1
}

@test "ssh carries a large file in both directions at once" {
    remote cat <"$large" >got
    cmp got "$large"
    assert_carried 1
}

@test "sftp and scp copy a large file" {
    # shellcheck disable=SC2086
    via scp -q $ssh_options -P "$ssh_port" "$large" "127.0.0.1:$PWD/there"
    cmp there "$large"
    # shellcheck disable=SC2086
    echo "get $PWD/there back" | via sftp -q -b - $ssh_options -P "$ssh_port" 127.0.0.1
    cmp back "$large"
    assert_carried 2
}

@test "ssh forwards a port that carries many connections" {
    local forward
    start_peer
    forward=$(free_port)
    serve forward "$forward" remote -N -L "127.0.0.1:$forward:127.0.0.1:$peer_port"
    for i in $(seq 20); do
        assert_equal "$(printf 'echo\nnumber %s' "$i" | nc -N 127.0.0.1 "$forward")" "number $i"
    done
    assert_carried 1
}

@test "git clones and pushes over ssh" {
    export GIT_SSH_COMMAND="ssh $ssh_options" HOME=$PWD GIT_CONFIG_NOSYSTEM=1
    git config --global user.name tester
    git config --global user.email tester@example.invalid
    git config --global init.defaultBranch main
    git config --global protocol.version 2
    git init -q --bare origin.git
    via git clone -q "ssh://127.0.0.1:$ssh_port$PWD/origin.git" work
    cp "$large" work/large
    git -C work add large
    git -C work commit -q -m "a large file"
    via git -C work push -q origin main
    via git clone -q "ssh://127.0.0.1:$ssh_port$PWD/origin.git" again
    cmp again/large "$large"
    assert_carried 3
}
