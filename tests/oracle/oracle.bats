#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The kernel's TCP is the oracle: every program prints what it observes, direct, under the shim with
# a helper that relays to plain TCP, and under the shim with the real helper and gateway, over TCP and
# over TLS. All outputs must be equal.

load ../e2e/lib

# Some routes match by name, so that lookups are hooked.
routes="127.0.0.0/9:*, 0.0.0.0:*, [::1]:*, [::]:*, localhost:*, *.route.invalid:*"

setup_file() {
    export runtimes=$BATS_TEST_DIRNAME/runtimes
    export loop_socket=$BATS_FILE_TMPDIR/loop/smuxshim-helper.sock
    mkdir "$BATS_FILE_TMPDIR/loop"
    spawn loop_helper "$BUILD/oracle/loop_helper" "$loop_socket"
    wait_until "the loop helper" grep -q ready "$BATS_FILE_TMPDIR/loop_helper.log"
    gateway_allow="127.0.0.0/8:*, [::1]:*, localhost:*"
    direct || for carrier in $carriers; do
        runtime_dir=$BATS_FILE_TMPDIR/$carrier
        mkdir "$runtime_dir"
        unset gateway_port
        start_both "$routes"
    done
}

teardown_file() { stop_all; }

teardown() { show_logs; }

# with_loop COMMAND...: runs the command under the shim, with the helper that needs no gateway.
with_loop() {
    SMUXSHIM_SOCKET=$loop_socket "$BUILD/smuxshim" -g tcp://127.0.0.1:1 -r "$routes" "$@"
}

same() { same_command "$2" "$BUILD/oracle/$1"; }

# same_command MINIMUM COMMAND...: the command prints at least MINIMUM observations, equal in all
# runs.
same_command() {
    local minimum=$1 dir=$BATS_TEST_TMPDIR
    shift
    same_command_with_loop "$minimum" "$@"
    direct && return
    for carrier in $carriers; do
        smuxshim_conf=$BATS_FILE_TMPDIR/$carrier/smuxshim.conf
        via timeout 100 "$@" >"$dir/full" 2>&1 </dev/null || true
        diff "$dir/direct" "$dir/full" >&2 || fail "what differs: < direct, > through helper and gateway over $carrier"
    done
}

# Without helper and gateway, for what is none of theirs.
same_with_loop() { limit=400 same_command_with_loop "$2" "$BUILD/oracle/$1"; }

same_command_with_loop() {
    local minimum=$1 dir=$BATS_TEST_TMPDIR limit=${limit:-100}
    shift
    timeout "$limit" "$@" >"$dir/direct" 2>&1 </dev/null
    [ "$(grep -c ': ' "$dir/direct")" -ge "$minimum" ] || fail "fewer than $minimum observations: $(cat "$dir/direct")"
    with_loop timeout "$limit" "$@" >"$dir/loop" 2>&1 </dev/null || true
    diff "$dir/direct" "$dir/loop" >&2 || fail "what differs: < direct, > under the shim"
}

@test "connect: results, errors, retries, wrong arguments" { same connect_plain 74; }

@test "connect in progress: poll, names, options, data, signals, timeouts" { same connect_pending 65; }

@test "connect aborted: shutdown, disconnect, signals, cancellation, children" { same given_up 131; }

# A blocking connect takes the pending error if the socket is reset while it waits. The error must
# be reported after the data, which was lost in 6 of 2,000 random conversations.
@test "the target sends and resets before connect returns: the program gets the data, and then the reset" {
    local loop_socket=$BATS_TEST_TMPDIR/smuxshim-helper.sock
    spawn hasty "$BUILD/oracle/loop_helper" -r "$loop_socket"
    wait_until "the hasty helper" grep -q ready "$BATS_TEST_TMPDIR/hasty.log"
    run with_loop timeout 100 python3 -c '
import errno, socket
sock = socket.socket()
print(errno.errorcode.get(sock.connect_ex(("127.0.0.1", 1)), "connected"))
for _ in range(3):
    try:
        print(sock.recv(100).decode() or "end of file")
    except OSError as error:
        print(errno.errorcode[error.errno])'
    stop "$spawned"
    assert_output "$(printf '%s\n' connected 'last words' ECONNRESET 'end of file')"
}

@test "connect refused: every call afterwards, however the program learned of it" { same refused 370; }

@test "epoll: registered before and after, edges, oneshot, exclusive, nested, several sets" { same epoll_sets 81; }

@test "epoll: registered through copies of the set, before exec, by io_uring; sockets of other processes" { same epoll_unseen 37; }

@test "names: peer and local, truncated, bound, IPv6, v4-mapped" { same names 343; }

@test "lookups: names to addresses and back, for names without a route" { same lookups 95; }

@test "options: set before and after connect, read back, refused" { same options 454; }

@test "options: every number, on both families" { same options_all 2500; }

@test "data: flags, addresses, vectors, sendfile, splice, stdio, back-pressure" { same data 103; }

@test "ends: shutdown, close, reset, SIGPIPE, and what the target sees" { same ends 119; }

@test "early ends: within microseconds of the connect, from both sides" { same ends_early 32; }

@test "resets: after data, during a call, and which call reports them" { same resets 170; }

@test "processes: dup, fork, exec, SCM_RIGHTS, threads, signals, cancellation" { same processes 76; }

@test "urgent data: both directions, the mark, SIGURG, poll, in line; telnet and ftp" { same urgent 75; }

@test "rare: fast open, SIGIO, bound ports and devices, other kinds of sockets" { same rare 100; }

@test "buffers: writers of every kind, buffers of every size, nothing stalls" { same buffers 69; }

@test "other calls: ppoll, vectors at positions, pages, aio, closefrom" { same other_calls 105; }

@test "foreign descriptors: every option, of files, pipes and every kind of socket" { same_with_loop foreign_options 480; }

@test "foreign descriptors: every other call, by name and by number, and its side effects" { same_with_loop foreign_calls 230; }

@test "python: socket, selectors, asyncio, children" { same_command 75 python3 "$runtimes/observe.py"; }

@test "node: events, ends, errors, pipes, http" { same_command 33 node "$runtimes/observe.js"; }

@test "node with its epoll_ctl calls gathered by io_uring" {
    UV_USE_IO_URING=1 same_command 33 node "$runtimes/observe.js"
}

@test "java: Socket, channels, selectors, asynchronous channels" {
    javac -d "$BATS_TEST_TMPDIR" "$runtimes/Observe.java"
    same_command 50 java -Xshare:auto -cp "$BATS_TEST_TMPDIR" Observe
}
