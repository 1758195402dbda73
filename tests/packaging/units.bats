#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The units that `make install` installs: systemd understands them, and the daemons do their work
# with what the units leave them.

load stage

setup_file() {
    install_staged PREFIX=/usr
    # systemd-analyze looks for the programs.
    sed -i "s|=/usr/bin/smux|=$stage/usr/bin/smux|" "$stage"/usr/lib/systemd/*/*.service
    units=$stage/usr/lib/systemd
    export units
}

@test "systemd-analyze verify says nothing about the system's units" {
    run -0 systemd-analyze verify --man=no "$units"/system/smux-*
    assert_output ""
}

@test "systemd-analyze verify says nothing about a user's units" {
    local dir=$BATS_TEST_TMPDIR/run
    mkdir -m 700 "$dir"
    run -0 env XDG_RUNTIME_DIR="$dir" systemd-analyze verify --user --man=no "$units"/user/smux-*
    assert_output ""
}

# exposure UNIT: systemd-analyze security's number for it.
exposure() {
    systemd-analyze security --offline=true --no-pager "$units/system/$1" |
        sed -nE 's/.*Overall exposure level for .*: ([0-9.]+) .*/\1/p'
}

@test "systemd-analyze security finds at most 2.0 for the gateway, and 2.5 for the helper" {
    run -0 exposure smux-gateway.service
    awk -v found="$output" 'BEGIN { exit !(found != "" && found <= 2.0) }' || fail "gateway: $output"
    run -0 exposure smux-helper.service
    awk -v found="$output" 'BEGIN { exit !(found != "" && found <= 2.5) }' || fail "helper: $output"
}

@test "the users and folders that the units name are made by systemd-sysusers and systemd-tmpfiles" {
    local there=$BATS_TEST_TMPDIR/root user
    mkdir -p "$there/etc"
    systemd-sysusers --root="$there" "$stage/usr/lib/sysusers.d/smuxshim.conf"
    while read -r user; do
        grep -q "^$user:" "$there/etc/passwd" || fail "no user $user"
        grep -q "^$user:" "$there/etc/group" || fail "no group $user"
    done < <(sed -nE 's/^(User|Group|SocketUser|SocketGroup)=//p' "$units"/system/*)
    systemd-tmpfiles --root="$there" --create "$stage/usr/lib/tmpfiles.d/smuxshim.conf"
    assert_equal "$(stat -c %a "$there/run/smuxshim")" 711
    assert_equal "$(stat -c %u "$there/run/smuxshim")" "$(awk -F: '/^smux-helper:/ { print $3 }' "$there/etc/passwd")"
    [ -d "$there/etc/smuxshim" ]
}

# Programs and sockets of an ordinary user, who may not enter bats' folders.
setup() { public=$(mktemp -d /tmp/smuxshim-units.XXXXXX) && chown nobody "$public"; }
teardown() { rm -r "$public"; }

# wait_for LOG COMMAND...: until the command succeeds, or the daemon has ended; a minute at most.
wait_for() {
    local log=$1 tries=1200
    shift
    until "$@" || [ -s "$log.status" ]; do
        [ $((tries -= 1)) -gt 0 ] || { cat "$log"; return 1; }
        sleep 0.05
    done
}

# starts UNIT PROGRAM ARGUMENT...: as an ordinary user with the unit's system calls, it says that its
# sandbox is whole, and ends when it is told to. Builds with sanitizers have none.
starts() {
    local unit=$1 log
    log=$(mktemp "$BATS_TEST_TMPDIR/log.XXXXXX") # the one before has left lines in its own
    cp "$stage/usr/bin/$2" "$public"
    # By sh, which knows the status of its child for certain, also while bats traps everything.
    sh -c 'log=$1; shift; "$@" >"$log" 2>&1 & echo $! >"$log.pid"; wait $!; echo $? >"$log.status"' - "$log" \
        python3 "$BATS_TEST_DIRNAME/system_calls.py" "$units/system/$unit" nobody "$public/$2" "${@:3}" 3>&- &
    wait_for "$log" grep -q sandbox "$log"
    kill "$(cat "$log.pid")" || true
    wait_for "$log" test -s "$log.status"
    cat "$log"
    [ "$(cat "$log.status")" = 0 ] || return 1
    grep -q 'no sandbox' "$log" || { grep -q 'sandbox: system calls filtered, files restricted' "$log" && ! grep -q warn: "$log"; }
}

@test "the gateway has its whole sandbox with the system calls that its unit leaves, and so have workers" {
    starts smux-gateway.service smux-gateway --listen "unix://$public/socket" --allow '*'
    starts smux-gateway.service smux-gateway --listen "unix://$public/socket" --allow '*' --workers 2
}

@test "the helper has its whole sandbox with the system calls that its unit leaves" {
    export SMUXSHIM_SOCKET=$public/smuxshim-helper.sock
    starts smux-helper.service smux-helper -f -g unix:///nowhere -r '10.0.0.0/8:*'
    starts smux-helper.service smux-helper -f -g unix:///nowhere -r '10.0.0.0/8:*'
}

@test "without the system calls of its sandbox a daemon says so, and works" {
    sed 's/^SystemCallFilter=.*landlock.*/SystemCallFilter=~landlock_create_ruleset landlock_add_rule landlock_restrict_self/' "$units/system/smux-helper.service" >"$units/system/smux-helper-bare.service"
    export SMUXSHIM_SOCKET=$public/smuxshim-helper.sock
    run starts smux-helper-bare.service smux-helper -f -g unix:///nowhere -r '10.0.0.0/8:*'
    rm "$units/system/smux-helper-bare.service"
    assert_output --regexp 'warn: (no sandbox|sandbox: .*files not restricted: no Landlock)'
}
