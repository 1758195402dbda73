#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Carriers over TLS: who is let in by what. What is said of everybody else is in tls_refusals.bats.

load tls

setup_file() {
    direct && return
    export P
    P=$(free_port)
    cd "$BATS_FILE_TMPDIR" || return
    mkdir www
    echo hello >www/small
    head -c 3000000 /dev/urandom >www/large
    serve web "$P" python3 -m http.server --directory www --bind 127.0.0.1 "$P"
}

teardown_file() { stop_all; }

setup() {
    direct && skip "there is no carrier without the shim"
    over_tcp "each test has secrets of its own, and its own scheme"
    cd "$BATS_TEST_TMPDIR" || return
    secrets client.psk laptop=a
    secrets gateway.psk desk=d laptop=a
    sed -i '1i # two clients' gateway.psk
}

teardown() {
    stop_all
    show_logs
}

# tls_gateway LINE...: a gateway at tls://, with these lines in [listen].
tls_gateway() {
    gateway_port=$(free_port)
    printf '%s\n' '[listen]' "address = tls://127.0.0.1:$gateway_port" 'allow = 127.0.0.1:*' \
        'log-level = debug' "$@" >gateway.conf
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c gateway.conf
    gateway_pid=$spawned
}

# tls_helper LINE...: a helper with these lines in [gateway main].
tls_helper() {
    gateway_url=tls://127.0.0.1:$gateway_port gateway_lines=$(printf '%s\\n' "$@" 'retry-min = 50ms')
    helper_lines='log-level = debug'
    write_smuxshim_conf "127.0.0.1:$P" "connect-timeout = 3s"
    start_helper
}

fetch() { via curl -sS --max-time 10 "http://127.0.0.1:$P/$1"; }

@test "a shared secret: a program's bytes go through TLS, and the secret is in no log" {
    tls_gateway "psk = $PWD/gateway.psk"
    tls_helper "psk = $PWD/client.psk"
    [ "$(fetch small)" = hello ]
    fetch large >got
    cmp got "$BATS_FILE_TMPDIR/www/large"
    assert_carried 2
    run -1 grep -q "$(secret a)" helper.log gateway.log
}

# stranger OPTION...: what OpenSSL's client says to the gateway, and what it is told.
stranger() { timeout 5 openssl s_client -connect "127.0.0.1:$gateway_port" "$@" <"/dev/null" 2>&1 || true; }

@test "an older TLS, another protocol and no secret at all are each told in the gateway's log" {
    tls_gateway "psk = $PWD/gateway.psk"
    [[ "$(stranger -tls1_2)" = *"alert protocol version"* ]]
    wait_until "the line" grep -q "127.0.0.1:.*the client speaks an older TLS, expected 1.3" gateway.log
    [[ "$(stranger -alpn h2)" = *"alert no application protocol"* ]]
    wait_until "the line" grep -q 'the client speaks another protocol over TLS, expected ALPN "smux"' gateway.log
    [[ "$(stranger)" = *"alert no application protocol"* ]]
    wait_until "the line" grep -q 'the client names no protocol, expected ALPN "smux"' gateway.log
    [[ "$(stranger -alpn smux)" = *"alert handshake failure"* ]]
    wait_until "the line" grep -q 'the client offers no secret, and there is no certificate' gateway.log
}

same_again() { [ "$(fetch small)" = hello ]; }

@test "SIGHUP takes new secrets, and sessions that began with the old ones go on" {
    tls_gateway "psk = $PWD/gateway.psk"
    tls_helper "psk = $PWD/client.psk"
    [ "$(fetch small)" = hello ]
    echo "new:$(secret e)" >gateway.psk
    kill -HUP "$gateway_pid"
    wait_until "the gateway's reload" grep -q 'configuration reloaded' gateway.log
    [ "$(fetch small)" = hello ] # by the session that is there
    assert_carried 2
    [[ "$(stranger -alpn smux -psk_identity laptop -psk "$(secret a)")" = *"alert handshake failure"* ]]
    [[ "$(stranger -alpn smux -psk_identity new -psk "$(secret e)")" = *"Reused, TLSv1.3"* ]]
    echo "new:$(secret e)" >client.psk
    kill -HUP "$helper_pid"
    wait_until "the helper's reload" grep -q 'configuration reloaded' helper.log
    [ "$(fetch small)" = hello ]
    assert_carried 3 3
    # The next carrier begins with the new secret.
    stop "$gateway_pid"
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c gateway.conf
    wait_until "the new carrier" same_again
}

@test "secrets that others may read, or that are none, are refused at the start and at a reload" {
    tls_gateway "psk = $PWD/gateway.psk"
    chmod 644 client.psk
    gateway_url=tls://127.0.0.1:$gateway_port gateway_lines="psk = $PWD/client.psk" write_smuxshim_conf "127.0.0.1:$P"
    run "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    [ "$status" = 2 ]
    [[ "$output" = *"[gateway main]: $PWD/client.psk: has mode 0644, expected 0600"* ]]
    gateway_lines='' write_smuxshim_conf "127.0.0.1:$P"
    gateway_url=tls://127.0.0.1:$gateway_port gateway_lines='' write_smuxshim_conf "127.0.0.1:$P"
    run "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    [[ "$output" = *"[gateway main]: expected one of psk, pin and ca"* ]]
    echo "laptop" >gateway.psk
    kill -HUP "$gateway_pid"
    wait_until "the refusal" grep -q "configuration not reloaded: .*gateway.psk:1: expected IDENTITY:HEX" gateway.log
}

@test "smuxctl genpsk makes a secret that both sides take" {
    "$BUILD/smuxctl" genpsk office both.psk
    [ "$(stat -c %a both.psk)" = 600 ]
    grep -qxE 'office:[0-9a-f]{64}' both.psk
    [[ "$("$BUILD/smuxctl" genpsk office)" =~ ^office:[0-9a-f]{64}$ ]]
    [ "$("$BUILD/smuxctl" genpsk office)" != "$(cat both.psk)" ]
    cp both.psk copy
    run "$BUILD/smuxctl" genpsk office both.psk
    [ "$status" = 1 ]
    [ "$output" = "smuxctl: both.psk: there is such a file, expected a new one" ]
    cmp both.psk copy
    run "$BUILD/smuxctl" genpsk "two words"
    [ "$status" = 2 ]
    tls_gateway "psk = $PWD/both.psk"
    tls_helper "psk = $PWD/both.psk"
    [ "$(fetch small)" = hello ]
}

@test "insecure = yes does not open tls:// addresses whose clients have secrets" {
    tls_gateway "psk = $PWD/gateway.psk" "key = $PWD/gateway.pem" "insecure = yes"
    stranger -alpn smux >stranger.log
    wait_until "the line" grep -q 'the client has shown no secret' gateway.log
    tls_gateway "key = $PWD/gateway.pem" "insecure = yes"
    grep -q 'open to every client (insecure = yes)' gateway.log
}

@test "pins: the gateway makes itself a key, and both sides know each other by their pins" {
    local pin client_pin
    client_pin=$("$BUILD/smuxctl" genkey "$PWD/client.pem")
    [[ "$client_pin" =~ ^sha256//[A-Za-z0-9+/]{43}=$ ]]
    [ "$(stat -c %a client.pem)" = 600 ]
    tls_gateway "key = $PWD/gateway.pem" "client-pins = $client_pin"
    [ "$(stat -c %a gateway.pem)" = 600 ]
    pin=$("$BUILD/smux-gateway" -c gateway.conf --show-pin)
    [ "$pin" != "$client_pin" ]
    [ "$(openssl x509 -in gateway.pem -noout -pubkey | openssl pkey -pubin -outform DER |
        openssl dgst -sha256 -binary | base64)" = "${pin#sha256//}" ]
    tls_helper "pin = $pin" "key = $PWD/client.pem"
    [ "$(fetch small)" = hello ]
    assert_carried 1
}

@test "certificates: both sides verify them, by the address or a name, with a chain between" {
    authority root
    extensions=basicConstraints=critical,CA:TRUE certificate middle root middle
    accounts_of middle
    certificate gw middle gateway
    cat middle.pem >>gw.pem
    extensions=subjectAltName=DNS:laptop.example certificate laptop root laptop
    tls_gateway "key = $PWD/gw.key" "cert = $PWD/gw.pem" "client-ca = $PWD/root.pem"
    tls_helper "ca = $PWD/root.pem" "key = $PWD/laptop.key" "cert = $PWD/laptop.pem"
    [ "$(fetch small)" = hello ]
    stop "$helper_pid"
    tls_helper "ca = $PWD/root.pem" "key = $PWD/laptop.key" "cert = $PWD/laptop.pem" 'server-name = gw.example'
    [ "$(fetch small)" = hello ]
}

@test "certificates of 29 KiB on either side are taken" {
    authority root
    extensions="subjectAltName=@names
[names]
IP.1 = 127.0.0.1
$(seq -f "DNS.%g = name-of-forty-letters-that-make-it-long.example" 600)"
    certificate gw root gateway
    certificate laptop root laptop
    [ "$(openssl x509 -in gw.pem -outform DER | wc -c)" -gt 29000 ]
    tls_gateway "key = $PWD/gw.key" "cert = $PWD/gw.pem" "client-ca = $PWD/root.pem"
    tls_helper "ca = $PWD/root.pem" "key = $PWD/laptop.key" "cert = $PWD/laptop.pem"
    [ "$(fetch small)" = hello ]
}

@test "an encrypted key, one of another certificate, and no way to know the peer are refused at the start" {
    authority root
    certificate gw root gateway
    openssl ec -in gw.key -aes128 -passout pass:x -out encrypted.key 2>/dev/null
    certificate other root other
    refused() {
        printf '%s\n' '[listen]' 'address = tls://127.0.0.1:1' "$@" >bad.conf
        run "$BUILD/smux-gateway" -c bad.conf
        [ "$status" = 2 ]
    }
    chmod 600 encrypted.key
    refused "key = $PWD/encrypted.key" "cert = $PWD/gw.pem" "client-ca = $PWD/root.pem"
    [[ "$output" = *"encrypted.key: expected a key that is not encrypted"* ]]
    refused "key = $PWD/other.key" "cert = $PWD/gw.pem" "client-ca = $PWD/root.pem"
    [[ "$output" = *"other.key: expected the key of the certificate in $PWD/gw.pem"* ]]
    refused "key = $PWD/gw.key" "cert = $PWD/gw.pem"
    [[ "$output" = *"expected psk, client-pins or client-ca for tls:// addresses"* ]]
    refused "client-ca = $PWD/root.pem"
    [[ "$output" = *"expected key for tls:// addresses"* ]]
    refused "key = $PWD/gw.key" "cert = $PWD/gw.csr" "client-ca = $PWD/root.pem"
    [[ "$output" = *"gw.csr: expected a certificate (PEM)"* ]]
}
