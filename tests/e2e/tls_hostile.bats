#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The network and gateways as enemies: whoever is on the way reads nothing, and changes nothing unnoticed; a gateway
# that lies ends its own sessions and nobody else's, and no end looks complete that is not one.

load tls

setup() {
    direct && skip "there is no carrier without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    secrets shared.psk laptop=a
    echo >sections
    n=0
}

teardown() {
    stop_all
    show_logs
}

# way NAME LINE...: a gateway of the helper's, at a port of its own in $port, for 127.0.1.N.
way() {
    local name=$1
    shift
    port=$(free_port) n=$((n + 1))
    printf '%s\n' "[gateway $name]" "address = tls://127.0.0.1:$port" "$@" "[route $name]" "destinations = 127.0.1.$n" \
        "gateway = $name" "${route_line-}" >>sections
}

start_ways() {
    smuxshim_conf=$PWD/smuxshim.conf
    printf '%s\n' '[helper]' "socket = $PWD/smuxshim-helper.sock" 'autostart = no' "$(<sections)" >"$smuxshim_conf"
    start_helper
}

# outcomes N PORT REQUEST: what a program gets of 127.0.1.1 to 127.0.1.N, which it asks all at once: for each a file
# got.N, and a line with the number of bytes and how it ended.
outcomes() {
    via python3 - "$@" <<'END'
import errno, socket, sys, threading
n, port, request = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
lines = [None] * (n + 1)
def ask(i):
    ends, got = [], b""
    try:
        s = socket.create_connection((f"127.0.1.{i}", port))
        s.settimeout(20)
        sender = threading.Thread(target=send, args=(s, ends))
        sender.start()
        while data := s.recv(65536):
            got += data
    except OSError as e:
        ends.append(e)
    sender.join()
    open(f"got.{i}", "wb").write(got)
    lines[i] = f"{len(got)} {errno.errorcode.get(ends[0].errno, ends[0]) if ends else 'end'}"
# Whichever of the two directions meets the error first gets it, as with TCP.
def send(s, ends):
    try:
        s.sendall(request + (b"u" * 1000000 if request else b""))
    except OSError as e:
        ends.append(e)
threads = [threading.Thread(target=ask, args=(i,)) for i in range(1, n + 1)]
[t.start() for t in threads]
[t.join() for t in threads]
print(*lines[1:], sep="\n")
END
}

@test "who is on the way reads nothing, and what he changes, repeats, leaves out, exchanges or cuts off is never delivered" {
    local what ways=(record down up repeat drop swap cut) ports=() i=0
    head -c 3000000 /dev/urandom >truth
    origin=$(free_port)
    # Sends a half of the truth, the other one once it has got all of the upload, and complains of what is not that.
    serve origin "$origin" python3 -c "
import socket, threading
truth, l = open('truth', 'rb').read(), socket.create_server(('0.0.0.0', $origin))
def answer(c):
    got = 0
    try:
        c.sendall(truth[:1500000])
        while got < 1000007 and (data := c.recv(65536)):
            if data.strip(b'u') not in (b'', b'private'):
                print('changed', data, flush=True)
            got += len(data)
        if got == 1000007:
            c.sendall(truth[1500000:])
        c.close()
    except OSError:
        pass
while True:
    threading.Thread(target=answer, args=(l.accept()[0],)).start()"
    gateway_at gateway "psk = $PWD/shared.psk" 'allow = 127.0.0.0/8:*'
    for what in "${ways[@]}"; do
        way "$what" "psk = $PWD/shared.psk"
        ports+=("$port=$what")
    done
    spawn middle python3 "$fixtures/middle.py" "$port_gateway" "$PWD/recorded" "${ports[@]}"
    wait_until "the middle" listening "$port"
    start_ways
    outcomes "$n" "$origin" private >seen
    assert_equal "$(head -n 1 seen)" "3000000 end"
    assert_equal "$(sed 1d seen | cut -d' ' -f2 | sort | uniq -c | xargs)" "$((n - 1)) ECONNRESET"
    cmp got.1 truth
    for ((i = 2; i <= n; i++)); do
        cmp -n "$(stat -c %s got.$i)" got.$i truth || fail "${ways[i - 1]}: it is not what was sent"
        grep -qE "gateway ${ways[i - 1]}: .*: session ended after [0-9]+ streams: carrier lost: (a record was changed on its way|the gateway got a record that was changed on its way|cut off: .*|Broken pipe|Connection reset by peer)" helper.log ||
            fail "${ways[i - 1]}: $(grep "gateway ${ways[i - 1]}: " helper.log)"
    done
    refute grep -q changed origin.log
    [ "$(stat -c %s recorded)" -gt 4000000 ]
    printf '%s\n' private uuuuuuuu laptop-secret "$(secret a)" | sed '3d' >clear
    run -1 grep -caFf clear recorded
    assert_equal "$(python3 -c 'print(open("recorded", "rb").read().count(open("truth", "rb").read(16)))')" 0
}

@test "a gateway that lies once it is trusted ends its session in one line, and no program takes that for an end" {
    local what ways=(end cut notify shorter garbage version unasked) ports=()
    authority root
    certificate gw root gateway
    for what in "${ways[@]}"; do
        route_line='handshake = none' way "$what" "ca = $PWD/root.pem" 'version = 1'
        ports+=("$port=$what")
    done
    spawn liar python3 "$fixtures/liar.py" gw.pem gw.key "${ports[@]}"
    wait_until "the liar" listening "$port"
    start_ways
    outcomes "$n" 80 '' >seen
    paste -d' ' <(printf '%s\n' "${ways[@]}") seen >told
    assert_equal "$(cat told)" "end 4 end
cut 4 ECONNRESET
notify 4 ECONNRESET
shorter 3004 ECONNRESET
garbage 4 ECONNRESET
version 4 ECONNRESET
unasked 4 end"
    for what in cut notify shorter garbage version; do
        assert_equal "$what $(grep -c "gateway $what: tls://127.0.0.1:[0-9]*: session ended after [0-9]* streams: " helper.log)" "$what 1"
    done
    run -0 ctl status
}
