#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Where secrets are not: in logs, in the process list, in the status, in core dumps, in memory longer than needed, and
# in files that others can read.

load tls

setup() {
    direct && skip "there is no carrier without the shim"
    over_tcp "each test has secrets of its own, and its own scheme"
    [ "$(id -u)" = 0 ] || skip "needs root, to read the memory of other processes"
    cd "$BATS_TEST_TMPDIR" || return
    old=$(openssl rand -hex 32) new=$(openssl rand -hex 32)
    set_secret "$old"
    start_peer
}

teardown() {
    stop_all
    show_logs
}

set_secret() { (umask 077; echo "laptop:$1" >shared.psk); }

# family PID: it and its children.
family() { echo "$1"; pgrep -P "$1" | while read -r pid; do family "$pid"; done; }

# in_memory PID TEXT...: which of the texts the process and its children have.
in_memory() {
    local pids
    mapfile -t pids < <(family "$1")
    shift
    printf '%s\n' "$@" | python3 "$fixtures/memory.py" "${pids[@]}"
}

fetch() { [ "$(ctl connect 127.0.0.1 "$peer_port" <<<'send 3' | wc -c)" = 3 ]; }

# start_pair LINE...: both sides know the secret, and log all they can. The gateway has these lines.
start_pair() {
    gateway_at gateway "psk = $PWD/shared.psk" "$@"
    gateway_pid=$spawned
    gateway_url=tls://127.0.0.1:$port_gateway gateway_lines="psk = $PWD/shared.psk\nretry-min = 50ms" \
        helper_lines='log-level = debug' write_smuxshim_conf '*'
    start_helper
    fetch
}

@test "a secret is in memory as the key that is used, not as the text of its file, and a private key not as PEM" {
    local pem
    "$BUILD/smuxctl" genkey "$PWD/gw.pem" >pin
    pem=$(sed -n 2p gw.pem)
    start_pair "key = $PWD/gw.pem" 'workers = 2' 'user = nobody'
    for pid in "$gateway_pid" "$helper_pid"; do
        run -0 in_memory "$pid" "$old" "${old:0:24}" "${old:32}" "$pem" "${pem:0:24}"
        assert_output ''
    done
    # What is looked for would be found; and the children that open files and look at processes do not have it.
    run -0 in_memory "$helper_pid" "hex:$old"
    assert_regex "$output" "^$helper_pid [0-9]+ hex:$old\$"
    run -0 in_memory "$gateway_pid" "hex:$old"
    assert_equal "$(cut -d' ' -f1 <<<"$output" | sort)" "$({ echo "$gateway_pid"; pgrep -P "$gateway_pid"; } | sort)"
}

@test "a secret that a reload replaces is wiped when the last session that began with it has ended" {
    start_pair
    stop "$helper_pid"
    set_secret "$new"
    kill -HUP "$gateway_pid"
    wait_until "the reload" grep -q 'configuration reloaded' gateway.log
    start_helper
    fetch
    run -0 in_memory "$gateway_pid" "hex:$old" "$new"
    assert_output ''
    run -0 in_memory "$gateway_pid" "hex:$new"
    assert_output --partial "hex:$new"
}

@test "neither logs nor the process list nor the status has a secret, and no process dumps core" {
    "$BUILD/smuxctl" genkey "$PWD/gw.pem" >pin
    start_pair "key = $PWD/gw.pem" 'workers = 2'
    set_secret "$new"
    kill -HUP "$gateway_pid" "$helper_pid"
    wait_until "the reload" grep -q 'configuration reloaded' helper.log
    ctl status --json >status.out
    ctl status >>status.out
    { family "$gateway_pid"; family "$helper_pid"; } >pids
    while read -r pid; do
        tr '\0' ' ' <"/proc/$pid/cmdline" >>status.out
        tr '\0' ' ' <"/proc/$pid/environ" >>status.out
        assert_equal "$pid $(awk '/^Max core file size/ { print $5, $6 }' "/proc/$pid/limits")" "$pid 0 0"
        # Of root, even where the process is of its own user: nobody else may look into it.
        assert_equal "$pid $(stat -c %U "/proc/$pid/mem")" "$pid root"
    done <pids
    grep -q smux-gateway status.out
    run -1 grep -lF -e "$old" -e "$new" -e "${old:0:16}" -e "$(sed -n 2p gw.pem)" status.out gateway.log helper.log
    assert_output ''
}

@test "files of secrets that others own or can read are refused, and so are keys; the line says what was expected" {
    local mode
    "$BUILD/smuxctl" genkey "$PWD/gw.pem" >pin
    refused() { # FILE TEXT
        printf '%s\n' '[listen]' 'address = tls://127.0.0.1:1' "psk = $PWD/shared.psk" "key = $PWD/gw.pem" >bad.conf
        run -2 "$BUILD/smux-gateway" -c bad.conf
        assert_output "smux-gateway: bad.conf: $PWD/$1: $2"
        printf '%s\n' '[gateway x]' 'address = tls://127.0.0.1:1' "$([ "$1" = gw.pem ] &&
            echo "key = $PWD/gw.pem" && echo "pin = $(cat pin)" || echo "psk = $PWD/shared.psk")" '[route x]' \
            'destinations = *' 'gateway = x' >bad-helper.conf
        run -2 "$BUILD/smux-helper" -c bad-helper.conf -f
        assert_output "smux-helper: bad-helper.conf: [gateway x]: $PWD/$1: $2"
    }
    for file in shared.psk gw.pem; do
        for mode in 0640 0604 0620 0610; do
            chmod $mode "$file"
            refused "$file" "has mode $mode, expected 0600: others must not have access to it"
        done
        chmod 0400 "$file"
        chown nobody "$file"
        refused "$file" "belongs to user $(id -u nobody), expected user 0 or root"
        chown root "$file"
    done
}

@test "root's file of secrets may be readable by the group of a gateway that is not root, and by nobody else" {
    local dir psk group
    [ "$(id -u)" = 0 ] || fail "this needs root"
    dir=$(public_dir) psk=$(public_dir)/psk group=$(id -g nobody)
    "$BUILD/smuxctl" genpsk office "$psk"
    # An address of nobody's: whether the file is accepted is seen from what fails next.
    printf '%s\n' '[listen]' 'address = tls://203.0.113.1:7443' "psk = $psk" >"$dir/gateway.conf"
    start() { run as_user nobody "$BUILD/smux-gateway" -c "$dir/gateway.conf"; }
    chown "root:$group" "$psk"
    for mode in 0640 0440; do
        chmod $mode "$psk"
        start
        [ "$status" = 1 ] || fail "$mode: $output"
    done
    for mode in 0660 0644 0650; do
        chmod $mode "$psk"
        start
        assert_equal "$status" 2
        assert_output "smux-gateway: $dir/gateway.conf: $psk: has mode $mode, expected 0640: others must not have access to it"
    done
    chmod 0640 "$psk"
    chown nobody "$psk"
    start
    assert_output --partial "has mode 0640, expected 0600"
}
