#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# SIGHUP takes new secrets, keys, certificates, pins and lists of revoked certificates, in every worker, without root
# and in the sandbox; sessions go on, and what is broken is not taken.

load tls

setup_file() {
    direct && return
    export P
    P=$(free_port)
    mkdir "$BATS_FILE_TMPDIR/www"
    echo hello >"$BATS_FILE_TMPDIR/www/small"
    serve web "$P" python3 -m http.server --directory "$BATS_FILE_TMPDIR/www" --bind 0.0.0.0 "$P"
}

teardown_file() { stop_all; }

setup() {
    direct && skip "there is no carrier without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    authority root
    authority later
    certificate gw root gateway
    certificate laptop root laptop
    certificate fresh later fresh
    crl root
    crl later
    cat later.crl >>root.crl
    secrets gateway.psk laptop=a
    secrets laptop.psk laptop=a
    secrets fresh.psk fresh=e
    pin_of_laptop=$("$BUILD/smuxctl" genkey laptop-pin.pem)
    pin_of_fresh=$("$BUILD/smuxctl" genkey fresh-pin.pem)
    cp root.pem authorities.pem
}

teardown() {
    stop_all
    show_logs
}

# start_workers: three of them, of nobody if that is possible.
start_workers() {
    local user=''
    [ "$(id -u)" != 0 ] || user='user = nobody'
    gateway_at gateway "psk = $PWD/gateway.psk" "key = $PWD/gw.key" "cert = $PWD/gw.pem" "crl = $PWD/root.crl" \
        "client-ca = $PWD/authorities.pem" "client-pins = $pin_of_laptop" 'workers = 3' 'allow = 127.0.0.0/8:*' "$user"
    gateway_pid=$spawned
    wait_until "the workers" eval '[ "$(pgrep -cP "$gateway_pid")" = 3 ]'
}

# helper_of NAME AUTHORITY: a helper that knows the gateway in three ways, with four carriers each, as NAME.
helper_of() {
    local name=$1 by=$2 at=127.0.0 host=2 way
    smuxshim_conf=$PWD/$name/smuxshim.conf
    mkdir -p "$name"
    chmod 700 "$name"
    {
        printf '%s\n' '[helper]' "socket = $PWD/$name/smuxshim-helper.sock" 'autostart = no'
        for way in "psk = $PWD/$name.psk" "ca = $PWD/$by.pem|key = $PWD/$name.key|cert = $PWD/$name.pem" \
            "pin = $(pin_of gw.pem)|key = $PWD/$name-pin.pem"; do
            printf '%s\n' "[gateway way$host]" "address = tls://127.0.0.1:$port_gateway" 'connections = 4' 'dial-timeout = 3s' \
                'retry-min = 50ms' "${way//|/$'\n'}" "[route way$host]" "destinations = $at.$host:$P" "gateway = way$host" \
                'connect-timeout = 3s'
            host=$((host + 1))
        done
    } >"$smuxshim_conf"
    spawn "$name-helper" "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    helper_pid=$spawned
    wait_until "the helper of $name" helper_answers
}

up() { [ "$(ctl status --json | jq '[.sessions[] | select(.state == "up")] | length')" = "$1" ]; }
fetch() { via curl -sS --max-time 10 "http://127.0.0.$1:$P/small"; }
fetches() { local way; for way in 2 3 4; do [ "$(fetch $way)" = hello ] || fail "way $way"; done; }
count() { grep -c -- "$1" gateway.log || true; }

# hup LINE: sends SIGHUP, after which each worker says this once.
hup() {
    local before
    before=$(count "$1")
    kill -HUP "$gateway_pid"
    wait_until "3 times \"$1\"" said $((before + 3)) "$1"
}
said() { [ "$(count "$2")" = "$1" ]; }

@test "new ones count in all workers, beside the old ones, and what began with old ones goes on" {
    start_workers
    helper_of laptop root
    fetches
    wait_until "12 carriers" up 12
    # Side by side.
    secrets gateway.psk laptop=a fresh=e
    cat later.pem >>authorities.pem
    sed -i "s|^client-pins = .*|&, $pin_of_fresh|" gateway.conf
    certificate gw root gateway # with another key
    hup 'configuration reloaded'
    fetches
    assert_equal "$(count 'session begins')/$(count 'session ended')" 12/0
    laptop_conf=$smuxshim_conf laptop_pid=$helper_pid
    helper_of fresh root
    fetches
    wait_until "12 carriers" up 12
    assert_equal "$(count 'session begins')/$(count 'session ended')" 24/0
    # Without the old ones: sessions go on, new ones do not come.
    secrets gateway.psk fresh=e
    revoke laptop root
    crl root
    cat later.crl >>root.crl
    sed -i "s|^client-pins = .*|client-pins = $pin_of_fresh|" gateway.conf
    hup 'configuration reloaded'
    smuxshim_conf=$laptop_conf
    fetches
    assert_equal "$(count 'session begins')/$(count 'session ended')" 24/0
    stop "$laptop_pid"
    helper_of laptop root
    local way fetching=()
    for way in 2 3 4; do
        fetch $way >/dev/null 2>&1 &
        fetching+=($!)
    done
    for way in "${fetching[@]}"; do
        wait "$way" && fail "the old ones still count"
    done
    wait_until "a refusal" grep -q 'session refused: the identity "laptop" is not known here' gateway.log
    wait_until "a refusal" grep -q "session refused: the client's certificate has been revoked" gateway.log
    wait_until "a refusal" grep -q "session refused: the client's certificate is not signed by .*, and its pin is not listed: $pin_of_laptop" gateway.log
    assert_equal "$(count 'session begins')" 24
}

@test "what is broken is not taken: one line says why, and all goes on with what there was" {
    local file line
    start_workers
    helper_of laptop root
    fetches
    while read -r file line; do
        cp -p "$file" good
        case $line in
        *No*such*) rm "$file" ;;
        *mode*) chmod 644 "$file" ;;
        *) echo broken >"$file" ;;
        esac
        hup "configuration not reloaded: [^ ]*: $PWD/$file$line"
        mv good "$file"
    done <<'END'
gateway.psk :1: expected IDENTITY:HEX
gateway.psk : cannot be read: No such file or directory
gateway.psk : has mode 0644, expected 0600
gw.key : expected a private key (PEM)
gw.pem : expected a certificate (PEM)
authorities.pem : expected certificates of authorities (PEM)
root.crl : expected a list of revoked certificates (PEM)
root.crl : cannot be read: No such file or directory
END
    cp laptop.key gw.key.other
    cp -p gw.key good
    cp laptop.key gw.key
    hup "configuration not reloaded: [^ ]*: $PWD/gw.key: expected the key of the certificate in $PWD/gw.pem"
    mv good gw.key
    fetches
    stop "$helper_pid"
    helper_of laptop root
    fetches
    wait_until "12 carriers" up 12
    # The helper's own are not taken either.
    echo broken >laptop.psk
    kill -HUP "$helper_pid"
    wait_until "the helper's line" grep -q "configuration not reloaded: .*: \[gateway way2\]: $PWD/laptop.psk:1: expected IDENTITY:HEX" laptop-helper.log
    fetches
}
