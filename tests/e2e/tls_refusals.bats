#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Carriers that do not come about: each reason has a line of its own on both sides, and a program gets what it gets
# of a gateway that is down. One helper dials all the gateways of a test at the same time.

load tls

setup() {
    direct && skip "there is no carrier without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    names=() here=() there=() ports=() schemes=()
    echo >sections
}

teardown() {
    stop_all
    show_logs
}

# row NAME GATEWAY HERE THERE LINE...: the helper has a gateway NAME at $port_GATEWAY, with these lines; the helper
# says HERE of it, and the gateway's log THERE (nothing: the peer is no gateway of ours).
row() {
    local name=$1 port=port_$2
    names+=("$name") here+=("$3") there+=("$2|$4") ports+=("${!port}") schemes+=("${scheme-tls}")
    shift 4
    {
        printf '%s\n' "[gateway $name]" "address = ${scheme-tls}://127.0.0.1:${!port}" 'dial-timeout = 400ms' \
            'retry-min = 300ms' 'retry-max = 300ms' "$@"
        printf '%s\n' "[route $name]" "destinations = 10.0.0.1:${#names[@]}" "gateway = $name" 'connect-timeout = 1s'
        printf '%s\n' "[route $name-eager]" "destinations = 10.0.0.2:${#names[@]}" "gateway = $name" \
            'connect-timeout = 1s' 'connect = eager'
    } >>sections
}

# What a program sees of the first N gateways, connecting to all at once: a line for each.
outcomes() {
    via python3 - "$1" "$2" <<'END'
import errno, socket, sys, threading
address, count = sys.argv[1], int(sys.argv[2])
lines = [None] * count
def connect(i):
    s, at = socket.socket(), "connect"
    try:
        s.connect((address, i + 1))
        at = "read"
        lines[i] = "read %r" % s.recv(1)
    except OSError as e:
        lines[i] = "%s %s" % (at, errno.errorcode[e.errno])
threads = [threading.Thread(target=connect, args=(i,)) for i in range(count)]
[t.start() for t in threads]
[t.join() for t in threads]
print(*lines, sep="\n")
END
}

# last_errors FILE: what the status has of each gateway; there is something of all of them.
last_errors() {
    ctl status --json | jq -r '.sessions[] | select(.last_error != "") | .gateway + ": " + .last_error' >"$1"
    [ "$(wc -l <"$1")" = "${#names[@]}" ]
}

# complain TEXT...: a row is not as expected.
complain() { echo "${names[i]}: $*" >>complaints; }

# The rows so far and, for comparison, a gateway that is down.
expect_refusals() {
    local i log said
    port_down=$(free_port)
    scheme=tcp row down down 'Connection refused' ''
    smuxshim_conf=$PWD/smuxshim.conf
    printf '%s\n' '[helper]' "socket = $PWD/smuxshim-helper.sock" 'autostart = no' 'log-level = debug' "$(<sections)" >"$smuxshim_conf"
    start_helper
    outcomes 10.0.0.1 "${#names[@]}" >waiting &
    outcomes 10.0.0.2 "${#names[@]}" >eager
    wait $!
    assert_equal "$(sort <waiting | uniq -c | xargs)" "${#names[@]} connect ETIMEDOUT"
    assert_equal "$(sort <eager | uniq -c | xargs)" "${#names[@]} $(tail -n 1 eager)"
    wait_until "the status" last_errors errors
    for i in "${!names[@]}"; do
        # Some hear of it only when their own handshake is complete.
        said="gateway ${names[i]}: ${schemes[i]}://127.0.0.1:${ports[i]}: ${here[i]:-the gateway }"
        sed 's/: carrier lost: /: /' helper.log | grep -qF -- "$said" || complain "expected \"$said\" in the helper's log"
        sed 's/^/gateway /; s/: carrier lost: /: /' errors | grep -qF -- "$said" || complain "expected \"$said\" in the status"
        log=${there[i]%%|*}.log said=${there[i]#*|}
        [ -z "$said" ] || grep -E ' (info|warn): 127\.0\.0\.1:[0-9]*: session (refused|ended after 0 streams): ' "$log" |
            grep -qF -- "$said" || complain "expected \"$said\" in $log"
    done
    [ ! -e complaints ] || fail "$(cat complaints errors; grep -hoE '(refused|streams): .*' ./*.log | sort -u)"
    # No two of them read the same.
    assert_equal "$(printf '%s\n' "${here[@]}" | grep . | sort | uniq -d)" ""
    assert_equal "$(printf '%s\n' "${there[@]#*|}" | grep . | sort | uniq -d)" ""
}

# foreign NAME OPTION...: a server of OpenSSL's.
foreign() {
    local name=$1
    declare -g "port_$name=$(free_port)"
    local port=port_$name
    shift
    serve "$name" "${!port}" openssl s_server -accept "127.0.0.1:${!port}" -key gw.key -cert gw.pem -quiet "$@"
}

# fake NAME PYTHON: a server of which this is what it does with a connection c.
fake() {
    declare -g "port_$1=$(free_port)"
    local port=port_$1
    serve "$1" "${!port}" python3 -c "
import socket, sys
l, kept = socket.create_server(('127.0.0.1', int(sys.argv[1]))), []
while True:
    c, _ = l.accept()
    $2" "${!port}"
}

@test "a gateway that is another, none at all, or not to be trusted: each is told apart on both sides" {
    authority root
    authority stranger
    certificate gw root gateway
    certificate old root old "${expired[@]}"
    certificate young root young "${not_yet[@]}"
    certificate gone root gone
    revoke gone root
    crl root
    secrets gateway.psk laptop=a desk=d
    secrets client.psk laptop=a
    secrets wrong.psk laptop=b
    secrets unknown.psk phone=a
    other=$("$BUILD/smuxctl" genkey other.pem)
    psk="psk = $PWD/client.psk" ca="ca = $PWD/root.pem"
    gateway_at secret "psk = $PWD/gateway.psk"
    scheme=tcp gateway_at plain
    for name in gw old young gone; do
        gateway_at "$name" "key = $PWD/$name.key" "cert = $PWD/$name.pem" 'insecure = yes'
    done
    gateway_at pinned "key = $PWD/pinned.key" 'insecure = yes'
    pin=$("$BUILD/smux-gateway" -c pinned.conf --show-pin)
    foreign older -tls1_2
    foreign alpn -alpn h2
    foreign unnamed
    fake closing 'c.recv(1); c.close()'
    fake silent 'kept.append(c)'

    scheme=tcp row plain-client secret 'the peer speaks TLS, expected tls:// on both sides or on neither' \
        'the client speaks plain smux to a port of TLS, expected tls:// there'
    row plain-gateway plain 'the gateway speaks plain smux there, expected tcp:// here or tls:// there' \
        'the peer speaks TLS, expected tls:// on both sides or on neither' "$psk"
    row older older 'the gateway speaks an older TLS, expected 1.3' '' "$ca"
    row other-alpn alpn 'the gateway speaks another protocol than smux there (ALPN)' '' "$ca"
    row no-alpn unnamed 'the gateway names no protocol, expected ALPN "smux"' '' "$ca"
    row expired old "the gateway's certificate has expired" "" "$ca"
    row not-yet young "the gateway's certificate is not valid yet" \
        "the client finds this gateway's certificate expired, or not valid yet" "$ca"
    row revoked gone "the gateway's certificate has been revoked" "the client finds this gateway's certificate revoked" \
        "$ca" "crl = $PWD/root.crl"
    row name gw "the gateway's certificate is not for no.example" \
        "the client does not accept this gateway's certificate, which may be for another name" "$ca" \
        'server-name = no.example'
    row foreign-ca gw "the gateway's certificate is not signed by an authority that is trusted here" \
        "the client does not know who signed this gateway's certificate" "ca = $PWD/stranger.pem"
    row wrong-pin pinned "wrong pin: expected $other, the gateway has $pin" \
        "the client does not accept this gateway's certificate or key" "pin = $other"
    row wrong-secret secret 'the gateway has another secret for the identity "laptop"' \
        'wrong secret for the identity "laptop"' "psk = $PWD/wrong.psk"
    row unknown secret 'the gateway does not know the identity "phone"' 'the identity "phone" is not known here' \
        "psk = $PWD/unknown.psk"
    row closing closing 'the gateway has closed within the TLS handshake, as one at tcp:// does' '' "$psk"
    row silent silent 'no handshake within dial-timeout, expected a smux-gateway' '' "$psk"
    expect_refusals
}

@test "a client that is not to be trusted, and lists that do not say whom to trust: each is told apart on both sides" {
    authority root
    authority stranger
    authority other
    certificate gw root gateway
    extensions=basicConstraints=critical,CA:TRUE certificate middle root middle
    accounts_of middle
    for name in good gone late; do certificate "$name" root "$name"; done
    certificate old root old "${expired[@]}"
    certificate young root young "${not_yet[@]}"
    certificate foreign stranger foreign
    extensions=extendedKeyUsage=serverAuth certificate server root server
    certificate below middle below
    cat middle.pem >>below.pem
    revoke gone root
    revoke middle root
    crl root
    crl middle
    cat root.crl middle.crl >both.crl
    crl root -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z
    mv root.crl old.crl
    crl other
    other_pin=$("$BUILD/smuxctl" genkey other-pin.pem)
    good_pin=$("$BUILD/smuxctl" genkey good-pin.pem)
    trust=("key = $PWD/gw.key" "cert = $PWD/gw.pem" "client-ca = $PWD/root.pem")
    gateway_at gw "key = $PWD/gw.key" "cert = $PWD/gw.pem" 'insecure = yes'
    gateway_at lists "${trust[@]}" "crl = $PWD/both.crl"
    gateway_at listed_old "${trust[@]}" "crl = $PWD/old.crl"
    gateway_at listed_other "${trust[@]}" "crl = $PWD/other.crl"
    gateway_at pins "key = $PWD/pins.key" "client-pins = $good_pin"
    pin=$("$BUILD/smux-gateway" -c pins.conf --show-pin)
    as() { who=("ca = $PWD/root.pem" "key = $PWD/$1.key" "cert = $PWD/$1.pem"); }

    as old
    row expired lists "the gateway finds this side's certificate expired, or not valid yet" \
        "the client's certificate has expired" "${who[@]}"
    as young
    row not-yet lists "" "the client's certificate is not valid yet" "${who[@]}"
    as gone
    row revoked lists "the gateway finds this side's certificate revoked" "the client's certificate has been revoked" \
        "${who[@]}"
    as below
    row middle lists "" "the client's certificate is signed by an authority whose certificate has been revoked" "${who[@]}"
    as foreign
    row foreign-ca lists "the gateway does not know who signed this side's certificate" \
        "the client's certificate is not signed by an authority that is trusted here" "${who[@]}"
    as server
    row purpose lists "the gateway finds this side's certificate to be for another purpose" \
        "the client's certificate is for another purpose (extendedKeyUsage)" "${who[@]}"
    row none lists "the gateway wants this side to show a certificate" "the client shows no certificate" \
        "ca = $PWD/root.pem"
    as good
    row list-expired listed_old "the gateway cannot check this side, for a reason of its own that its log has" \
        "the client's certificate cannot be checked: $PWD/old.crl: the list of revoked certificates has expired, expected a newer one" "${who[@]}"
    row list-of-another listed_other "" \
        "the client's certificate cannot be checked: $PWD/other.crl: expected a list of revoked certificates of each authority in the chain" "${who[@]}"
    row own-list gw "the gateway's certificate cannot be checked: $PWD/old.crl: the list of revoked certificates has expired, expected a newer one" \
       "the client cannot check this gateway, for a reason of its own that its log has" "${who[@]}" "crl = $PWD/old.crl"
    row pin pins "the gateway does not accept this side's certificate or key" \
        "the client's pin is not listed: $other_pin" "pin = $pin" "key = $PWD/other-pin.pem"
    expect_refusals
}
