#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The PROXY protocol at the gateway: targets are told for whom a connection is, and balancers in
# front of the gateway tell it for whom a carrier is, and nobody else.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no gateway without the shim"; fi
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

# with_gateway LINE...
with_gateway() { gateway_conf_lines=$(printf '%s\n' "$@") start_both '*'; }

# A server that answers with what came before an x.
start_proxied() {
    proxied_port=$(free_port)
    serve proxied "$proxied_port" python3 "$fixtures/proxied.py" serve "$proxied_port"
}

# before_x [PORT]: what the server got before the first byte of ours, as text without blanks.
before_x() { ctl connect 127.0.0.1 "${1-$proxied_port}" <<<x; }
as_text() { xxd -r -p | tr -d '\r\n'; }

# nginx that takes only PROXY headers, and logs what they say.
start_proxy_nginx() {
    nginx_port=$(free_port)
    cat >nginx.conf <<END
daemon off;
pid $PWD/nginx.pid;
error_log $PWD/nginx-error.log;
$([ "$(id -u)" != 0 ] || echo "user root;")
events { }
http {
    log_format said '\$proxy_protocol_addr \$proxy_protocol_server_addr:\$proxy_protocol_server_port \$request_uri';
    access_log $PWD/said said;
    client_body_temp_path $PWD/body;
    proxy_temp_path $PWD/proxy;
    fastcgi_temp_path $PWD/fastcgi;
    uwsgi_temp_path $PWD/uwsgi;
    scgi_temp_path $PWD/scgi;
    server {
        listen 127.0.0.1:$nginx_port proxy_protocol;
        location / { return 200 "\$proxy_protocol_addr \$proxy_protocol_port\\n"; }
    }
}
END
    spawn_signal=TERM serve nginx "$nginx_port" nginx -c "$PWD/nginx.conf"
}

# port_of_carrier: that of the helper's end.
port_of_carrier() { ss -Htn state established "dport = :$gateway_port" | awk '{ n = split($3, a, ":"); print a[n]; exit }'; }

@test "nginx hears the address of the carrier's other end, by version 1 and by version 2" {
    local version
    start_proxy_nginx
    for version in v1 v2; do
        with_gateway "proxy-protocol = $version"
        run -0 --separate-stderr via curl -sS "http://127.0.0.1:$nginx_port/$version"
        assert_output "127.0.0.1 $(port_of_carrier)"
        assert grep -q "^127.0.0.1 127.0.0.1:$nginx_port /$version\$" said
        stop "$helper_pid"
        stop "$gateway_pid"
        unset gateway_port
    done
}

@test "a header comes before the first byte, once, and only to the targets that are chosen" {
    start_proxied
    with_gateway 'proxy-protocol = v1' "proxy-protocol-to = 127.0.0.1:$proxied_port"
    run -0 before_x
    assert_equal "$(as_text <<<"$output")" "PROXY TCP4 127.0.0.1 127.0.0.1 $(port_of_carrier) $proxied_port"
    # The peer answers to a line of its own, with nothing before it.
    assert_equal "$(ctl connect 127.0.0.1 "$peer_port" <<<"send 3" | wc -c)" 3
}

@test "version 2 has the client's name and identity, a client's own choice comes first, and a unix socket no address" {
    start_proxied
    gateway_conf_lines="address = unix://$PWD/carrier
proxy-protocol = v1
[client tester]
identity = uid:$(id -u)
proxy-protocol = v2" start_gateway
    gateway_url=unix://$PWD/carrier write_smuxshim_conf '*'
    start_helper
    run -0 before_x
    local identity
    identity=uid:$(id -u)
    assert_output "0d0a0d0a000d0a515549540a2100$(printf '%04x' $((3 + 6 + 3 + ${#identity})))e00006$(printf tester | xxd -p)e1$(printf '%04x' ${#identity})$(printf %s "$identity" | xxd -p)"
    sed -i '/^proxy-protocol = v2/d' "$gateway_conf"
    kill -HUP "$gateway_pid"
    wait_until "the reload" grep -q 'configuration reloaded' gateway.log
    run -0 before_x
    assert_equal "$(as_text <<<"$output")" "PROXY UNKNOWN"
}

# ---- From balancers -----------------------------------------------------------------------------

# start_haproxy WORD: in front of the gateway, with such a header.
start_haproxy() {
    local haproxy_port
    haproxy_port=$(free_port)
    cat >haproxy.conf <<END
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen front
    bind 127.0.0.1:$haproxy_port
    server gateway 127.0.0.1:$gateway_port source 127.0.0.1 $1
END
    serve haproxy "$haproxy_port" haproxy -db -f haproxy.conf
    gateway_url=$carrier://127.0.0.1:$haproxy_port write_smuxshim_conf '*'
    [ -z "${helper_pid-}" ] || stop "$helper_pid"
    start_helper
}

@test "haproxy says for whom a carrier is, and the log, the access log and targets hear it" {
    local word
    start_proxied
    for word in send-proxy send-proxy-v2; do
        gateway_conf_lines="accept-proxy = 127.0.0.0/24
proxy-protocol = v1
access-log = $PWD/access.json" start_gateway
        start_haproxy "$word"
        run -0 before_x
        local source
        source=$(sed -n 's/.*info: \(127.0.0.1:[0-9]*\) via 127.0.0.1:[0-9]*: session begins/\1/p' gateway.log | tail -n 1)
        assert_regex "$source" '^127\.0\.0\.1:[0-9]+$'
        assert_equal "$(as_text <<<"$output")" "PROXY TCP4 127.0.0.1 127.0.0.1 ${source#*:} $proxied_port"
        wait_until "a line" test -s access.json
        assert_equal "$(tail -n 1 access.json | jq -r .source)" "$source"
        stop "$helper_pid"
        stop "$gateway_pid"
        unset gateway_port
        rm -f access.json
    done
}

said() { printf %s "$1" | xxd -p | tr -d '\n'; }

# A frame of smux that does nothing.
nop=0103000000000000

@test "from a balancer's network a header is required, and a bad or a late one is refused in one line" {
    over_tcp "the client speaks no TLS"
    with_gateway 'accept-proxy = 127.0.0.1' 'hello-timeout = 60s'
    run python3 "$fixtures/proxied.py" send "$gateway_port" $nop
    assert_output closed
    assert grep -q '127.0.0.1:[0-9]*: carrier refused: no PROXY header (accept-proxy)' gateway.log
    run python3 "$fixtures/proxied.py" send "$gateway_port" "$(said "PROXY TCP4 1.2.3.4 1.2.3.4 1 x")0d0a"
    assert_output closed
    assert grep -q 'carrier refused: a bad line of the PROXY protocol (accept-proxy)' gateway.log
    spawn late sleep 60
    exec 8<>"/dev/tcp/127.0.0.1/$gateway_port"
    printf 'PROXY TCP4 ' >&8
    wait_until "the time" grep -q 'carrier refused: no PROXY header within 5 s' gateway.log
    exec 8>&-
    run python3 "$fixtures/proxied.py" send "$gateway_port" "$(said "PROXY TCP4 192.0.2.9 1.2.3.4 77 1")0d0a$nop"
    assert_output open
    assert grep -q '192.0.2.9:77 via 127.0.0.1:[0-9]*: session begins' gateway.log
    # A reload takes it away.
    sed -i '/^accept-proxy/d' "$gateway_conf"
    kill -HUP "$gateway_pid"
    wait_until "the reload" grep -q 'configuration reloaded' gateway.log
    run python3 "$fixtures/proxied.py" send "$gateway_port" $nop
    assert_output open
}

@test "from anywhere else a header is no header" {
    over_tcp "the client speaks no TLS"
    with_gateway 'accept-proxy = 192.0.2.0/24'
    run python3 "$fixtures/proxied.py" send "$gateway_port" "$(said "PROXY TCP4 192.0.2.9 1.2.3.4 77 1")0d0a$nop"
    assert_output closed
    refute grep -q '192.0.2.9' gateway.log
    run -0 ctl connect 127.0.0.1 "$peer_port" </dev/null
}

@test "the bounds of a source count for the address that the balancer names" {
    over_tcp "the clients speak no TLS"
    local i
    with_gateway 'accept-proxy = 127.0.0.1' 'max-sessions-per-source = 1'
    for i in 1 2 3; do
        spawn "of_one_$i" python3 "$fixtures/proxied.py" send "$gateway_port" "$(said "PROXY TCP4 192.0.2.9 1.2.3.4 7$i 1")0d0a$nop"
    done
    wait_until "two to give way" eval '[ "$(cat of_one_*.log | grep -c closed)" = 2 ]'
    for i in 1 2; do
        spawn "of_two_$i" python3 "$fixtures/proxied.py" send "$gateway_port" "$(said "PROXY TCP4 192.0.2.2$i 1.2.3.4 77 1")0d0a$nop"
    done
    wait_until "both to stay" eval '[ "$(cat of_two_*.log | grep -c open)" = 2 ]'
}

@test "those that say nothing are bounded, and an established session goes on" {
    with_gateway 'accept-proxy = 127.0.0.2' 'max-handshakes = 100'
    run -0 ctl connect 127.0.0.1 "$peer_port" </dev/null
    cat >many.py <<'END'
import socket, sys, time
held = []
for _ in range(300):
    s = socket.socket()
    s.bind(("127.0.0.2", 0))
    s.connect(("127.0.0.1", int(sys.argv[1])))
    held.append(s)
time.sleep(3600)
END
    spawn many python3 many.py "$gateway_port"
    wait_until "the bound" grep -q '127.0.0.2:[0-9]*: carrier refused: too many handshakes (max-handshakes) (accept-proxy)' gateway.log
    run -0 ctl connect 127.0.0.1 "$peer_port" </dev/null
}
