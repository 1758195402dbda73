#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The place of the helper's socket: every user has one, all four programs find it, and no user can
# take another's.

load lib

setup() {
    direct && skip "there is no helper without the shim"
    [ "$(id -u)" = 0 ] || fail "this needs root, to be other users"
    cd "$BATS_TEST_TMPDIR" || return
    # A fresh user, who can enter neither root's folders nor those of bats.
    user=$((2000000000 + RANDOM * 1000 + RANDOM % 1000))
    own_place=/tmp/smuxshim-$user
    home=$(public_dir)/home
    mkdir -p "$(public_dir)/bin" "$home/.config/smuxshim"
    cp "$BUILD"/{smuxshim,smux-helper,smuxctl,libsmuxshim.so} "$(public_dir)/bin"
    cp "$fixtures/probe.py" "$(public_dir)"
    bin=$(public_dir)/bin
    unset XDG_RUNTIME_DIR XDG_CONFIG_HOME TMPDIR
    start_peer
    over_tcp "each user would need a secret of his own"
    start_gateway
    # The README's configuration for the program's machine, with the address and destination of this
    # test.
    cat >"$home/.config/smuxshim/smuxshim.conf" <<END
[gateway main]
address = tcp://127.0.0.1:$gateway_port
[route databases]
destinations = 127.0.0.1:$peer_port
connect-timeout = 5s
END
    chown -R "$user:$user" "$home"
    probe=(python3 "$(public_dir)/probe.py" errno 127.0.0.1 "$peer_port")
}

teardown() {
    end_helpers
    stop_all
    rm -rf "${own_place:?}"
    show_logs
}

# Finds helpers that a test has left behind, by the program that they run (whose path is longer if
# the root is no mount point and they have their own mounts). The process beside each one that searches
# /proc for it runs the same program under another name.
helpers() {
    local pid
    find /proc/[0-9]*/exe -lname "*$bin/smux-helper" 2>/dev/null | grep -oE '[0-9]+' |
        while read -r pid; do grep -qsx smux-helper "/proc/$pid/comm" && echo "$pid"; done || true
}

end_helpers() {
    local pid
    for pid in $(helpers); do stop "$pid"; done
}

# by_user [NAME=VALUE...] COMMAND...: runs the command as the user, with the environment that cron
# gives and these variables only.
by_user() {
    (cd / && setpriv --reuid="$user" --regid="$user" --clear-groups \
        env -i HOME="$home" LOGNAME=user SHELL=/bin/sh PATH="$bin:/usr/bin:/bin" "$@" 3>&- 4>&-)
}

by_root() {
    (cd / && env -i HOME="$home" PATH="$bin:/usr/bin:/bin" "$@" 3>&- 4>&-)
}

@test "an ordinary user without XDG_RUNTIME_DIR runs the README's first example" {
    run --separate-stderr by_user smuxshim "${probe[@]}"
    assert_output connected
    assert_equal "$stderr" ""
    run by_user smuxctl status
    assert_success
    assert_output --partial "tcp://127.0.0.1:$gateway_port"
    run by_user smuxctl routes "127.0.0.1:$peer_port"
    assert_output --partial databases
    assert_equal "$(stat -c '%u %a' "$own_place")" "$user 700"
    assert [ -S "$own_place/smuxshim-helper.sock" ]
}

@test "launcher, library, smux-helper and smuxctl use the same place, whatever TMPDIR each has" {
    run by_user LD_PRELOAD="$bin/libsmuxshim.so" TMPDIR="$home" "${probe[@]}"
    assert_output connected
    run by_user TMPDIR=/var/tmp smuxshim -v "${probe[@]}"
    assert_line "smuxshim: a helper answers at $own_place/smuxshim-helper.sock"
    assert_line connected
    run by_user TMPDIR=/nonexisting smux-helper
    assert_output "smux-helper: already running at $own_place/smuxshim-helper.sock"
    assert_success
    run by_user smuxctl status
    assert_success
    assert_equal "$(carriers)" 1
}

@test "a runtime folder that belongs to another user, is writable by others, or is missing is not used" {
    local runtime=$home/runtime
    mkdir "$runtime"
    for runtime in "$home/runtime" /tmp /nonexisting; do
        run --separate-stderr by_user XDG_RUNTIME_DIR="$runtime" smuxshim "${probe[@]}"
        assert_output connected
        assert_equal "$stderr" ""
    done
    assert_equal "$(ls -A "$home/runtime")" ""
    refute [ -e /tmp/smuxshim ]
    assert_equal "$(helpers | wc -l)" 1
}

@test "root with a user's XDG_RUNTIME_DIR creates nothing in it, and the user is not locked out" {
    mkdir -m 700 "$home/runtime"
    chown "$user" "$home/runtime"
    exec="exec" own_mounts sh -c 'mount -t tmpfs none /run && exec sleep 60' 3>&- 4>&- &
    local sleeper=$!
    wait_until "a /run of the test's own" nsenter -t "$sleeper" -m -r test ! -e /run/systemd -a ! -e /run/lock
    run nsenter -t "$sleeper" -m -r env -i HOME="$home" PATH="$bin:/usr/bin:/bin" XDG_RUNTIME_DIR="$home/runtime" \
        sh -c 'smuxshim "$@" && ls /run/smuxshim' sh "${probe[@]}"
    assert_line connected
    assert_line smuxshim-helper.sock
    assert_equal "$(ls -A "$home/runtime")" ""
    end_helpers
    run --separate-stderr by_user XDG_RUNTIME_DIR="$home/runtime" smuxshim "${probe[@]}"
    assert_output connected
    assert [ -S "$home/runtime/smuxshim/smuxshim-helper.sock" ]
    stop "$sleeper"
}

@test "the system's helper serves the users that it admits; others use their own" {
    exec="exec" own_mounts sh -c 'mount -t tmpfs none /run && exec sleep 60' 3>&- 4>&- &
    local sleeper=$! inside
    inside=(nsenter -t "$sleeper" -m -r)
    wait_until "a /run of the test's own" "${inside[@]}" test ! -e /run/systemd -a ! -e /run/lock
    printf '[helper]\nallow-users = %s\n' "$user" | cat "$home/.config/smuxshim/smuxshim.conf" - >system.conf
    "${inside[@]}" env SMUXSHIM_SOCKET=/run/smuxshim/smuxshim-helper.sock "$bin/smux-helper" -c "$PWD/system.conf" 3>&- 4>&-
    run by_user_inside "$user" smuxshim -v "${probe[@]}"
    assert_line "smuxshim: a helper answers at /run/smuxshim/smuxshim-helper.sock"
    assert_line connected
    refute [ -e "$own_place" ]
    chmod 600 "/proc/$sleeper/root/run/smuxshim/smuxshim-helper.sock"
    run by_user_inside "$user" smuxshim "${probe[@]}"
    assert_output connected
    assert [ -e "$own_place" ]
    stop "$sleeper"
}

by_user_inside() {
    local uid=$1
    shift
    nsenter -t "$sleeper" -m -r setpriv --reuid="$uid" --regid="$uid" --clear-groups \
        env -i HOME="$home" PATH="$bin:/usr/bin:/bin" "$@" 3>&- 4>&-
}

@test "a helper whose socket file was deleted is found by launcher, library, smuxctl and smux-helper" {
    by_user smuxshim true
    local pid what
    pid=$(helpers)
    for what in smuxshim-helper.sock smuxshim-control.sock '*'; do
        # shellcheck disable=SC2086 # a pattern
        rm "$own_place"/$what
        run --separate-stderr by_user smuxshim "${probe[@]}"
        assert_output connected
        assert_equal "$stderr" ""
        run by_user LD_PRELOAD="$bin/libsmuxshim.so" "${probe[@]}"
        assert_output connected
        assert_equal "$(by_user smuxctl status --json | jq .pid)" "$pid"
        run by_user smux-helper
        assert_success
        assert_output --partial "already running"
    done
    rm -r "$own_place"
    run --separate-stderr by_user smuxshim "${probe[@]}"
    assert_output connected
    assert_equal "$(helpers)" "$pid"
    run by_user smux-helper
    assert_output --partial "already running"
    assert_equal "$(helpers)" "$pid"
}

@test "a helper that drains passes the abstract names on to the next one" {
    by_user smuxshim true
    local first
    first=$(helpers)
    mkfifo hold
    by_user smuxshim python3 -c "
import socket, sys
s = socket.create_connection(('127.0.0.1', $peer_port))
print('held', flush=True)
sys.stdin.read()" <hold >held 2>&1 &
    exec 7>hold
    wait_until "a connection that keeps it" grep -q held held
    by_user smuxctl drain
    wait_until "the next one" by_user smuxshim "${probe[@]}"
    rm "$own_place"/*.sock
    local second
    second=$(by_user smuxctl status --json | jq .pid)
    [ "$second" != "$first" ]
    run by_user smuxshim "${probe[@]}"
    assert_output connected
    exec 7>&-
    wait_until "the first to end" eval "! alive $first"
}

# squat COMMAND...: runs the command in /tmp as a third user, neither root nor the user.
squat() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

# listen_for_nobody PATH: makes a stranger listen at PATH, who writes to accepted.log if anyone
# connects.
listen_for_nobody() {
    spawn accepted squat /usr/bin/python3 -c "
import os, socket, sys
os.umask(0)
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
while True:
    c, _ = s.accept()
    if c.recv(100): print('asked', flush=True)" "$1"
    wait_until "the stranger" test -S "$1"
}

@test "a place that a stranger has created is refused in one clear line, and nothing is sent there" {
    squat mkdir -m 755 "$own_place"
    listen_for_nobody "$own_place/smuxshim-helper.sock"
    run --separate-stderr by_user smuxshim "${probe[@]}"
    assert_failure 1
    assert_equal "$stderr" "smux-helper: $own_place: expected a folder that belongs to uid $user and that others cannot write to (found uid 65534, mode 0755)"
    run by_user LD_PRELOAD="$bin/libsmuxshim.so" "${probe[@]}"
    assert_output EACCES
    run by_user smuxctl status
    assert_failure 1
    refute grep -q asked "$(work)/accepted.log"
}

@test "a symbolic link in the user's place is refused, wherever it points" {
    squat ln -s "$home" "$own_place"
    run --separate-stderr by_user smuxshim "${probe[@]}"
    assert_failure 1
    assert_equal "$stderr" "smux-helper: $own_place: expected a folder"
    assert_equal "$(ls -A "$home")" .config
}

@test "a socket configured in a world-writable folder is refused, and a stranger's socket there is not used" {
    local folder
    folder=$(public_dir)/shared
    mkdir -m 1777 "$folder"
    printf '[helper]\nsocket = %s/smuxshim-helper.sock\n' "$folder" >>"$home/.config/smuxshim/smuxshim.conf"
    run --separate-stderr by_user smuxshim "${probe[@]}"
    assert_failure 1
    assert_equal "$stderr" "smux-helper: $folder: expected a folder that belongs to uid $user or root and that others cannot write to (found uid 0, mode 1777)"
    listen_for_nobody "$folder/smuxshim-helper.sock"
    run by_user smuxshim "${probe[@]}"
    assert_failure 1
    run by_user LD_PRELOAD="$bin/libsmuxshim.so" "${probe[@]}"
    assert_output EACCES
    refute grep -q asked "$(work)/accepted.log"
    # A stranger's socket that was there before the folder became the user's own.
    chown "$user" "$folder"
    chmod 755 "$folder"
    run --separate-stderr by_user smuxshim "${probe[@]}"
    assert_failure 1
    assert_equal "$stderr" "smux-helper: $folder/smuxshim-helper.sock: expected a socket that belongs to uid $user or root (found uid 65534)"
}
