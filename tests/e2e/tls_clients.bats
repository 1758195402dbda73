#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# [client NAME] by what TLS proves: secrets, pins, subjects and alternative names of certificates; and what hears of it.

load tls

setup() {
    direct && skip "there is no carrier without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    secrets gateway.psk laptop=a other=d
    secrets laptop.psk laptop=a
    secrets other.psk other=d
}

teardown() {
    stop_all
    show_logs
}

# A server at all addresses that answers with what came before an x, and then as many bytes as the number behind it.
start_target() {
    target=$(free_port)
    serve target "$target" python3 -c "
import socket, threading
l = socket.create_server(('0.0.0.0', $target), backlog=100)
def answer(c):
    got = b''
    try:
        while not got.endswith(b'\n') and (data := c.recv(4096)):
            got += data
        before, after = got.rsplit(b'x', 1)
        c.sendall(before.hex().encode() + b'\n' + bytes(int(after)))
        while int(after) == 0 and c.recv(4096):
            pass
        c.close()
    except (OSError, ValueError):
        pass
while True:
    threading.Thread(target=answer, args=(l.accept()[0],)).start()"
}

# start_ways LINES...: a helper with a gateway for each of these, for 127.0.1.1 and so on.
start_ways() {
    local lines n=0
    smuxshim_conf=$PWD/smuxshim.conf
    printf '%s\n' '[helper]' "socket = $PWD/smuxshim-helper.sock" 'autostart = no' >"$smuxshim_conf"
    for lines; do
        n=$((n + 1))
        printf '%s\n' "[gateway way$n]" "address = tls://127.0.0.1:${port_front-$port_gateway}" "$lines" "[route way$n]" \
            "destinations = 127.0.1.$n" "gateway = way$n" 'connect-timeout = 2s' >>"$smuxshim_conf"
    done
    start_helper
}

# ask N [BYTES]: what the target says by way N, with the PROXY header as text of hexadecimal digits.
ask() { ctl connect "127.0.1.$1" "$target" <<<"x${2-0}"; }
tlv() { printf '%s%04x%s' "$1" ${#2} "$(printf %s "$2" | xxd -p | tr -d '\n')"; }
said() { grep -qE "127\.0\.0\.1:[0-9]+ \($1\): $2" gateway.log; }

@test "a secret, a pin, a subject and an alternative name are each a client's, in log, access log and PROXY header; others get nothing" {
    local names=(by-secret by-pin by-subject by-name) ids way begin
    authority root
    certificate gw root gateway
    extensions=subjectAltName=DNS:unused.example certificate subject root 'laptop of mine'
    extensions=subjectAltName=DNS:laptop.example,email:me@example.org certificate name root unlisted
    certificate foreign root foreign
    pin=$("$BUILD/smuxctl" genkey "$PWD/pinned.pem")
    ids=(psk:laptop "pin:$pin" 'cert:CN=laptop%20of%20mine' cert:me@example.org)
    start_target
    gateway_at gateway "psk = $PWD/gateway.psk" "key = $PWD/gw.key" "cert = $PWD/gw.pem" "client-ca = $PWD/root.pem" \
        "client-pins = $pin" "access-log = $PWD/access" 'proxy-protocol = v2' 'allow = 127.0.1.0/24:*' \
        '[client by-secret]' 'identity = psk:laptop' 'max-streams = 1' \
        '[client by-pin]' "identity = ${ids[1]}" 'max-connects-per-second = 2' \
        '[client by-subject]' "identity = ${ids[2]}" 'max-bytes-per-second = 100000' \
        '[client by-name]' "identity = ${ids[3]}" "allow = 127.0.1.4:$target"
    gateway_pid=$spawned
    by_cert() { printf '%s\n' "ca = $PWD/root.pem" "key = $PWD/$1.key" "cert = $PWD/$1.pem"; }
    start_ways "psk = $PWD/laptop.psk" "$(printf '%s\n' "ca = $PWD/root.pem" "key = $PWD/pinned.pem")" "$(by_cert subject)" \
        "$(by_cert name)" "psk = $PWD/other.psk" "$(by_cert foreign)"
    for way in 0 1 2 3; do
        run -0 ask $((way + 1))
        [[ "$output" = *"$(tlv e0 "${names[way]}")"* ]] || fail "no client: $output"
        [[ "$output" = *"$(tlv e1 "$(first_identity $way)")"* ]] || fail "no identity: $output"
        said "${names[way]}" 'session begins'
    done
    wait_until "the access log" eval '[ "$(wc -l <access)" = 4 ]'
    assert_equal "$(jq -r '.client' access | xargs)" "${names[*]}"
    assert_equal "$(jq -r '.identity' access)" "$(for way in 0 1 2 3; do first_identity $way; done)"
    # Default deny.
    run -1 ask 5
    run -1 ask 6
    grep -qE 'session refused: no \[client\] has the identity psk:other$' gateway.log
    grep -qE 'session refused: no \[client\] has the identity cert:CN=foreign$' gateway.log
    # Each has its own limits.
    (echo x0; sleep 3) | ctl connect 127.0.1.1 "$target" >/dev/null &
    local holder=$!
    wait_until "a stream" eval '[ "$(streams_now)" = 1 ]'
    run -1 ask 1
    said by-secret "stream [0-9]+: connect to 127.0.1.1:$target failed: too many streams of the client \(max-streams\)"
    for way in 1 2 3 4 5 6; do ask 2 >/dev/null 2>&1 || true; done
    said by-pin "stream [0-9]+: connect to 127.0.1.2:$target failed: too many connections of the client in a second"
    begin=$(date +%s%3N)
    [ "$(ask 3 250000 | wc -c)" -gt 250000 ]
    [ $(($(date +%s%3N) - begin)) -gt 1400 ] || fail "250,000 bytes in $(($(date +%s%3N) - begin)) ms"
    sed -i "s/^destinations = 127.0.1.4/&, 127.0.1.9/" "$smuxshim_conf"
    ctl reload
    run -1 ctl connect 127.0.1.9 "$target" <<<x0
    said by-name "stream [0-9]+: connect to 127.0.1.9:$target failed: not in the allow list"
    wait "$holder"
}

# What is shown of all that a client has proved: the subject of a certificate, else the pin of a key.
first_identity() {
    case $1 in
    3) echo cert:CN=unlisted ;;
    *) echo "${ids[$1]}" ;;
    esac
}

@test "behind a balancer the header comes before the handshake, and names the source of all that is said of the client" {
    start_target
    gateway_at gateway "psk = $PWD/gateway.psk" 'accept-proxy = 127.0.0.0/8' "access-log = $PWD/access" \
        'allow = 127.0.1.0/24:*' '[client laptop]' 'identity = psk:laptop'
    port_front=$(free_port)
    # Says version 2 of the header, of 192.0.2.5:4242, and passes on what comes.
    serve front "$port_front" python3 -c "
import socket, threading
header = bytes.fromhex('0d0a0d0a000d0a515549540a2111000cc0000205c0000209') + (4242).to_bytes(2, 'big') + (443).to_bytes(2, 'big')
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(1)
    except OSError:
        pass
l = socket.create_server(('127.0.0.1', $port_front))
while True:
    c, _ = l.accept()
    s = socket.create_connection(('127.0.0.1', $port_gateway))
    s.sendall(header)
    [threading.Thread(target=pump, args=pair).start() for pair in ((c, s), (s, c))]"
    start_ways "psk = $PWD/laptop.psk" "psk = $PWD/other.psk"
    run -0 ask 1
    grep -qE '192\.0\.2\.5:4242 via 127\.0\.0\.1:[0-9]+ \(laptop\): session begins' gateway.log
    wait_until "the access log" test -s access
    assert_equal "$(jq -r '[.client, .identity, .source] | @tsv' access)" "laptop	psk:laptop	192.0.2.5:4242"
    run -1 ask 2
    grep -qE '192\.0\.2\.5:4242 via 127\.0\.0\.1:[0-9]+: session refused: no \[client\] has the identity psk:other$' gateway.log
    # Without a header the hello is none.
    unset port_front
    stop "$helper_pid"
    start_ways "psk = $PWD/laptop.psk"
    run -1 ask 1
    grep -E '127\.0\.0\.1:[0-9]+: ' gateway.log | grep -qi 'proxy'
}
