#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Every kind of mistake in a configuration or on the command line: exit status 2, one line that
# names the place and what was expected, and nothing is started.

load lib

setup() {
    direct && skip "there is nothing to configure without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    gateway='[gateway main]\naddress = tcp://127.0.0.1:9\n'
    route='[route r]\ndestinations = 127.0.0.1:9\n'
}

teardown() { stop_all; }

# complains WHERE WHAT COMMAND...: the command exits with status 2, prints one line with WHERE and
# WHAT on stderr, and nothing on stdout.
complains() {
    local where=$1 what=$2
    shift 2
    run --separate-stderr timeout 10 "$@"
    [ "$status" = 2 ] || fail "$*: exit status $status, expected 2: $stderr"
    assert_output ""
    assert_equal "$(wc -l <<<"$stderr")" 1
    [[ $stderr == *"$where"* ]] || fail "$*: expected '$where' in: $stderr"
    [[ $stderr =~ $what ]] || fail "$*: expected '$what' in: $stderr"
}

# bad LINE WHAT TEXT: launcher, helper and smuxctl all refuse TEXT as a smuxshim.conf, naming LINE
# and WHAT.
bad() {
    printf '%b' "$3" >smuxshim.conf
    local file=$BATS_TEST_TMPDIR/smuxshim.conf
    complains "$file:$1:" "$2" "$BUILD/smuxshim" -c "$file" touch started
    complains "$file:$1:" "$2" "$BUILD/smux-helper" -c "$file" -f
    complains "$file:$1:" "$2" "$BUILD/smuxctl" -c "$file" check
    refute [ -e started ]
}

# bad_gateway LINE WHAT TEXT: the gateway refuses TEXT as its configuration, naming LINE and WHAT.
bad_gateway() {
    printf '%b' "$3" >gateway.conf
    local file=$BATS_TEST_TMPDIR/gateway.conf where=$BATS_TEST_TMPDIR/gateway.conf
    [ -z "$1" ] || where+=:$1:
    complains "$where" "$2" "$BUILD/smux-gateway" -c "$file"
}

@test "a good configuration is accepted" {
    printf '%b' "$gateway$route" >smuxshim.conf
    run "$BUILD/smuxctl" -c smuxshim.conf check
    assert_success
    assert_output --partial 127.0.0.1:9
}

@test "text that is not INI is refused" {
    bad 1 'expected' 'hello world\n'
    bad 1 'expected' '[gateway main\naddress = tcp://127.0.0.1:9\n'
    bad 3 'expected' "${gateway}nonsense\n"
}

@test "unknown sections are refused" {
    bad 3 'expected .*\[helper\].*not \[server\]' "${gateway}[server]\na = b\n"
    bad 1 'expected .*\[gateway' 'address = tcp://127.0.0.1:9\n'
}

@test "unknown keys are refused, and the message lists those that exist" {
    bad 3 'unknown key "adress".*address' "${gateway}adress = x\n"
    bad 4 'unknown key "listen".*socket' "${gateway}[helper]\nlisten = x\n"
    bad 5 'destination.*connect.*on-failure' "$gateway${route}mode = x\n"
}

@test "bad addresses are refused" {
    bad 2 'address: expected .*not "http://x:1"' '[gateway main]\naddress = http://x:1\n'
    bad 2 'address: expected .*not "tcp://127.0.0.1"' '[gateway main]\naddress = tcp://127.0.0.1\n'
    bad 2 'address: expected .*not "tcp://127.0.0.1:99999"' '[gateway main]\naddress = tcp://127.0.0.1:99999\n'
    bad 2 'address: expected .*not "unix:relative"' '[gateway main]\naddress = unix:relative\n'
}

@test "bad destinations are refused" {
    bad 4 'expected .*address' "${gateway}[route r]\ndestinations = 300.1.1.1:80\n"
    bad 4 'expected .*prefix' "${gateway}[route r]\ndestinations = 10.0.0.0/33:80\n"
    bad 4 'expected .*network' "${gateway}[route r]\ndestinations = 10.0.0.1/8:80\n"
    bad 4 'expected .*port' "${gateway}[route r]\ndestinations = 10.0.0.0/8:http\n"
    bad 4 'expected .*port' "${gateway}[route r]\ndestinations = 10.0.0.0/8:20-10\n"
    bad 4 'expected .*brackets' "${gateway}[route r]\ndestinations = ::1\n"
    bad 4 'expected .*destination' "${gateway}[route r]\ndestinations = \n"
}

@test "bad values are refused" {
    bad 3 'version: expected 1 or 2, not "3"' "${gateway}version = 3\n"
    bad 3 'connections: expected .*64, not "0"' "${gateway}connections = 0\n"
    bad 3 'keepalive-interval: expected .*not "soon"' "${gateway}keepalive-interval = soon\n"
    bad 3 'max-frame-size: expected .*65535' "${gateway}max-frame-size = 70000\n"
    bad 5 'connect: expected confirm or eager, not "maybe"' "$gateway${route}connect = maybe\n"
    bad 5 'on-failure: expected refuse or direct, not "cry"' "$gateway${route}on-failure = cry\n"
    bad 5 'connect-timeout: expected .*not "10"' "$gateway${route}connect-timeout = 10\n"
    bad 4 'socket: expected .*smuxshim-helper.sock' "${gateway}[helper]\nsocket = /tmp/x.sock\n"
    bad 4 'socket-mode: expected .*not "999"' "${gateway}[helper]\nsocket-mode = 999\n"
    bad 4 'autostart: expected yes or no' "${gateway}[helper]\nautostart = perhaps\n"
}

@test "sections that contradict each other are refused" {
    bad 1 'expected a \[gateway main\]' "$route"
    bad 3 'expected destinations' "${gateway}[route r]\nconnect = eager\n"
    bad 3 'second' "${gateway}[gateway main]\naddress = tcp://127.0.0.1:9\n"
    bad 5 'second' "$gateway$route$route"
    bad 1 'keepalive-timeout not below' "${gateway}keepalive-interval = 10s\nkeepalive-timeout = 5s\n"
    bad 1 'expected key with cert' "${gateway}cert = /x\n"
}

@test "a configuration file that is missing or cannot be read is reported" {
    complains /nonexisting/smuxshim.conf 'No such file' "$BUILD/smuxshim" -c /nonexisting/smuxshim.conf touch started
    complains /nonexisting/smuxshim.conf 'No such file' "$BUILD/smux-helper" -c /nonexisting/smuxshim.conf -f
    complains /nonexisting/gateway.conf 'No such file' "$BUILD/smux-gateway" -c /nonexisting/gateway.conf
    complains "$PWD" 'directory' "$BUILD/smuxshim" -c "$PWD" touch started
    refute [ -e started ]
}

@test "a gateway.conf with mistakes is refused" {
    local listen='[listen]\naddress = tcp://127.0.0.1:9\n'
    bad_gateway 1 'expected \[listen\]' '[server]\n'
    bad_gateway 3 'unknown key "alow".*allow' "${listen}alow = *\n"
    bad_gateway 3 'allow: .*expected' "${listen}allow = 10.0.0.0/99\n"
    bad_gateway 2 'address: expected' '[listen]\naddress = 127.0.0.1\n'
    bad_gateway 3 'workers: expected .*256' "${listen}workers = 0\n"
    bad_gateway 3 'version: expected auto, 1 or 2' "${listen}version = 9\n"
    bad_gateway '' 'address' '[listen]\nallow = *\n'
}

@test "a gateway that would listen beyond loopback without TLS is refused, unless insecure = yes" {
    local port
    bad_gateway '' 'insecure' '[listen]\naddress = tcp://0.0.0.0:9\nallow = *\n'
    port=$(free_port)
    printf '%s\n' '[listen]' "address = tcp://0.0.0.0:$port, tcp://127.0.0.1:$(free_port)" 'insecure = yes' >gateway.conf
    serve exposed "$port" "$BUILD/smux-gateway" -c gateway.conf
    run -0 grep "without TLS\|has no TLS" exposed.log
    assert_output --partial "tcp://0.0.0.0:$port has no TLS (insecure = yes)"
    assert_equal "${#lines[@]}" 1
}

@test "invalid command lines are refused" {
    local usage='expected|unknown option'
    complains smuxshim "$usage" "$BUILD/smuxshim"
    complains smuxshim "$usage" "$BUILD/smuxshim" --nonsense touch started
    complains smuxshim "$usage" "$BUILD/smuxshim" -c
    complains smux-helper "$usage" "$BUILD/smux-helper" extra
    complains smux-gateway "$usage" "$BUILD/smux-gateway" extra
    complains smuxctl "$usage" "$BUILD/smuxctl"
    complains smuxctl "$usage" "$BUILD/smuxctl" nonsense
    complains smuxctl "$usage" "$BUILD/smuxctl" connect onlyhost
    refute [ -e started ]
}

@test "bad environment variables are refused" {
    complains SMUXSHIM_ROUTES expected env SMUXSHIM_ROUTES=1.2.3.4.5 SMUXSHIM_GATEWAY=127.0.0.1:9 \
        "$BUILD/smuxshim" touch started
    complains SMUXSHIM_GATEWAY expected env SMUXSHIM_ROUTES=1.2.3.4 SMUXSHIM_GATEWAY=nonsense:port \
        "$BUILD/smuxshim" touch started
    refute [ -e started ]
}

@test "under plain LD_PRELOAD an invalid configuration is reported once, and the program runs" {
    printf '[gateway main]\nadress = x\n' >smuxshim.conf
    run --separate-stderr env LD_PRELOAD="$BUILD/libsmuxshim.so" SMUXSHIM_CONFIG="$PWD/smuxshim.conf" \
        python3 -c 'import socket
for _ in range(3): print(socket.socket().connect_ex(("127.0.0.1", 1)))'
    assert_success
    assert_output "111
111
111"
    assert_equal "$(wc -l <<<"$stderr")" 1
    [[ $stderr == *"$PWD/smuxshim.conf:2:"* ]]
    run --separate-stderr env LD_PRELOAD="$BUILD/libsmuxshim.so" SMUXSHIM_CONFIG="$PWD/smuxshim.conf" \
        SMUXSHIM_STRICT=1 python3 -c 'import socket; print(socket.socket().connect_ex(("127.0.0.1", 1)))'
    assert_success
    assert_output 13
}
