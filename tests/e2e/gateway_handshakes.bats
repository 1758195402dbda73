#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Bounds of those who have not shown who they are (handshakes.h): in number and in time.

load tls

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    direct && skip "there is no gateway without the shim"
    over_tcp "each test has secrets of its own, and its own scheme"
    cd "$BATS_TEST_TMPDIR" || return
    secrets gateway.psk laptop=a
    # With a key, the gateway answers those who have no secret, and waits for theirs.
    trust="psk = $PWD/gateway.psk
key = $PWD/gateway.key
client-pins = sha256//$(head -c 32 /dev/zero | base64)"
}

teardown() {
    stop_all
    show_logs
}

# helper_of NAME: a helper, reached with `of NAME`.
helper_of() {
    runtime_dir=$PWD/$1
    mkdir "$1"
    gateway_url=tls://127.0.0.1:$port_gateway gateway_lines="psk = $PWD/gateway.psk" write_smuxshim_conf '*'
    start_helper
}
of() { "$BUILD/smuxctl" -c "$1/smuxshim.conf" connect 127.0.0.1 "$peer_port" <<<"send 3" | wc -c; }

# Connections from the strangers' addresses that the gateway holds.
held() { ss -Htn state established "sport = :$port_gateway and dst 127.0.9.0/24" | wc -l; }
has_at_most() { [ "$(held)" -le "$1" ]; }

@test "strangers beyond the limits give way, and a session that is there and a new client both work" {
    gateway_at gateway "$trust" 'max-handshakes = 24' 'max-handshakes-per-source = 8'
    helper_of before
    assert_equal "$(of before)" 3
    spawn one_source python3 "$fixtures/handshakes.py" "$port_gateway" 60 1
    wait_until "the strangers" grep -q ready one_source.log
    wait_until "those of one address to give way" has_at_most 8
    sleep 1 # in one second only a few lines of a kind are written
    spawn many_sources python3 "$fixtures/handshakes.py" "$port_gateway" 300 20
    wait_until "the strangers" grep -q ready many_sources.log
    wait_until "the others to give way" has_at_most 24
    assert_equal "$(held)" 24
    helper_of after
    assert_equal "$(of after)" 3
    assert_equal "$(of before)" 3
    assert_equal "$(held)" 23 # it needed a place for a moment
    assert grep -q '127.0.9.1:[0-9]*: session refused: too many handshakes of one source (max-handshakes-per-source)$' gateway.log
    assert grep -q '127.0.9.[0-9]*:[0-9]*: session refused: too many handshakes (max-handshakes)$' gateway.log
    wait_until "the number of lines left out" grep -q '[0-9]* lines suppressed: sessions refused' gateway.log
    refute grep -q '127.0.0.1:[0-9]*: session refused' gateway.log
}

@test "hello-timeout counts from the accept, whatever is sent meanwhile, and for a PROXY header too" {
    gateway_at gateway "$trust" 'hello-timeout = 2s' 'accept-proxy = 127.0.9.1'
    spawn strangers python3 "$fixtures/handshakes.py" "$port_gateway" 9 3
    wait_until "the strangers" grep -q ready strangers.log
    assert_equal "$(held)" 9
    SECONDS=0
    wait_until "all of them to go" has_at_most 0
    assert [ "$SECONDS" -le 8 ] # their bytes would have lasted for a minute
    assert_equal "$(grep -c '127.0.9.[23]:[0-9]*: session refused: no handshake within hello-timeout$' gateway.log)" 6
    assert_equal "$(grep -c '127.0.9.1:[0-9]*: carrier refused: no PROXY header within 2 s' gateway.log)" 3
}
