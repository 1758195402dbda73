#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The gateway's access log: a line of JSON for each connection, whatever a client says, and nothing
# but lines is lost when there is no room for it.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    if direct; then skip "there is no gateway without the shim"; fi
    cd "$BATS_TEST_TMPDIR" || return
    access=$BATS_TEST_TMPDIR/access.json
}

teardown() {
    stop_all
    [ -z "${mounted-}" ] || umount "$mounted"
    show_logs
}

# logging [FILE [LINE...]]
logging() {
    local file=${1-$access}
    shift || true
    gateway_conf_lines=$(printf '%s\n' "access-log = $file" "$@") start_both '*'
}

lines() { [ "$(cat "$access"* 2>/dev/null | wc -l)" -ge "$1" ]; }

# field JQ-EXPRESSION: of the last line.
field() { tail -n 1 "$access" | jq -r "$1"; }

@test "a connection leaves a line that says who, where to, how much and how it ended" {
    logging "$access" '[client other]' 'identity = psk:x' '[client tester]' "identity = uid:$(id -u)" \
        '[listen]' "address = unix://$BATS_TEST_TMPDIR/carrier"
    gateway_url=unix://$BATS_TEST_TMPDIR/carrier write_smuxshim_conf '*'
    stop "$helper_pid"
    start_helper
    ctl connect 127.0.0.1 "$peer_port" <<<"send 5000" >/dev/null
    wait_until "a line" lines 1
    assert_equal "$(field 'keys_unsorted | join(" ")')" "time client identity source stream destination dialled outcome bytes_to_target bytes_from_target duration_ms reason"
    assert_equal "$(field '[.client, .identity, .destination, .dialled, .outcome, .bytes_to_target, .bytes_from_target, .reason] | @tsv')" \
        "tester	uid:$(id -u)	127.0.0.1:$peer_port	127.0.0.1:$peer_port	connected	10	5000	closed"
    assert_regex "$(field .source)" "^unix:pid=$helper_pid,uid=$(id -u)$"
    assert_regex "$(field .time)" "^$(date -u +%Y-%m-%d)T[0-9:]{8}\.[0-9]{3}Z$"
    field '.duration_ms > 0 and .duration_ms < 60000' | grep -q true
}

@test "a name, a refusal, a failure and a reset each have their words" {
    local identity=
    [ "$carrier" = tcp ] || identity=psk:test
    gateway_allow='127.0.0.1:*, localhost:*' logging
    ctl connect localhost "$peer_port" <<<"send 1" >/dev/null
    wait_until "a line" lines 1
    assert_equal "$(field '[.client, .identity, .destination, .dialled, .outcome] | @tsv')" \
        "	$identity	localhost:$peer_port	127.0.0.1:$peer_port	connected"
    assert_regex "$(field .source)" '^127\.0\.0\.1:[0-9]+$'
    run ctl connect 127.0.0.2 1 </dev/null
    wait_until "a line" lines 2
    assert_equal "$(field '[.destination, .dialled, .outcome, .reason] | @tsv')" "127.0.0.2:1		denied	not in the allow list"
    run ctl connect 127.0.0.1 1 </dev/null
    wait_until "a line" lines 3
    assert_equal "$(field '[.destination, .dialled, .outcome, .reason] | @tsv')" "127.0.0.1:1	127.0.0.1:1	failed	Connection refused"
    run ctl connect 127.0.0.1 "$peer_port" <<<"reset 100"
    wait_until "a line" lines 4
    assert_equal "$(field '[.outcome, .bytes_from_target, .reason] | @tsv')" "connected	100	reset by the target"
}

@test "what a client says cannot break a line or add one" {
    over_tcp "the client speaks no TLS"
    logging
    python3 - "$gateway_port" <<'END'
import socket, struct, sys
names = [b'a"}\n{"client":"root', b"b\\", b"\xff\xfe\x00", b"\x1b[2J\r\n", b'",' * 120]
carrier = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for i, name in enumerate(names):
    stream, socks = 1 + 2 * i, b"\5\1\0\5\1\0\3" + bytes([len(name)]) + name + b"\0\x50"
    carrier.sendall(struct.pack("<BBHI", 1, 0, 0, stream) + struct.pack("<BBHI", 1, 2, len(socks), stream) + socks)
carrier.settimeout(1)
try:
    while carrier.recv(65536):
        pass
except TimeoutError:
    pass
END
    wait_until "five lines" lines 5
    assert_equal "$(wc -l <"$access")" 5
    assert_equal "$(jq -c '[.client, .destination, .outcome]' "$access" | sort -u)" '[null,"(bad name):80","failed"]'
}

@test "many connections of several workers leave as many whole lines" {
    logging "$access" 'workers = 3'
    gateway_lines='connections = 6' write_smuxshim_conf '*'
    stop "$helper_pid"
    start_helper
    run --separate-stderr via python3 "$fixtures/clients.py" nonblocking 127.0.0.1 "$peer_port" 300
    assert_output "300 ok"
    wait_until "the lines" lines 300
    assert_equal "$(jq -r .outcome "$access" | sort | uniq -c | xargs)" "300 connected"
}

@test "SIGHUP and SIGUSR1 rotate the file, and no line is lost between" {
    local i signal
    logging "$access" 'workers = 2'
    for i in $(seq 40); do
        ctl connect 127.0.0.1 "$peer_port" <<<"send 1" >/dev/null
        if [ $((i % 8)) = 0 ]; then
            signal=$([ $((i % 16)) = 0 ] && echo HUP || echo USR1)
            mv "$access" "$access.$i"
            kill -"$signal" "$gateway_pid"
            wait_until "a new file" test -e "$access"
        fi
    done
    wait_until "the lines" lines 40
    assert_equal "$(cat "$access"* | jq -r .outcome | sort | uniq -c | xargs)" "40 connected"
    run -0 grep -c 'configuration reloaded' gateway.log
    assert_output 4 # two of them, of two workers each
}

@test "a full disk loses lines and nothing else, and the log says how many when there is room again" {
    [ "$(id -u)" = 0 ] || skip "needs root, for a file system of its own"
    local i
    mkdir disk
    mount -t tmpfs -o size=64k none disk || skip "no mount here"
    mounted=$BATS_TEST_TMPDIR/disk
    logging "$mounted/access.json"
    head -c 65536 /dev/zero >disk/filler || true
    # 256 KiB wait in memory; the rest is lost.
    run --separate-stderr via python3 "$fixtures/clients.py" nonblocking 127.0.0.1 "$peer_port" 1500
    assert_output "1500 ok"
    wait_until "the loss" grep -q 'access log: [0-9]* lines lost: No space left on device' gateway.log
    rm disk/filler
    mount -o remount,size=8m disk
    wait_until "the end of it" grep -q 'access log: it is written again' gateway.log
    ctl connect 127.0.0.1 "$peer_port" <<<"send 1" >/dev/null
    i=$(sed -n 's/.*it is written again; \([0-9]*\) lines were lost.*/\1/p' gateway.log)
    wait_until "all lines that were not lost" eval '[ "$(wc -l <disk/access.json)" = '$((1501 - i))' ]'
    assert_equal "$(jq -r .outcome disk/access.json | sort | uniq -c | xargs)" "$((1501 - i)) connected"
}

@test "a pipe whose reader sleeps holds nobody up" {
    mkfifo "$access"
    spawn reader sleep 600 <>"$access"
    exec 9<>"$access"
    logging
    run --separate-stderr via python3 "$fixtures/clients.py" nonblocking 127.0.0.1 "$peer_port" 1500
    assert_output "1500 ok"
    run --separate-stderr via python3 "$fixtures/clients.py" nonblocking 127.0.0.1 "$peer_port" 500
    assert_output "500 ok"
    wait_until "the loss" grep -q 'access log: [0-9]* lines lost' gateway.log
    exec 9>&-
}

@test "the end of the gateway writes what it has gathered" {
    logging
    ctl connect 127.0.0.1 "$peer_port" <<<"send 1" >/dev/null
    stop "$gateway_pid"
    assert_equal "$(field .outcome)" connected
}

@test "an access log that cannot be opened is a mistake that is told at the start" {
    run -2 "$BUILD/smux-gateway" -c <(printf '[listen]\naddress = unix:///%s/x\naccess-log = /no/such/folder/log\n' "$PWD")
    assert_output "smux-gateway: access-log /no/such/folder/log: No such file or directory"
}

# start_syslog: what a daemon would get at $1, a line for each datagram in syslog.log.
start_syslog() {
    rm -f "$1"
    spawn syslog python3 -c "
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('$1')
while True:
    print(s.recv(65536).decode(), flush=True)"
    wait_until "the daemon" test -S "$1"
    chmod 666 "$1"
}

# with_dev COMMAND...: runs it with a /dev that has a log of ours, and only what a daemon needs else.
with_dev() {
    own_mounts sh -c 'for name in null zero urandom random; do mount --bind "/dev/$name" "$1/$name" || exit; done
        mount --rbind "$1" /dev && shift && exec "$@"' - "$BATS_TEST_TMPDIR/dev" "$@"
}

syslogged() { [ "$(grep -c '"outcome":"connected"' syslog.log)" = "$1" ]; }

@test "syslog gets a datagram for each line, is found again when it has restarted, and rotation does no harm" {
    [ "$(id -u)" = 0 ] || skip "needs root, for a /dev of its own"
    mkdir -m 755 dev
    touch dev/null dev/zero dev/urandom dev/random
    start_syslog "$PWD/dev/log"
    local syslog_pid=$spawned
    gateway_port=$(free_port)
    printf '%s\n' '[listen]' "address = $carrier://127.0.0.1:$gateway_port" "$(carrier_trust)" 'allow = 127.0.0.1:*' \
        'access-log = syslog' 'user = nobody' >gateway.conf
    serve gateway "$gateway_port" with_dev "$BUILD/smux-gateway" -c gateway.conf
    gateway_pid=$spawned
    write_smuxshim_conf '*'
    start_helper
    ctl connect 127.0.0.1 "$peer_port" <<<'send 1' >/dev/null
    wait_until "a line" syslogged 1
    assert_regex "$(cut -d: -f1 syslog.log)" '^<30>smux-gateway\[[0-9]+\]$'
    assert_equal "$(sed 's/^[^:]*: //' syslog.log | jq -r '[.destination, .outcome, .reason] | @tsv')" "127.0.0.1:$peer_port	connected	closed"
    kill -HUP "$gateway_pid"
    wait_until "the reload" grep -q 'configuration reloaded' gateway.log
    ctl connect 127.0.0.1 "$peer_port" <<<'send 1' >/dev/null
    wait_until "a line after SIGHUP" syslogged 2
    # The daemon is away, and comes back at another socket of that name.
    stop "$syslog_pid"
    ctl connect 127.0.0.1 "$peer_port" <<<"send 1" >/dev/null
    start_syslog "$PWD/dev/log"
    ctl connect 127.0.0.1 "$peer_port" <<<"send 1" >/dev/null
    wait_until "both lines" syslogged 4
}

@test "what a full device does not take at the end is told in number" {
    local i
    logging /dev/full
    for i in 1 2 3; do ctl connect 127.0.0.1 "$peer_port" <<<'send 1' >/dev/null; done
    stop "$gateway_pid"
    run -0 grep -c 'access log: 3 lines lost: No space left on device$' gateway.log
    assert_output 1
}
