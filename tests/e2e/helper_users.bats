#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Users who share a helper: data that one of them leaves unread does not stall the others.

load lib

setup() {
    direct && skip "there is no helper without the shim"
    [ "$(id -u)" = 0 ] || fail "this needs root, to be other users"
    runtime_dir=$(public_dir)
    cp "$fixtures/neighbour.py" "$fixtures/unread.py" "$BUILD/libsmuxshim.so" "$runtime_dir"
}

teardown() {
    stop_all
    show_logs
}

# as NAME COMMAND...: runs the command as this user, under the shim.
as() {
    local user=$1
    shift
    $exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups env HOME=/nonexistent \
        SMUXSHIM_CONFIG="$smuxshim_conf" LD_PRELOAD="$runtime_dir/libsmuxshim.so" "$@"
}

start_servers() {
    start_peer
    pour_port=$(free_port)
    serve pour "$pour_port" python3 "$fixtures/silent.py" serve "$pour_port"
    to="127.0.0.1:$peer_port, 127.0.0.1:$pour_port"
}

# hoard USER COUNT: as USER, opens COUNT connections to a server that sends without end, and reads
# nothing.
hoard() {
    spawn hoard as "$1" /usr/bin/python3 "$runtime_dir/unread.py" "$pour_port" "$2"
    hoarder=$spawned
    wait_until "the connections" grep -q open "$BATS_TEST_TMPDIR/hoard.log"
    sleep 3 # until nothing more comes for them
}

# neighbour USER BYTES: makes round trips and transfers BYTES, as USER. Normally this takes a tenth
# of the time limit; it fails if it waits for another user's reader or has only the smallest window.
neighbour() {
    run -0 as "$1" timeout 120 /usr/bin/python3 "$runtime_dir/neighbour.py" "$peer_port" 2 "$2"
    echo "# $1: $output" >&3
    [[ $output =~ " worst "([0-9]+)".".*", $2 bytes in "([0-9]+)"." ]]
    [ "${BASH_REMATCH[1]}" -lt 15000 ]
    [ "${BASH_REMATCH[2]}" -lt 60 ]
    alive "$hoarder"
}

@test "a user's thousand slow readers do not stall other users' round trips and transfers" {
    start_servers
    start_gateway
    path_port=$(free_port)
    serve path "$path_port" python3 "$fixtures/longpath.py" "$path_port" "$gateway_port" 0.01
    gateway_url=$carrier://127.0.0.1:$path_port helper_lines="socket-mode = 0666" write_smuxshim_conf "$to"
    start_helper
    hoard nobody 1000
    neighbour daemon 40000000
    neighbour root 40000000
}

@test "the same when memory is short" {
    start_servers
    helper_lines="socket-mode = 0666\nmax-memory = 64m" start_both "$to"
    hoard nobody 2000
    neighbour daemon 100000000
    neighbour root 100000000
}

@test "the same with a gateway that speaks smux version 1" {
    start_servers
    helper_lines="socket-mode = 0666\nmax-memory = 64m" gateway_lines="version = 1" \
        start_both "$to"
    hoard nobody 5
    neighbour daemon 100000000
    neighbour root 100000000
}

# plain VERSION: starts a smux server without extensions.
plain() {
    over_tcp "the server speaks no TLS"
    peer_port=$(free_port) pour_port=$(free_port)
    gateway_port=$(free_port)
    serve plain "$gateway_port" python3 "$fixtures/plain.py" "$1" "$gateway_port"
    helper_lines="socket-mode = 0666\nmax-memory = 64m" gateway_lines="version = $1" \
        write_smuxshim_conf "127.0.0.1:*" "handshake = none"
    start_helper
}

@test "the same with a plain smux server of version 2" {
    plain 2
    hoard nobody 300
    neighbour daemon 100000000
    neighbour root 100000000
}

@test "the same with a plain smux server of version 1" {
    plain 1
    hoard nobody 5
    neighbour daemon 100000000
    neighbour root 100000000
}

@test "a user's slow readers do not stall that user's round trips, even when memory is short" {
    start_servers
    helper_lines="max-memory = 64m" start_both "$to"
    hoard root 2000
    neighbour root 2000000
}

# resident: prints the helper's resident memory in MiB, once it has not grown for two seconds.
resident() {
    wait_until "the memory to settle" settled
    echo $(($(rss) / 1024))
}
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$helper_pid/status"; }
settled() {
    local before
    before=$(rss)
    sleep 2
    [ "$(rss)" -le $((before + 1024)) ]
}

# set_memory SIZE: changes max-memory of the running helper.
set_memory() {
    reloads=$((${reloads:-0} + 1))
    sed -i "s/^max-memory = .*/max-memory = $1/" "$smuxshim_conf"
    kill -HUP "$helper_pid"
    wait_until "the helper to reload" reloaded "$reloads"
}
reloaded() { [ "$(grep -c 'configuration reloaded' "$BATS_TEST_TMPDIR/helper.log")" -ge "$1" ]; }

@test "a changed max-memory takes effect at SIGHUP, for existing and for new connections" {
    local before after
    start_servers
    helper_lines="socket-mode = 0666\nmax-memory = 64m" gateway_lines="version = 1\nmax-receive-buffer = 512m" \
        start_both "$to"
    hoard nobody 1
    before=$(resident)
    set_memory 256m
    after=$(resident)
    echo "# resident: $before MiB with 64m, $after with 256m" >&3
    # Half of max-memory, and of the rest as much as is left.
    [ "$before" -lt 40 ]
    [ "$after" -ge $((before + 40)) ]
    set_memory 64m
    before=$(resident)
    spawn another as daemon /usr/bin/python3 "$runtime_dir/unread.py" "$pour_port" 1
    wait_until "another's connection" grep -q open "$BATS_TEST_TMPDIR/another.log"
    sleep 1
    after=$(resident)
    echo "# resident: $after MiB when another reads nothing either, with 64m" >&3
    [ "$after" -le $((before + 4)) ]
    neighbour root 100000000
}
