#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smux-gateway without root, without files, with few system calls: it does its work all the same.
# What the sandbox forbids is in tests/unit/test_sandbox.c.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no gateway without the shim"; fi
    log=$BATS_TEST_TMPDIR/gateway.log
}

teardown() {
    stop_all
    show_logs
}

dial() { ctl connect "$1" "$peer_port" </dev/null 2>&1; }

# status_of PID KEY: a line of /proc/PID/status, without its key.
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" | tr '\t' ' '; }

needs_root() { [ "$(id -u)" = 0 ] || skip "this needs root, to become somebody else"; }

# Builds with sanitizers, or without libseccomp, say what they lack.
needs_sandbox() {
    wait_until "the gateway to speak of its sandbox" grep -qi sandbox "$log"
    ! grep -E 'no sandbox|not filtered|not restricted' "$log" || skip "no sandbox in this build, or on this kernel"
}

@test "a worker has no privilege, no way to one, and leaves no core dump" {
    start_both "127.0.0.1:$peer_port"
    needs_sandbox
    run dial 127.0.0.1
    assert_success
    assert_equal "$(status_of "$gateway_pid" NoNewPrivs)" 1
    assert_equal "$(status_of "$gateway_pid" Seccomp)" 2
    assert_equal "$(status_of "$gateway_pid" CapPrm)" 0000000000000000
    assert_equal "$(status_of "$gateway_pid" CapBnd)" 0000000000000000
    run -0 awk '/^Max core file size/ { print $5, $6 }' "/proc/$gateway_pid/limits"
    assert_output "0 0"
}

@test "started by root it becomes its user, reloads a configuration of root's, and opens root's log again" {
    needs_root
    local dir=$BATS_TEST_TMPDIR/root
    mkdir -m 700 "$dir"
    log=$dir/log
    gateway_allow='127.0.0.1:1' gateway_conf_lines="user = nobody
log-file = $log" start_both '127.0.0.1:*'
    chmod 600 "$gateway_conf"
    needs_sandbox
    local nobody
    nobody=$(id -u nobody)
    assert_equal "$(status_of "$gateway_pid" Uid)" "$nobody $nobody $nobody $nobody"
    assert_equal "$(status_of "$gateway_pid" Gid | cut -d' ' -f1)" "$(id -g nobody)"
    run dial 127.0.0.1
    assert_failure
    sed -i 's/^allow = .*/allow = 127.0.0.1:*/' "$gateway_conf"
    mv "$log" "$log.1"
    kill -HUP "$gateway_pid"
    wait_until "the reload, in a new log" grep -q 'configuration reloaded' "$log"
    assert_equal "$(stat -c %U "$log")" root
    run dial 127.0.0.1
    assert_success
}

@test "workers become the user too, and one that is replaced does" {
    needs_root
    gateway_conf_lines='user = nobody
workers = 2' start_gateway
    needs_sandbox
    worker() { pgrep -P "$gateway_pid" | head -n 1; }
    users() { pgrep -P "$gateway_pid" | while read -r pid; do stat -c %U "/proc/$pid/status"; status_of "$pid" Uid; done; }
    both() { [ "$(pgrep -P "$gateway_pid" | wc -l)" = 2 ]; }
    fallen() { both && ! pgrep -P "$gateway_pid" | while read -r pid; do status_of "$pid" Uid; done | grep -qw 0; }
    wait_until "two workers without root" fallen
    kill -SYS "$(worker)"
    wait_until "its end to be told" grep -q 'worker [01] (pid [0-9]*) was killed by the filter of system calls' "$log"
    run -0 grep -c 'was killed' "$log"
    assert_output 1
    wait_until "two workers without root again" fallen
}

@test "a worker's broker ends with it, and keeps no port" {
    start_gateway
    needs_sandbox
    local broker
    broker=$(pgrep -P "$gateway_pid" smux-files)
    run find "/proc/$broker/fd" -mindepth 1 -lname 'socket:*'
    assert_equal "${#lines[@]}" 1
    stop "$gateway_pid" KILL
    wait_until "the broker to end" eval '! alive $broker'
    start_gateway
    # One that dies before is told.
    kill -KILL "$(pgrep -P "$gateway_pid" smux-files)" "$(pgrep -P "$gateway_pid" smux-successor)"
    wait_until "that to be told" grep -q 'the process that opens files has died' "$log"
    wait_until "that to be told" grep -q 'the process that starts a successor has died' "$log"
    kill -USR2 "$gateway_pid"
    wait_until "that, too" grep -q 'cannot be replaced' "$log"
    alive "$gateway_pid"
}

@test "an /etc/hosts that is replaced counts for the next name" {
    needs_root
    local hosts=$BATS_TEST_TMPDIR/etc
    mkdir "$hosts"
    cp -L /etc/nsswitch.conf /etc/resolv.conf /etc/passwd /etc/group "$hosts" 2>/dev/null || true
    echo '127.0.0.1 before.test' >"$hosts/hosts"
    echo 'hosts: files dns' >"$hosts/nsswitch.conf"
    gateway_port=$(free_port)
    in_its_etc() { own_mounts sh -c 'mount --bind "$1" /etc && shift && exec "$@"' - "$hosts" "$@"; }
    listen_at "$gateway_port"
    serve gateway "$gateway_port" in_its_etc "$BUILD/smux-gateway" "${listen_options[@]}" \
        --allow '127.0.0.0/8:*'
    write_smuxshim_conf '*'
    start_helper
    run dial before.test
    assert_success
    run dial after.test
    assert_failure
    echo '127.0.0.1 after.test' >"$hosts/new"
    mv "$hosts/new" "$hosts/hosts"
    run dial after.test
    assert_success
}

@test "sandbox = no says so, and a bad user is a mistake of the file" {
    gateway_conf_lines='sandbox = no' start_gateway
    wait_until "the gateway to say so" grep -q 'no sandbox: ' "$log"
    assert_equal "$(status_of "$gateway_pid" Seccomp)" 0
    run pgrep -P "$gateway_pid" smux-files
    assert_output ''
    run "$BUILD/smux-gateway" --listen tcp://127.0.0.1:1 -u no-such-user
    assert_failure 2
    assert_output 'smux-gateway: command line: user: expected the name or id of a user, not "no-such-user"'
    run "$BUILD/smux-gateway" --listen tcp://127.0.0.1:1 --user ''
    assert_failure 2
}

@test "a connection costs a sandboxed gateway no system call more" {
    count_calls() { # SANDBOX: the calls of ten connections, in $BATS_TEST_TMPDIR/SANDBOX
        unset gateway_port
        gateway_conf_lines="sandbox = $1" start_gateway
        write_smuxshim_conf "127.0.0.1:$peer_port"
        start_helper
        dial 127.0.0.1
        local tracer
        strace -f -qq -o "$BATS_TEST_TMPDIR/$1" -p "$gateway_pid" &
        tracer=$!
        wait_until "the tracer" grep -q "^TracerPid:[[:space:]]*$tracer" "/proc/$gateway_pid/status"
        for _ in 1 2 3 4 5 6 7 8 9 10; do dial 127.0.0.1; done
        kill "$tracer"
        wait "$tracer" || true
        stop "$helper_pid"
        stop "$gateway_pid"
        # How many sockets are watched, and read in how many pieces, is a matter of chance.
        sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' "$BATS_TEST_TMPDIR/$1" | grep -xE 'socket|connect|setsockopt|openat|stat|newfstatat|sendto|getsockname|close' |
            sort | uniq -c >"$BATS_TEST_TMPDIR/$1.count"
    }
    [ -w /proc/self/attr/current ] || [ "$(id -u)" = 0 ] || skip "this needs to trace"
    count_calls no
    count_calls yes
    diff "$BATS_TEST_TMPDIR/no.count" "$BATS_TEST_TMPDIR/yes.count"
}
