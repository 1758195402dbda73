#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Users who are not admitted, and admitted users with bad intent: whatever they send, others are
# served.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    direct && skip "there is no helper without the shim"
    [ "$(id -u)" = 0 ] || fail "this needs root, to be other users"
    runtime_dir=$(public_dir)
    closed_port=$(free_port)
    cp "$fixtures/attack.py" "$fixtures/probe.py" "$BUILD/libsmuxshim.so" "$runtime_dir"
    socket=$runtime_dir/smuxshim-helper.sock
}

teardown() {
    stop_all
    show_logs
}

# start ALLOWED: starts helper and gateway; ALLOWED is a line for the [helper] section.
start() {
    silent_port=$(free_port)
    helper_lines=$1 start_both "127.0.0.1:$peer_port, 127.0.0.1:$closed_port, 127.0.0.1:$silent_port" \
        "connect-timeout = 1h"
    works
    fds_before=$(helper_fds)
}

# attack SOCKET KIND COUNT: starts an attack by the user nobody, and waits until it has sent
# everything.
attack() {
    spawn "attack-$2" as_user nobody /usr/bin/python3 "$runtime_dir/attack.py" "$@"
    attacker=$spawned
    wait_until "the attack" grep -q sent "$BATS_TEST_TMPDIR/attack-$2.log"
}

helper_fds() { find "/proc/$helper_pid/fd" -mindepth 1 | wc -l; }
fds_are_back() { [ "$(helper_fds)" -le $((fds_before + 5)) ]; }
works() { outcome connected "$peer_port"; }
fails() { outcome ECONNREFUSED "$closed_port"; }
# outcome WORD PORT: checks the outcome of a connect by the owner.
outcome() {
    run --separate-stderr via timeout 60 python3 "$fixtures/probe.py" errno 127.0.0.1 "$2"
    assert_output "$1"
}
serves_its_owner() {
    for _ in 1 2 3; do
        works
        fails
    done
    timeout 60 "$BUILD/smuxctl" -c "$smuxshim_conf" status >/dev/null
}
as_nobody() {
    $exec setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups env HOME=/nonexistent \
        SMUXSHIM_CONFIG="$smuxshim_conf" LD_PRELOAD="$runtime_dir/libsmuxshim.so" "$@"
}

# survives SOCKET KIND COUNT: the owner is served during the attack, and after its process is gone.
survives() {
    attack "$@"
    serves_its_owner
    stop "$attacker" KILL
    serves_its_owner
    wait_until "the helper's descriptors to be closed" fds_are_back
}

@test "a stranger's requests with lingering sockets: the owner's connects succeed and fail as before" {
    start ""
    survives "@$socket" linger 200
}

@test "a stranger's requests with lingering sockets, closed at once" {
    start ""
    survives "@$socket" close 200
}

@test "a stranger's requests with a hundred lingering sockets in each" {
    start ""
    survives "@$socket" many 8
}

@test "a stranger's lingering sockets in flight inside other sockets, nested" {
    start ""
    survives "@$socket" nested 100
}

@test "a stranger's six thousand empty requests exhaust nothing" {
    start ""
    attack "@$socket" empty 6000
    serves_its_owner
    wait_until "the helper's descriptors to be closed" fds_are_back
}

@test "all of these attacks through the socket's path, when other users are admitted" {
    start "allow-users = daemon"
    attack "$socket" empty 3000
    attack "$socket" linger 200
    attack "$socket" nested 50
    serves_its_owner
    wait_until "the helper's descriptors to be closed" fds_are_back
}

@test "a user who is not admitted gets EACCES, blocking or not, even while strangers flood the helper" {
    start "allow-users = daemon"
    for _ in 1 2 3 4 5; do
        run --separate-stderr as_nobody /usr/bin/python3 "$runtime_dir/probe.py" errno 127.0.0.1 "$peer_port"
        assert_output EACCES
        run --separate-stderr as_nobody /usr/bin/python3 "$runtime_dir/probe.py" errno 127.0.0.1 "$peer_port" nonblocking
        assert_output EACCES
    done
    attack "$socket" linger 200
    run --separate-stderr as_nobody /usr/bin/python3 "$runtime_dir/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output EACCES
}

@test "SO_ERROR of a refused connection is EACCES, and a receive gets nothing" {
    start "allow-users = daemon"
    cat >"$runtime_dir/refused.py" <<'END'
import errno, select, socket, sys, time
s = socket.socket()
s.setblocking(False)
err = s.connect_ex(("127.0.0.1", int(sys.argv[1])))
if err == errno.EACCES:
    sys.exit()
poll = select.poll()
poll.register(s, select.POLLOUT)
poll.poll()
time.sleep(0.3)
copy = s.dup()
print(errno.errorcode[copy.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
try:
    print(len(s.recv(100)), "bytes")
except OSError:
    print("0 bytes")
END
    run --separate-stderr as_nobody /usr/bin/python3 "$runtime_dir/refused.py" "$peer_port"
    # If the refusal comes during the request, connect itself fails and the program prints nothing.
    [ -z "$output" ] || assert_output "EACCES
0 bytes"
}

@test "an admitted user's lingering sockets: other users' connects succeed and fail as before" {
    start "allow-users = nobody"
    survives "$socket" linger 200
    survives "$socket" many 8
    survives "$socket" nested 100
}

@test "an admitted user's six thousand empty requests leave descriptors for others" {
    start "allow-users = nobody"
    attack "$socket" empty 6000
    assert [ "$(helper_fds)" -le 600 ]
    serves_its_owner
}

@test "an admitted user's sockets with locked memory delay only that user" {
    start "allow-users = nobody"
    # Only root may create the memory that locks the sockets; the program connects as nobody.
    spawn attack-lock python3 "$runtime_dir/attack.py" "$socket" lock 20 "$peer_port"
    wait_until "the attack" grep -q '20 sent' "$BATS_TEST_TMPDIR/attack-lock.log"
    serves_its_owner
    stop "$spawned" KILL
    serves_its_owner
    wait_until "the helper's descriptors to be closed" fds_are_back
}

@test "an admitted user's conversations are the same as the owner's: every byte and every end" {
    make -C "$root" BUILD="$BUILD" --no-print-directory oracle >&2
    cp "$BUILD/oracle/conversation" "$runtime_dir"
    helper_lines="allow-users = nobody" start_both "127.0.0.1:*, [::1]:*"
    as_nobody timeout 300 "$runtime_dir/conversation" --seed 20000 --count 200 --jobs 16
    assert_carried 200
}

# A server whose backlog is full, so that connects to it stay in progress.
start_silent_server() {
    spawn server python3 "$fixtures/abandon.py" server "$silent_port" "$BATS_TEST_TMPDIR"
    wait_until "a full backlog" test -e "$BATS_TEST_TMPDIR/server-ready"
}

@test "a descriptor on a file system that does not answer does not block the helper" {
    gateway_conf_lines="connect-timeout = 1h" start ""
    start_silent_server
    # Only root may mount such a file system here.
    spawn attack-fuse python3 "$runtime_dir/attack.py" "$socket" fuse 5 "$silent_port"
    wait_until "the attack" grep -q '5 sent' "$BATS_TEST_TMPDIR/attack-fuse.log"
    sleep 0.5
    serves_its_owner
    stop "$spawned" KILL
    wait_until "the helper's descriptors to be closed" fds_are_back
}

@test "two hundred pending connects among thousands of descriptors are searched outside the event loop" {
    gateway_conf_lines="connect-timeout = 1h" start "allow-users = nobody"
    start_silent_server
    attack "$socket" slow 200 "$silent_port"
    sleep 0.5
    cat >"$BATS_TEST_TMPDIR/rounds.py" <<'END'
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"echo\n")
end, worst, rounds = time.monotonic() + 3, 0, 0
while time.monotonic() < end:
    begin = time.monotonic()
    s.sendall(b"x")
    s.recv(1)
    worst, rounds = max(worst, time.monotonic() - begin), rounds + 1
print("worst round trip of %d: %.1f ms" % (rounds, worst * 1000))
END
    via timeout 60 python3 "$BATS_TEST_TMPDIR/rounds.py" "$peer_port" >&3
    # The thread of the event loop reads nothing in /proc.
    timeout 20 strace -qq -c -e trace=readlinkat,getdents64 -p "$helper_pid" -o "$BATS_TEST_TMPDIR/calls" &
    local tracer=$!
    sleep 3
    kill -INT "$tracer"
    wait "$tracer" || true
    run cat "$BATS_TEST_TMPDIR/calls"
    refute_output --partial readlinkat
    refute_output --partial getdents64
    works
}

@test "a stranger's flood does not use up the log's rate limit for others" {
    start "allow-users = daemon"
    attack "$socket" junk 3000
    fails
    assert grep -q "connect to 127.0.0.1:$closed_port" "$BATS_TEST_TMPDIR/helper.log"
    assert [ "$(grep -c 'uid 65534: request refused' "$BATS_TEST_TMPDIR/helper.log")" -lt 1500 ]
}

@test "a user has at most max-streams-per-user connections, and others have theirs" {
    start "allow-users = nobody\nmax-streams-per-user = 5"
    spawn hoard as_nobody /usr/bin/python3 "$runtime_dir/probe.py" hoard 127.0.0.1 "$peer_port" 5
    wait_until "five connections" grep -q hoarding "$BATS_TEST_TMPDIR/hoard.log"
    run --separate-stderr as_nobody /usr/bin/python3 "$runtime_dir/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output EAGAIN
    assert grep -q max-streams-per-user "$BATS_TEST_TMPDIR/helper.log"
    serves_its_owner
    stop "$spawned" KILL
    wait_until "its connections to end" one_more
}

one_more() {
    [ "$(as_nobody /usr/bin/python3 "$runtime_dir/probe.py" errno 127.0.0.1 "$peer_port")" = connected ]
}
