#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# [socks] and [forward NAME]: the helper as a proxy for programs that cannot be preloaded. What they
# see is what they would see without it.

load web_and_peer

setup() {
    direct && skip "there is no proxy without the helper"
    cd "$BATS_TEST_TMPDIR" || return
    socks_port=$(free_port) forward_port=$(free_port)
    proxy=127.0.0.1:$socks_port
}

# with_listeners DESTINATIONS LINE...: gateway and helper, with these lines in the configuration, and
# $route_line in that of the route.
with_listeners() {
    helper_lines=$(printf '%s\\n' "${@:2}") start_both "$1" ${route_line:+"$route_line"}
}

# change_listeners SED: changes the configuration, and reloads it.
change_listeners() {
    sed -i "$1" "$smuxshim_conf"
    ctl reload
}

outcome() { /usr/bin/python3 "$fixtures/proxy_check.py" outcome "$@"; }
logged() { grep -q -- "$1" helper.log; }

# What a command prints by each way, which is what it prints without a proxy. With SOCKS 5 curl looks
# names up itself, and asks for one of the addresses only: the servers have IPv4 addresses.
same_by_every_proxy() {
    local how
    "$@" >expected
    for how in "-4 --socks5 $proxy" "--socks5-hostname $proxy" "--socks4 $proxy" "--socks4a $proxy" \
        "--proxytunnel --proxy http://$proxy" "--socks5-hostname [::1]:$socks_port"; do
        # shellcheck disable=SC2086
        "$@" $how >got || fail "$how"
        cmp expected got || fail "$how"
    done
}

@test "curl gets the same by SOCKS 5, 4 and 4a, by HTTP CONNECT, and by a forwarded port and unix socket" {
    with_listeners "127.0.0.1:*, [::1]:*, localhost" '[socks]' "listen = $proxy, [::1]:$socks_port" \
        '[forward web]' "listen = 127.0.0.1:$forward_port" "listen = $PWD/web.sock" "destination = localhost:$web_port"
    same_by_every_proxy curl -sSf "http://localhost:$web_port/medium"
    same_by_every_proxy curl -sSf --cacert "$cert" "https://localhost:$tls_port/medium"
    curl -sSf "http://127.0.0.1:$forward_port/medium" | cmp "$www/medium"
    curl -sSf --unix-socket web.sock http://localhost/medium | cmp "$www/medium"
    assert_carried 14
}

@test "git clones, redis-cli asks, and nc copies, as they do without a proxy" {
    git init -q --bare "$www/repo.git"
    git -C "$www/repo.git" symbolic-ref HEAD refs/heads/main
    git -C "$root" rev-parse HEAD >/dev/null 2>&1 || skip "this tree is no git repository"
    git init -q -b main work
    cp -r "$root/examples" work/
    git -C work add . && git -C work -c user.name=x -c user.email=x@x commit -qm x
    git -C work push -q "$www/repo.git" main
    git -C "$www/repo.git" update-server-info
    start_redis
    with_listeners "127.0.0.1:*, localhost" '[socks]' "listen = $proxy" \
        '[forward redis]' "listen = $PWD/redis.sock" "destination = 127.0.0.1:$redis_port"
    git -c http.proxy="socks5h://$proxy" clone -q "http://localhost:$web_port/repo.git" clone
    diff -r work/examples clone/examples
    assert_equal "$(redis-cli -s redis.sock set key value)" OK
    assert_equal "$(redis-cli -p "$redis_port" get key)" value
    for version in 4 5 connect; do
        assert_equal "$(printf 'sum\nhello' | nc -N -X "$version" -x "$proxy" 127.0.0.1 "$peer_port")" \
            "$(printf 'sum\nhello' | nc -N 127.0.0.1 "$peer_port")"
    done
}

@test "both ends see what they see of a direct connection: ends, resets, early data, both directions" {
    local how target_port
    target_port=$(free_port)
    with_listeners "127.0.0.1:*, localhost" '[socks]' "listen = $proxy, $PWD/socks.sock" \
        '[forward check]' "listen = 127.0.0.1:$forward_port, $PWD/forward.sock" "destination = 127.0.0.1:$target_port"
    /usr/bin/python3 "$fixtures/proxy_check.py" ends direct - "$target_port" >expected
    grep -q 'target_resets .*ECONNRESET' expected
    for how in "socks5 $proxy" "socks5h $proxy" "socks4 $proxy" "socks4a $proxy" "http $proxy" \
        "forward 127.0.0.1:$forward_port" "socks5 $PWD/socks.sock" "forward $PWD/forward.sock"; do
        # shellcheck disable=SC2086
        /usr/bin/python3 "$fixtures/proxy_check.py" ends $how "$target_port" >got || fail "$how"
        diff expected got || fail "$how"
    done
    wait_until "the end of all" eval '[ "$(streams_now)" = 0 ]'
    assert_equal "$(ctl status --json | jq -c '[.listeners[].connections]')" '[0,0]'
}

@test "the answer says how the connect has ended" {
    local how closed refused denied unrouted unknown
    route_line='connect-timeout = 500ms' gateway_allow="127.0.0.1:*, *.invalid" with_listeners \
        "127.0.0.0/8, *.invalid" '[socks]' "listen = $proxy"
    closed=$(free_port)
    # refused, not allowed by the gateway, no route, no such name
    while read -r how refused denied unrouted unknown; do
        assert_equal "$(outcome "$how" "$proxy" 127.0.0.1 "$peer_port")" connected
        assert_equal "$(outcome "$how" "$proxy" 127.0.0.1 "$closed")" "$refused"
        assert_equal "$(outcome "$how" "$proxy" 127.0.0.2 "$closed")" "$denied"
        assert_equal "$(outcome "$how" "$proxy" 10.9.9.9 80)" "$unrouted"
        assert_equal "$(outcome "$how" "$proxy" x.invalid 80)" "$unknown"
    done <<'END'
socks5h reply-5 reply-2 reply-2 reply-4
socks4a reply-91 reply-91 reply-91 reply-91
http 502-connection_refused 403-destination_ip_prohibited 403-destination_ip_prohibited 502-destination_ip_unroutable
END
    stop "$gateway_pid" KILL
    assert_equal "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port")" "reply-6"
    assert_equal "$(outcome http "$proxy" 127.0.0.1 "$peer_port")" 504-connection_timeout
    run curl -sS --proxy "http://$proxy" "http://127.0.0.1:$web_port/" -o /dev/null -w '%{http_code}'
    assert_output 405
}

@test "a name goes to the gateway if a route means names; if addresses decide it is looked up here" {
    gateway_allow='127.0.0.1:*, *.invalid' with_listeners "127.0.0.1:$peer_port" '[socks]' "listen = $proxy"
    assert_equal "$(outcome socks5h "$proxy" localhost "$peer_port")" connected
    refute logged 'localhost (127'
    assert_equal "$(outcome socks5h "$proxy" no-such-name.invalid "$peer_port")" "reply-4"
    assert logged 'connect to no-such-name.invalid:[0-9]* failed: the name cannot be resolved here'
    change_listeners 's/^destinations = .*/destinations = */'
    assert_equal "$(outcome socks5h "$proxy" no-such-name.invalid "$peer_port")" "reply-4"
    assert logged 'no-such-name.invalid:[0-9]* failed: No route to host'
    assert grep -q 'no-such-name.invalid' gateway.log
}

@test "a password opens, and nothing else does; it is compared with a file of nobody else's" {
    printf '# names\nalice:pass:word\n\nbob:b\n' >passwords
    chmod 600 passwords
    with_listeners "127.0.0.1:*" '[socks]' "listen = $proxy" "password-file = $PWD/passwords"
    local how
    for how in socks5 http; do
        assert_equal "$(outcome $how "$proxy" 127.0.0.1 "$peer_port" alice pass:word)" connected
        assert_equal "$(outcome $how "$proxy" 127.0.0.1 "$peer_port" bob b)" connected
    done
    assert_equal "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port" alice b)" "login refused"
    assert_equal "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port")" method-255
    assert_equal "$(outcome http "$proxy" 127.0.0.1 "$peer_port" bob pass:word)" 407
    assert_equal "$(outcome http "$proxy" 127.0.0.1 "$peer_port")" 407
    assert_equal "$(outcome socks4 "$proxy" 127.0.0.1 "$peer_port")" "reply-91"
    run -0 curl -sS --proxy "http://alice:pass%3Aword@$proxy" --proxytunnel "http://127.0.0.1:$web_port/index.html"
    assert_output hello
    refute grep -q 'pass:word' helper.log
    sed -i 's/^bob:.*/carol:c/' passwords
    ctl reload
    assert_equal "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port" bob b)" "login refused"
    assert_equal "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port" carol c)" connected
    chmod 640 passwords
    run ! ctl reload
    assert_output --partial "[socks]: password-file: $PWD/passwords: has mode 0640, expected 0600"
    assert_equal "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port" carol c)" connected
}

@test "without a route a destination is refused, or reached directly where unrouted = direct" {
    with_listeners "192.0.2.1" '[socks]' "listen = $proxy" \
        '[socks open]' "listen = 127.0.0.1:$forward_port" 'unrouted = direct'
    assert_equal "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port")" "reply-2"
    assert_equal "$(outcome socks5 "127.0.0.1:$forward_port" 127.0.0.1 "$peer_port")" connected
    assert_equal "$(outcome socks5h "127.0.0.1:$forward_port" localhost "$peer_port")" connected
    assert_equal "$(outcome socks5 "127.0.0.1:$forward_port" 127.0.0.1 "$(free_port)")" "reply-5"
    assert_equal "$(ctl status --json | jq '.sessions[] | select(.gateway == "main").streams_total')" 0
}

@test "other users are admitted by loopback and by unix socket as they are with the shim" {
    [ "$(id -u)" = 0 ] || fail "this needs root, for a second user"
    local dir
    dir=$(public_dir)
    runtime_dir=$dir with_listeners "127.0.0.1:*" "allow-users = www-data" '[socks]' \
        "listen = $proxy, $dir/socks" "socket-mode = 0666"
    install -m 644 "$fixtures/proxy_check.py" "$dir"
    local how
    for how in "$proxy" "$dir/socks"; do
        run -0 as_user www-data /usr/bin/python3 "$dir/proxy_check.py" outcome socks5 "$how" 127.0.0.1 "$peer_port"
        assert_output connected
        run -0 as_user nobody /usr/bin/python3 "$dir/proxy_check.py" outcome socks5 "$how" 127.0.0.1 "$peer_port"
        refute_output connected
    done
    assert grep -q 'socks: 127.0.0.1:[0-9]*: request refused: the user is not among allow-users' helper.log
    assert grep -q 'socks: pid [0-9]*, uid [0-9]*: request refused: the user is not among allow-users' helper.log
    change_listeners 's/^listen = .*/&\ninsecure = yes/'
    run -0 as_user nobody /usr/bin/python3 "$dir/proxy_check.py" outcome socks5 "$proxy" 127.0.0.1 "$peer_port"
    assert_output connected
}

@test "smuxctl shows who has connected: an address, or a program with its pid" {
    with_listeners "127.0.0.1:*" '[socks]' "listen = $proxy" \
        '[forward hold]' "listen = $PWD/hold.sock" "destination = 127.0.0.1:$peer_port"
    spawn events "$BUILD/smuxctl" -c "$smuxshim_conf" events
    wait_until "events" test -s events.log
    /usr/bin/python3 -c '
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect("hold.sock"); s.sendall(b"silent\n")
t = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
t.sendall(b"\5\1\0\5\1\0\1\x7f\0\0\1" + int(sys.argv[2]).to_bytes(2, "big")); t.recv(100)
print(os.getpid(), t.getsockname()[1], flush=True); time.sleep(1000)' "$socks_port" "$peer_port" >"who" 3>&- &
    spawned=$!
    echo "$spawned TERM" >>spawned
    wait_until "both connections" eval '[ "$(ctl streams --json | jq "map(select(.state == \"open\")) | length")" = 2 ] && [ -s who ]'
    read -r pid port <"who"
    run -0 jq -e --argjson pid "$pid" --arg from "127.0.0.1:$port" --argjson uid "$(id -u)" '
        map(select(.via == "forward hold"))[0] as $u | map(select(.via == "socks"))[0] as $t |
        $u.pid == $pid and $u.program == "python3" and $u.uid == $uid and
        $t.pid == 0 and $t.program == $from and $t.uid == $uid' <(ctl streams --json)
    run -0 ctl status
    assert_line --regexp "^socks: 1 now, 1 in total, at tcp://$proxy\$"
    run -0 ctl doctor
    assert_output --partial "the helper listens at tcp://$proxy"
    run -0 ctl check
    assert_line "socks: tcp://$proxy (unrouted refused)"
    assert_line "forward hold: unix://$PWD/hold.sock to 127.0.0.1:$peer_port (unrouted refused)"
    run -0 grep -c '"event":"open".*"via":"socks"' events.log
    assert_output 1
}

@test "numbers and time of clients that say nothing are bounded, and others get through" {
    with_listeners "127.0.0.1:*" '[socks]' "listen = $proxy" 'hello-timeout = 300ms' 'max-connections = 20' \
        '[socks few]' "listen = 127.0.0.1:$forward_port" 'max-connections-per-source = 5'
    run -0 /usr/bin/python3 "$fixtures/proxy_check.py" idle "$proxy" 15
    assert_output 0
    assert logged 'request refused: SOCKS5: incomplete after hello-timeout'
    run -0 /usr/bin/python3 "$fixtures/proxy_check.py" idle "127.0.0.1:$forward_port" 12
    assert_output 5
    assert logged 'refused: more connections of one source than max-connections-per-source'
    spawn many /usr/bin/python3 "$fixtures/proxy_check.py" idle "$proxy" 200
    wait_until "the limit" logged 'refused: more connections than max-connections'
    wait_until "a place" eval '[ "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port")" = connected ]'
    wait "$spawned"
    assert [ "$(grep -c 'refused: more connections than' helper.log)" -le 50 ]
}

@test "at a reload listeners come and go, in the sandbox too, and connections stay" {
    local third
    third=$(free_port)
    with_listeners "127.0.0.1:*" '[socks]' "listen = $proxy" '[forward peer]' "listen = $PWD/peer.sock" \
        "destination = 127.0.0.1:$peer_port"
    mkfifo in
    exec 7<>in
    spawn held bash -c "exec nc -X 5 -x $proxy 127.0.0.1 $peer_port <in 7>&-"
    echo echo >&7
    echo 1 >&7
    wait_until "an echo" grep -q 1 held.log
    change_listeners "s/^listen = $proxy/listen = 127.0.0.1:$forward_port/; s/^listen = .*peer.sock/listen = 127.0.0.1:$third/"
    assert [ ! -e peer.sock ]
    assert_equal "$(outcome socks5 "$proxy" 127.0.0.1 "$peer_port")" ECONNREFUSED
    assert_equal "$(outcome socks5 "127.0.0.1:$forward_port" 127.0.0.1 "$peer_port")" connected
    assert_equal "$(printf 'sum\nx' | nc -N 127.0.0.1 "$third" | cut -d' ' -f1)" 1
    change_listeners "/^\[forward peer\]/,\$d; s/^\[socks\]/[socks renamed]/"
    assert_equal "$(outcome socks5 "127.0.0.1:$forward_port" 127.0.0.1 "$peer_port")" connected
    refute nc -z 127.0.0.1 "$third"
    sed -i "s/^\[socks renamed\]/&\nlisten = 127.0.0.1:$peer_port/" "$smuxshim_conf"
    run ! ctl reload
    assert_output --partial "[socks renamed]: tcp://127.0.0.1:$peer_port: cannot bind: Address already in use"
    assert_equal "$(outcome socks5 "127.0.0.1:$forward_port" 127.0.0.1 "$peer_port")" connected
    echo 2 >&7
    wait_until "the connection to go on" grep -q 2 held.log
    exec 7>&-
    ctl drain
    wait_until "the port to close" eval '! nc -z 127.0.0.1 "$forward_port"'
}

# cut_by COMMAND...: the command cuts transfers through every kind of listener; none looks complete.
cut_by() {
    local target_port
    target_port=$(free_port)
    with_listeners "127.0.0.1:*" '[socks]' "listen = $proxy, $PWD/socks.sock" \
        '[forward cut]' "listen = 127.0.0.1:$forward_port, $PWD/forward.sock" "destination = 127.0.0.1:$target_port"
    spawn flow /usr/bin/python3 "$fixtures/proxy_check.py" flow "$target_port" "socks5=$proxy" "socks4=$proxy" "http=$proxy" \
        "socks5=$PWD/socks.sock" "forward=127.0.0.1:$forward_port" "forward=$PWD/forward.sock"
    wait_until "data to flow" grep -q flowing flow.log
    "$@"
    wait_until "all to end" eval '[ "$(wc -l <flow.log)" = 7 ]'
    assert_equal "$(grep -c ECONNRESET flow.log)" 6
}

kill_gateway() { kill -KILL "$gateway_pid"; }
kill_helper() { kill -KILL "$helper_pid"; }
drop_carrier() { ss -K dport = ":$gateway_port" >/dev/null; }

@test "the gateway is killed while clients receive: each gets a reset" { cut_by kill_gateway; }
@test "the helper is killed while clients receive: each gets a reset" { cut_by kill_helper; }
@test "the carrier is reset while clients receive: each gets a reset" { cut_by drop_carrier; }

# rejects EXPECTED LINE...: the configuration with these lines is refused in one line.
rejects() {
    local expected=$1
    printf '%s\n' '[gateway main]' 'address = tcp://127.0.0.1:1' '[route r]' 'destinations = 10.0.0.1' "${@:2}" >bad.conf
    run -2 "$BUILD/smux-helper" -c "$PWD/bad.conf" -f
    assert_equal "${#lines[@]}" 1
    assert_output --partial "$expected"
}

@test "bad configurations get one line that says what was expected" {
    rejects 'bad.conf:6: listen: expected ADDRESS:PORT with an IP address, [IPv6]:PORT or an absolute path, not "localhost:1080"' \
        '[socks]' 'listen = localhost:1080'
    rejects 'bad.conf:6: listen: expected ADDRESS:PORT' '[socks]' 'listen = 127.0.0.1:0'
    rejects 'bad.conf:6: listen: expected ADDRESS:PORT' '[socks]' 'listen = tls://127.0.0.1:1'
    rejects 'bad.conf:6: listen: expected at most 4 addresses' '[socks]' 'listen = /a /b /c /d /e'
    rejects 'bad.conf:5: [socks]: expected listen' '[socks]'
    rejects 'bad.conf:5: [socks]: tcp://0.0.0.0:1080 is open to the network: expected password-file, a loopback address, a unix socket or insecure = yes' \
        '[socks]' 'listen = 0.0.0.0:1080'
    rejects 'bad.conf:5: [forward x]: tcp://[::]:1080 is open to the network: expected a loopback address, a unix socket or insecure = yes' \
        '[forward x]' 'listen = [::]:1080' 'destination = a:1'
    rejects 'bad.conf:5: [forward x]: expected a destination' '[forward x]' 'listen = /x'
    rejects 'bad.conf:6: destination: expected HOST:PORT or [IPv6]:PORT, not "a"' '[forward x]' 'destination = a'
    rejects 'bad.conf:6: unknown key "password-file" in [forward x]' '[forward x]' 'password-file = /x'
    rejects 'bad.conf:6: unrouted: expected refuse or direct, not "drop"' '[socks]' 'unrouted = drop'
    rejects 'bad.conf:7: [socks b]: expected an address of its own, [socks] listens at unix:///x' \
        '[socks]' 'listen = /x' '[socks b]' 'listen = /x'
    rejects 'bad.conf:7: expected one [socks], found a second' '[socks]' 'listen = /x' '[socks]'
    rejects 'bad.conf:5: "a:b": expected a name of 1 to 63 letters' '[forward a:b]'
}
