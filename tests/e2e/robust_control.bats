#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smuxctl, and the less common settings of a configuration.

load lib

setup_file() {
    start_nginx
    start_peer
    start_sshd
}

teardown_file() { stop_all; }

setup() {
    direct && skip "there is nothing to control without the shim"
    start_both "127.0.0.1:$web_port, 127.0.0.1:$peer_port, 127.0.0.1:$ssh_port"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

fetch() { via curl -sSf -o got "http://127.0.0.1:$web_port/small1" && [ "$(cat got)" = "file 1" ]; }
said() { grep -qx "$2" "$1.log"; }

# restart_helper DESTINATIONS [ROUTE LINE...]: restarts the helper with another configuration.
restart_helper() {
    stop "$helper_pid"
    write_smuxshim_conf "$@"
    start_helper
}

@test "status shows session, streams, programs and destinations" {
    spawn client via python3 "$fixtures/probe.py" receive 127.0.0.1 "$peer_port" 5000 hold
    local client=$spawned
    wait_until "data to flow" said client flowing
    ctl status --json >now
    jq -e --argjson pid "$client" --arg to "127.0.0.1:$peer_port" '
        (.sessions | length) == 1 and (.sessions[0] | .gateway == "main" and .version == 2 and
            .streams == 1 and .streams_total == 1 and .bytes_in >= 5000 and .reconnects == 0)
        and (.streams | length) == 1 and (.streams[0] | .pid == $pid and .destination == $to and
            (.program | startswith("python")) and .bytes_in >= 5000)' now || { cat now; false; }
    run ctl status
    assert_output --partial "127.0.0.1:$peer_port"
    assert_output --partial "$client"
}

@test "status lists hundreds of connections, a few in each turn of the loop" {
    spawn swarm via python3 "$fixtures/probe.py" swarm 127.0.0.1 "$peer_port" 300 "$BATS_TEST_TMPDIR"
    wait_until "the connections" test -e "ready.$spawned"
    strace -qq -e trace=openat,epoll_wait,epoll_pwait -o calls -p "$helper_pid" &
    local tracer=$!
    wait_until "the tracer" grep -q "^TracerPid:[[:space:]]*$tracer" "/proc/$helper_pid/status"
    ctl status --json >now
    kill -INT "$tracer"
    wait "$tracer" || true
    assert_equal "$(jq '[.streams[].stream] | unique | length' now)" 300
    assert_equal "$(jq '.streams | length' now)" 300
    # Each entry names its program; the name is read from /proc when the list is made.
    run awk '/openat.*comm/ { n++; all++ } /epoll/ { n = 0 } n > most { most = n }
             END { print all, most <= 64 ? "few" : "many" }' calls
    assert_output "300 few"
    touch go
}

@test "routes shows which rule would match" {
    run ctl routes "127.0.0.1:$web_port"
    assert_success
    assert_output --partial "route test, rule 127.0.0.1:$web_port, gateway main"
    run ctl routes 127.0.0.1:1
    assert_output --partial "no route"
    run ctl routes
    assert_output --partial "127.0.0.1:$web_port"
}

@test "reload applies new routes, and refuses an invalid file with the reason" {
    write_smuxshim_conf "127.0.0.1:$web_port"
    run ctl reload
    assert_success
    run ctl routes "127.0.0.1:$peer_port"
    assert_output --partial "no route"
    echo 'nonsense = 1' >>"$smuxshim_conf"
    run ctl reload
    assert_failure
    assert_output --partial "unknown key"
    write_smuxshim_conf "127.0.0.1:$web_port"
    fetch
}

@test "drain lets streams end, and then the helper ends" {
    spawn slow via curl -sSf --limit-rate 20M -o slow "http://127.0.0.1:$web_port/large"
    local slow=$spawned
    wait_until "the download to begin" test -s slow
    ctl drain
    wait "$slow"
    cmp slow "$www/large"
    wait "$helper_pid"
}

@test "stop ends the helper at once" {
    fetch
    ctl stop
    wait "$helper_pid"
    run ctl status
    assert_failure
    refute_output ""
}

@test "connect relays stdin and stdout to a destination" {
    printf 'echo\nover smuxctl' | ctl connect 127.0.0.1 "$peer_port" >got
    assert_equal "$(cat got)" "over smuxctl"
    head -c 20000000 /dev/urandom >data
    (echo sum; cat data) | ctl connect 127.0.0.1 "$peer_port" >answer
    assert_equal "$(cat answer)" "20000000 $(sha256sum <data | cut -d' ' -f1)"
    assert_carried 2
}

@test "connect to a closed port fails and reports the reason" {
    run ctl connect 127.0.0.1 "$web_port"0
    assert_failure
    refute_output ""
}

@test "ssh through smuxctl connect as ProxyCommand, with and without ProxyUseFdpass" {
    local command="$BUILD/smuxctl -c $smuxshim_conf connect"
    # shellcheck disable=SC2086 # options are several words
    run --separate-stderr ssh $ssh_options -o HostKeyAlias="[127.0.0.1]:$ssh_port" \
        -o ProxyCommand="$command %h %p" -p "$ssh_port" 127.0.0.1 'echo one'
    assert_output one
    # shellcheck disable=SC2086
    run --separate-stderr ssh $ssh_options -o HostKeyAlias="[127.0.0.1]:$ssh_port" -o ProxyUseFdpass=yes \
        -o ProxyCommand="$command --fdpass %h %p" -p "$ssh_port" 127.0.0.1 'echo two'
    assert_output two
    assert_carried 2
}

@test "connect = eager succeeds at once, and a refusal is reported at the first use" {
    restart_helper "127.0.0.1:$web_port, 127.0.0.1:1" "connect = eager"
    fetch
    # The refusal may also come while connect still waits for the helper, and is then its result.
    run --separate-stderr via python3 -c '
import errno, socket
seen = set()
for i in range(50):
    try:
        seen.add(socket.create_connection(("127.0.0.1", 1)).recv(1))
    except OSError as e:
        seen.add(errno.errorcode[e.errno])
print(*sorted(seen))'
    assert_success
    assert_output --regexp '^(ECONNREFUSED|ECONNRESET|ECONNREFUSED ECONNRESET)$'
}

@test "handshake = none works with a plain smux server, the example of libsmux" {
    local port
    port=$(free_port)
    serve echo "$port" "$BUILD/examples/echo_server" "$port"
    gateway_url=tcp://127.0.0.1:$port gateway_lines='version = 1' \
        restart_helper "192.0.2.1:7" "handshake = none"
    run --separate-stderr via nc -N 192.0.2.1 7 <<<"plain words"
    assert_success
    assert_output "plain words"
}

@test "a gateway with four workers serves a helper with three carriers" {
    stop "$gateway_pid"
    printf 'workers = 4\n' >>"$gateway_conf"
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c "$gateway_conf"
    gateway_lines='connections = 3' restart_helper "127.0.0.1:$web_port"
    run --separate-stderr via ab -q -n 1000 -c 50 "http://127.0.0.1:$web_port/small1"
    assert_line --regexp '^Complete requests: +1000$'
    assert_line --regexp '^Failed requests: +0$'
    assert_equal "$(carriers)" 3
    assert [ "$(streams_total)" -ge 1000 ]
    # Each of the three carriers has its share.
    assert [ "$(ctl status --json | jq "[.sessions[].streams_total] | min")" -ge 200 ]
}

@test "the second address is used when the first does not answer" {
    gateway_url="$carrier://127.0.0.1:1, $carrier://127.0.0.1:$gateway_port" restart_helper "127.0.0.1:$web_port"
    fetch
}

@test "another user is refused until the configuration admits him" {
    [ "$(id -u)" = 0 ] || fail "this needs root, to be another user"
    runtime_dir=$(public_dir)
    helper_lines='allow-users = daemon' restart_helper "127.0.0.1:$peer_port"
    cp "$fixtures/probe.py" "$runtime_dir"
    as_nobody() {
        as_user nobody env HOME=/nonexistent SMUXSHIM_CONFIG="$smuxshim_conf" \
            LD_PRELOAD="$runtime_dir/libsmuxshim.so" /usr/bin/python3 "$runtime_dir/probe.py" errno 127.0.0.1 "$peer_port"
    }
    cp "$BUILD/libsmuxshim.so" "$runtime_dir"
    run --separate-stderr as_nobody
    assert_output EACCES
    run grep -E 'uid 65534|nobody' helper.log
    assert_success
    helper_lines='allow-users = nobody' restart_helper "127.0.0.1:$peer_port"
    run --separate-stderr as_nobody
    assert_output connected
    assert_carried 1
}
