#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Over TLS: a program under smuxshim whose connections our helper carries to a Go or Rust smux server,
# and a Go or Rust smux client whose streams our gateway connects to a server.

load ../e2e/lib
load peer_programs
load path

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    export ids=$BATS_FILE_TMPDIR
    authority root
    certificate gateway
    certificate peer
    certificate helper
    authority stranger
    local name
    for name in gateway peer helper; do "$BUILD/smuxctl" genkey "$ids/$name-self.pem" >"$name.pin"; done
    echo "peer:$(openssl rand -hex 32)" >psk
    chmod 600 psk
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }

teardown() {
    stop_all
    show_logs
}

# NAME.pem and NAME.key.
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
        -addext basicConstraints=critical,CA:TRUE -keyout "$1.key" -out "$1.pem" 2>/dev/null
}

certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA root.pem -CAkey root.key -CAcreateserial -out "$1.pem" -days 30 \
        -extfile <(echo subjectAltName=IP:127.0.0.1,DNS:localhost) 2>/dev/null
    chmod 600 "$1.key"
}

# What our side is told, in lines of its configuration, and theirs, in options; `by` one of them says
# how the two know each other.
by() { # certificates | pins | secret
    case $1 in
    certificates)
        helper_knows=("ca = $ids/root.pem" "key = $ids/helper.key" "cert = $ids/helper.pem")
        gateway_knows=("client-ca = $ids/root.pem" "key = $ids/gateway.key" "cert = $ids/gateway.pem")
        peer_knows=(--ca "$ids/root.pem" --key "$ids/peer.key" --cert "$ids/peer.pem")
        peer_of_helper=("${peer_knows[@]}")
        ;;
    pins)
        helper_knows=("pin = $(<"$ids/peer.pin")" "key = $ids/helper-self.pem")
        gateway_knows=("client-pins = $(<"$ids/peer.pin")" "key = $ids/gateway-self.pem")
        peer_knows=(--key "$ids/peer-self.pem" --cert "$ids/peer-self.pem" --pin "$(<"$ids/gateway.pin")")
        peer_of_helper=("${peer_knows[@]:0:5}" "$(<"$ids/helper.pin")")
        ;;
    secret)
        helper_knows=("psk = $ids/psk")
        gateway_knows=("psk = $ids/psk")
        peer_knows=(--psk "$(<"$ids/psk")")
        peer_of_helper=("${peer_knows[@]}")
        ;;
    esac
}

# ---- A program, our helper, their server ---------------------------------------------------------

# start_server PEER VERSION OPTION...: their smux server, which takes one carrier.
start_server() {
    rm -f server.log
    spawn server "$peers/$1" --listen 127.0.0.1:0 --version "$2" "${roomy[@]}" --tls "${@:3}"
    server_pid=$spawned
    wait_until "$1" grep -q '^listening ' server.log
    gateway_port=$(sed -n 's/^listening .*://p' server.log)
}

# start_our_helper VERSION LINE...: with these lines in [gateway main].
start_our_helper() {
    rm -f helper.log
    gateway_url=tls://127.0.0.1:$gateway_port gateway_lines=$(printf '%s\\n' "version = $1" "$budget" "${@:2}")
    helper_lines='log-level = debug'
    write_smuxshim_conf 192.0.2.1:7 'handshake = none' 'connect-timeout = 10s'
    start_helper
}

program() { via "$peers/plain_peer" --connect 192.0.2.1:7 "$@"; }

# program_to PEER VERSION OPTION...
program_to() {
    need "$1"
    start_server "$1" "$2" "${peer_of_helper[@]}" "${@:3}"
    start_our_helper "$2" "${helper_knows[@]}"
    run_all program
    stop "$helper_pid"
    expect_line server.log '^session ended: .* truncated=0 failed=0$'
}

@test "a program, our helper, Go server, version 1, certificates: all that it does arrives whole" {
    by certificates
    budget=$small_budget
    program_to go-peer 1
}

@test "a program, our helper, Go server, version 2, pins: all that it does arrives whole" {
    by pins
    program_to go-peer 2
}

@test "a program, our helper, Debian's Go server, version 2, certificates: all that it does arrives whole" {
    by certificates
    need go-peer-debian
    start_server go-peer-debian 2 "${peer_of_helper[@]}"
    start_our_helper 2 "${helper_knows[@]}"
    run -0 program --run parallel
    run -0 program --run bulk-down --size 50000000
}

@test "a program, our helper, Rust server, certificates: all that it does arrives whole, while keys are renewed every MiB" {
    by certificates
    program_to rust-peer 1 --renew-keys
}

@test "a program, our helper, Rust server, by pins and by a shared secret: streams at once" {
    local way
    need rust-peer
    for way in pins secret; do
        by $way
        start_server rust-peer 1 "${peer_of_helper[@]}"
        start_our_helper 1 "${helper_knows[@]}"
        run -0 program --run parallel
        stop "$helper_pid"
    done
}

# ---- Their client, our gateway, a server ---------------------------------------------------------

# start_our_gateway LINE...: with these lines in [listen].
start_our_gateway() {
    gateway_port=$(free_port)
    printf '%s\n' '[listen]' "address = tls://127.0.0.1:$gateway_port" "allow = $target" 'log-level = debug' "$budget" "$@" >gateway.conf
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c gateway.conf
    gateway_pid=$spawned
}

# client PEER OPTION...: their smux client.
client() {
    $exec "$peers/$1" --connect "127.0.0.1:$gateway_port" --socks "$target" "${roomy[@]}" --tls "${@:2}"
}

# client_to_target PEER VERSION OPTION...
client_to_target() {
    need "$1"
    start_target
    start_our_gateway "${gateway_knows[@]}"
    run_all client "$1" --version "$2" "${peer_knows[@]}" "${@:3}"
    expect_line gateway.log 'session ended after [1-9][0-9]* streams'
    stop "$target_pid"
    expect_line target.log '^session ended: .* truncated=0 failed=0$'
}

@test "Go client, our gateway, version 1, certificates: all that it does arrives whole" {
    by certificates
    budget=$small_budget
    client_to_target go-peer 1
}

@test "Go client, our gateway, version 2, pins: all that it does arrives whole" {
    by pins
    client_to_target go-peer 2
}

@test "Rust client, our gateway, certificates: all that it does arrives whole, while keys are renewed every MiB" {
    by certificates
    client_to_target rust-peer 1 --renew-keys
}

@test "Debian's Go client and Rust's with a shared secret, our gateway: streams at once" {
    by certificates
    need go-peer-debian
    need rust-peer
    start_target
    start_our_gateway "${gateway_knows[@]}"
    run -0 client go-peer-debian --version 2 "${peer_knows[@]}" --run parallel
    by secret
    start_our_gateway "${gateway_knows[@]}"
    run -0 client rust-peer "${peer_knows[@]}" --run parallel
}

# ---- How it ends ---------------------------------------------------------------------------------

# server_at_rest PEER OPTION...: a program has been served, and the session is still there.
server_at_rest() {
    by certificates
    need "$1"
    start_server "$1" 1 "${peer_of_helper[@]}" "${@:2}"
    start_our_helper 1 "${helper_knows[@]}"
    run -0 program --run echo --streams 3
}

@test "our helper's end is a close_notify to the Rust server; when it is killed there is none" {
    server_at_rest rust-peer
    stop "$helper_pid"
    expect_line server.log '^TLS ended by close_notify$'
    expect_line server.log '^session ended: .* accepted=3 completed=3 truncated=0 failed=0$'
    server_at_rest rust-peer
    stop "$helper_pid" KILL
    expect_line server.log '^TLS ended without close_notify$'
}

@test "a Go server's end is told from a cut in our helper's log" {
    server_at_rest go-peer
    stop "$server_pid"
    expect_line helper.log 'session ended after [0-9]* streams: carrier closed by the peer$'
    stop "$helper_pid"
    server_at_rest go-peer --cut
    stop "$server_pid"
    expect_line helper.log "session ended after [0-9]* streams: carrier lost: cut off: it ended without TLS's close_notify\$"
}

# server_goes SIGNAL PEER OPTION...: in the middle of transfers both ways.
server_goes() {
    start_server "$2" 1 "${peer_of_helper[@]}" "${@:3}"
    start_our_helper 1 "${helper_knows[@]}"
    rm -f program.log
    spawn program program --run carrier-loss
    expect_line program.log '^ready$'
    kill -s "$1" "$server_pid"
    expect_line program.log '^ok carrier-loss read=ECONNRESET write=ECONNRESET$'
    stop "$helper_pid"
}

@test "in mid-transfer a server's end, a cut and its death are errors for the program, not an end of file" {
    by certificates
    need go-peer
    need rust-peer
    server_goes TERM go-peer
    server_goes TERM go-peer --cut
    server_goes KILL go-peer
    server_goes KILL rust-peer
}

# client_begins PEER: a client in the middle of transfers both ways.
client_begins() {
    start_target
    start_our_gateway "${gateway_knows[@]}"
    rm -f client.log
    spawn client client "$1" "${peer_knows[@]}" --run carrier-loss
    client_pid=$spawned
    expect_line client.log '^ready$'
}

@test "in mid-transfer the death of a Go or Rust client resets the server's connections" {
    local peer
    by certificates
    for peer in go-peer rust-peer; do
        need "$peer"
        rm -f target.log gateway.log
        client_begins "$peer"
        kill -s KILL "$client_pid"
        expect_line gateway.log 'session ended after 2 streams: carrier lost: '
        stop "$target_pid"
        expect_line target.log '^session ended: .* accepted=2 completed=0 truncated=0 failed=2$'
    done
}

@test "in mid-transfer the death of our gateway is an error for the Rust client" {
    by certificates
    need rust-peer
    client_begins rust-peer
    kill -s KILL "$gateway_pid"
    expect_line client.log '^ok carrier-loss read=error:[^ ]* write=error:'
}

@test "a client's end is told from a cut in our gateway's log" {
    local peer
    by certificates
    start_target
    for peer in go-peer rust-peer; do
        need "$peer"
        rm -f gateway.log
        start_our_gateway "${gateway_knows[@]}"
        run -0 client "$peer" "${peer_knows[@]}" --run echo --streams 3
        expect_line gateway.log 'session ended after [0-9]* streams: carrier closed by the peer$'
    done
    run -0 client go-peer "${peer_knows[@]}" --run echo --streams 3 --cut
    expect_line gateway.log "session ended after [0-9]* streams: carrier lost: cut off: it ended without TLS's close_notify\$"
}

# ---- Who is not who was expected -----------------------------------------------------------------

# server_refused PEER THEIR_LINE OUR_LINE OUR_CONFIGURATION... -- THEIR_OPTION...: both logs say why.
server_refused() {
    local peer=$1 theirs=$2 ours=$3 lines=()
    need "$peer"
    shift 3
    while [ "$1" != -- ]; do
        lines+=("$1")
        shift
    done
    shift
    start_server "$peer" 1 "$@"
    start_our_helper 1 "${lines[@]}"
    spawn program program --run echo
    expect_line helper.log "gateway main: tls://127.0.0.1:$gateway_port: (carrier lost: )?$ours\$"
    expect_line server.log "$theirs"
    stop "$spawned"
    stop "$helper_pid"
}

@test "a Go or Rust server that speaks another protocol than smux, or none by name, is told in our helper's log" {
    by certificates
    server_refused go-peer 'client requested unsupported application protocols' \
        'the gateway speaks another protocol than smux there \(ALPN\)' "${helper_knows[@]}" -- "${peer_of_helper[@]}" --alpn h2
    server_refused rust-peer '' \
        'the gateway speaks another protocol than smux there \(ALPN\)' "${helper_knows[@]}" -- "${peer_of_helper[@]}" --alpn h2
    server_refused go-peer ' accepted=0 ' \
        'the gateway names no protocol, expected ALPN "smux"' "${helper_knows[@]}" -- "${peer_of_helper[@]}" --alpn ''
    server_refused rust-peer ' accepted=0 ' \
        'the gateway names no protocol, expected ALPN "smux"' "${helper_knows[@]}" -- "${peer_of_helper[@]}" --alpn ''
}

@test "a server whose certificate or pin our helper does not expect, and one that does not expect ours, are told on both sides" {
    by certificates
    # Go cannot read the alert of an OpenSSL 3.0 client (README.md).
    server_refused go-peer 'bad record MAC|unknown certificate authority' \
        "the gateway's certificate is not signed by an authority that is trusted here" \
        "ca = $ids/stranger.pem" "${helper_knows[@]:1}" -- "${peer_of_helper[@]}"
    server_refused rust-peer 'alert unknown ca' \
        "the gateway's certificate is not signed by an authority that is trusted here" \
        "ca = $ids/stranger.pem" "${helper_knows[@]:1}" -- "${peer_of_helper[@]}"
    server_refused go-peer 'certificate signed by unknown authority' \
        "the gateway does not know who signed this side's certificate" \
        "${helper_knows[@]}" -- "${peer_of_helper[@]}" --ca "$ids/stranger.pem"
    by pins
    server_refused go-peer 'wrong pin: expected sha256//.*, the other side has sha256//' \
        "the gateway does not accept this side's certificate or key" \
        "${helper_knows[@]}" -- "${peer_of_helper[@]}" --pin "$(<"$ids/peer.pin")"
    server_refused go-peer 'bad record MAC|bad certificate' 'wrong pin: expected sha256//.*, the gateway has sha256//.*' \
        "pin = $(<"$ids/gateway.pin")" "${helper_knows[@]:1}" -- "${peer_of_helper[@]}"
}

# client_refused PEER THEIR_LINE OUR_LINE OPTION...: both sides say why.
client_refused() {
    need "$1"
    : >gateway.log # which is appended to
    run client "$1" "${peer_knows[@]}" --run echo "${@:4}"
    [ "$status" = 1 ]
    assert_output --regexp "$2"
    expect_line gateway.log "session refused: $3"
}

@test "a Go or Rust client that speaks another protocol than smux, or none by name, is told on both sides" {
    local peer
    by certificates
    start_target
    start_our_gateway "${gateway_knows[@]}"
    for peer in go-peer rust-peer; do
        client_refused "$peer" 'no application protocol' \
            'the client speaks another protocol over TLS, expected ALPN "smux"$' --alpn h2
        client_refused "$peer" 'no application protocol' \
            'the client names no protocol, expected ALPN "smux"$' --alpn ''
    done
}

@test "a client whose certificate or pin our gateway does not expect, and one that does not expect ours, are told on both sides" {
    by certificates
    start_target
    start_our_gateway "${gateway_knows[@]}"
    # A client of TLS 1.3 is refused behind its own end of the handshake, which it may not get to read.
    client_refused go-peer 'FAIL echo ' \
        "the client's certificate is not signed by an authority that is trusted here" \
        --key "$ids/stranger.key" --cert "$ids/stranger.pem"
    client_refused go-peer 'certificate signed by unknown authority' \
        "the client does not accept this gateway's certificate or key" --ca "$ids/stranger.pem"
    client_refused rust-peer 'certificate verify failed' \
        "the client does not know who signed this gateway's certificate" --ca "$ids/stranger.pem"
    by pins
    start_our_gateway "${gateway_knows[@]}"
    client_refused go-peer 'FAIL echo ' "the client's pin is not listed: sha256//" \
        --key "$ids/helper-self.pem" --cert "$ids/helper-self.pem"
    client_refused go-peer 'wrong pin: expected sha256//.*, the other side has sha256//' \
        "the client does not accept this gateway's certificate or key" --pin "$(<"$ids/helper.pin")"
    client_refused rust-peer 'FAIL echo ' "the client's pin is not listed: sha256//" \
        --key "$ids/helper-self.pem" --cert "$ids/helper-self.pem"
}
