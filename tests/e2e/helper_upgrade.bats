#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smuxctl upgrade: a helper that is replaced by the installed one while programs connect all the time.

load lib
load newcomers

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no helper without the shim"; fi
    gateway_port=$(free_port)
    start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
    program=$BATS_TEST_TMPDIR/smux-helper
    cp "$BUILD/smux-helper" "$program"
}

teardown() {
    ctl stop || true
    stop_all
    show_logs
}

# Another file, as a package manager puts it there.
install_again() { cp "$BUILD/smux-helper" "$program.new" && mv "$program.new" "$program"; }

helper_is() { ctl status --json | jq .pid; }

@test "a helper is replaced again and again, and no connect fails" {
    local first pid kind
    connecting=()
    spawn helper "$program" -c "$smuxshim_conf" -f
    wait_until "the helper" ctl status
    first=$(helper_is)
    for kind in connects transfer; do
        newcomers "$kind" "$BUILD/smuxshim" -c "$smuxshim_conf" python3 "$fixtures/newcomers.py" "$kind" "$peer_port"
    done
    pid=$first
    for _ in 1 2 3; do
        install_again
        run -0 ctl upgrade
        assert_output --regexp '^upgraded: pid [0-9]+ serves new connections, [0-9]+ are left to the old helper$'
        [ "$(helper_is)" != "$pid" ]
        pid=$(helper_is)
        echo "$pid TERM" >>"$BATS_TEST_TMPDIR/spawned"
    done
    [ -S "$BATS_TEST_TMPDIR/smuxshim-helper.sock" ]
    alive "$first"
    newcomers_end
    wait_until "the end of the first" eval '! alive $first'
    # The lock has moved, too: another one finds the last.
    run -0 "$program" -c "$smuxshim_conf" -f
    assert_output --partial "already running"
    run -0 ctl stop
    wait_until "its end" eval '! alive $pid'
    [ ! -e "$BATS_TEST_TMPDIR/smuxshim-helper.sock" ]
    [ ! -e "$BATS_TEST_TMPDIR/smuxshim-control.sock" ]
}

@test "who asks for an upgrade is answered, even if the new helper is ready at the first look" {
    local pid
    spawn helper "$program" -c "$smuxshim_conf" -f
    wait_until "the helper" ctl status
    pid=$(helper_is)
    # The old helper hears late that the new one has been started.
    spawn strace strace -o "$BATS_TEST_TMPDIR/trace" -e trace=recvmsg -e inject=recvmsg:delay_enter=1000000 -p "$pid"
    wait_until "strace" grep -qx "TracerPid:[[:space:]]*$spawned" "/proc/$pid/status"
    install_again
    run -0 timeout 60 "$BUILD/smuxctl" -c "$smuxshim_conf" upgrade
    assert_output --partial "serves new connections"
    echo "$(helper_is) TERM" >>"$BATS_TEST_TMPDIR/spawned"
    grep -q recvmsg "$BATS_TEST_TMPDIR/trace"
}

@test "a helper in the background is replaced, and one that is the installed one is not" {
    "$program" -c "$smuxshim_conf"
    local first
    first=$(helper_is)
    run ctl upgrade
    assert_failure 1
    assert_output "smuxctl: nothing to upgrade: the helper that runs is the one that is installed"
    install_again
    run -0 ctl upgrade --wait
    assert_line --partial "upgraded: pid "
    assert_line "drained"
    refute alive "$first"
    [ "$(helper_is)" != "$first" ]
    run -0 "$BUILD/smuxshim" -c "$smuxshim_conf" curl -s "http://127.0.0.1:$peer_port/" --http0.9 --max-time 5 -o /dev/null
    # Names that the first has given mean the same.
    run -0 ctl stop
    run ctl upgrade
    assert_failure 1
    assert_output --partial "no helper answers at"
}

@test "a new helper that does not start changes nothing" {
    spawn helper "$program" -c "$smuxshim_conf" -f
    wait_until "the helper" ctl status
    local first
    first=$(helper_is)
    echo "no-such-key = 1" >>"$smuxshim_conf"
    install_again
    run env SMUXSHIM_SOCKET="$BATS_TEST_TMPDIR/smuxshim-helper.sock" "$BUILD/smuxctl" upgrade
    assert_failure 1
    assert_output "smuxctl: the new helper has ended before it was ready, or was not in time: its log says why, and this one goes on"
    sed -i '$d' "$smuxshim_conf"
    assert_equal "$(helper_is)" "$first"
    run -0 ctl upgrade
    [ "$(helper_is)" != "$first" ]
}

# holds NAME: a program has a connection, until that ends; $helper_pid is the helper that carries it.
holds() {
    helper_pid=$(helper_is)
    echo "$helper_pid TERM" >>"$BATS_TEST_TMPDIR/spawned"
    spawn "$1" via python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"silent\n")
print("open", flush=True)
try:
    s.recv(1)
except ConnectionResetError:
    pass
print("ended", flush=True)' "$peer_port"
    wait_until "the connection of $1" grep -q open "$BATS_TEST_TMPDIR/$1.log"
}

# three_helpers: the third, $third, has replaced two, $first and $second, and each has a connection.
three_helpers() {
    "$program" -c "$smuxshim_conf"
    holds one
    first=$helper_pid
    install_again
    run -0 ctl upgrade
    holds two
    second=$helper_pid
    install_again
    run -0 ctl upgrade
    holds three
    third=$helper_pid
}

ended() { grep -q ended "$BATS_TEST_TMPDIR/$1.log"; }

@test "who stops a helper stops those that it has replaced, and the connections of all end" {
    local each first second third
    three_helpers
    run -0 ctl stop
    for each in "$first" "$second" "$third"; do wait_until "the end of helper $each" eval '! alive $each'; done
    for each in one two three; do wait_until "the end of connection $each" ended $each; done
}

@test "a helper that drains to its end leaves those that it has replaced their connections" {
    local each first second third
    three_helpers
    run -0 ctl drain
    kill "$spawned"
    wait_until "the end of the third helper" eval '! alive $third'
    wait_until "the end of its session" eval \
        '[ "$(grep -c "session ended" "$BATS_TEST_TMPDIR/gateway.log")" = 1 ]'
    for each in "$first" "$second"; do assert alive "$each"; done
    refute ended one
    refute ended two
}
