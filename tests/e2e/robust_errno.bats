#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A failed connect gives the program the errno that it would get without the shim.
#
# The gateway and the direct runs are in a separate network, where addresses are unreachable in
# every possible way. The carrier is a unix socket, which works across network namespaces.

load lib

setup_file() {
    export network=$BATS_FILE_TMPDIR/network
    start_network
    # Beyond `near` there is only `far`, which forwards nothing: one address has a neighbour entry,
    # the others do not even answer ARP.
    inside ip link add near type veth peer name far
    inside ip address add 192.0.2.1/24 dev near
    inside ip link set near up
    inside ip link set far up
    inside sysctl -q -w net.ipv4.neigh.near.mcast_solicit=1 net.ipv4.neigh.near.retrans_time_ms=200
    inside ip neighbour add 192.0.2.77 dev near lladdr 02:00:00:00:00:77
    inside ip route add unreachable 198.51.100.0/24
    inside ip route add prohibit 203.0.113.0/24
    inside sysctl -q -w net.ipv4.tcp_syn_retries=1
    spawn server inside perl -MIO::Socket::INET -e '
        my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", LocalPort => 4000) or die;
        sleep 1000'
    wait_until "the server" inside_listens
}

inside_listens() { inside ss -Hltn 'sport = :4000' | grep -q .; }

teardown_file() { stop_all; }

setup() {
    local dir=$BATS_TEST_TMPDIR
    direct && return
    cat >"$dir/gateway.conf" <<END
[listen]
address = unix://$dir/carrier
allow = 127.0.0.1:4000-4001, 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 10.0.0.0/8, [2001:db8::/32]
target-keepalive = 1s
END
    start_helper_outside
}

teardown() {
    stop_all
    show_logs
}

# same HOST PORT EXPECTED: a connect has this outcome, blocking and non-blocking, direct and under
# the shim.
same() {
    local mode
    for mode in blocking nonblocking; do
        assert_equal "direct, $mode: $(inside python3 "$fixtures/probe.py" errno "$1" "$2" $mode)" "direct, $mode: $3"
        direct || assert_equal "shim, $mode: $(via python3 "$fixtures/probe.py" errno "$1" "$2" $mode)" "shim, $mode: $3"
    done
}

# same_after HOST ERRNO [WAYS]: compares every call on the failed socket, direct and under the shim,
# for the first WAYS of the four ways in which a program learns of the failure. Both run in that
# network, so that local addresses are the same.
same_after() {
    direct && return
    local dir=$BATS_TEST_TMPDIR
    inside timeout 100 "$BUILD/oracle/refused" "$1" 80 ${3:+"$3"} >"$dir/direct" 2>&1
    [ "$(grep -c ': ' "$dir/direct")" -ge $((${3:-4} * 90)) ] || fail "too few observations: $(cat "$dir/direct")"
    inside timeout 100 "$BUILD/smuxshim" -c "$smuxshim_conf" "$BUILD/oracle/refused" "$1" 80 ${3:+"$3"} >"$dir/shim" 2>&1
    [ -n "${3:-}" ] || grep -q "told by nothing yet, sending 0: $2" "$dir/direct"
    diff "$dir/direct" "$dir/shim" || fail "what differs: < direct, > under the shim"
}

@test "after a connect to a host that never answers, every call behaves as without the shim" { same_after 192.0.2.77 ETIMEDOUT; }

@test "after a connect to a host that does not exist, every call behaves as without the shim" { same_after 192.0.2.66 EHOSTUNREACH; }

@test "after a connect to a destination without a route, every call behaves as without the shim" { same_after 10.1.2.3 ENETUNREACH 1; }

@test "after a connect to an unreachable host, every call behaves as without the shim" { same_after 198.51.100.1 EHOSTUNREACH 1; }

@test "an open port: connected" { same 127.0.0.1 4000 connected; }

@test "a closed port: ECONNREFUSED" { same 127.0.0.1 4001 ECONNREFUSED; }

@test "an unreachable host: EHOSTUNREACH" { same 198.51.100.1 80 EHOSTUNREACH; }

@test "no route: ENETUNREACH" { same 10.1.2.3 80 ENETUNREACH; }

@test "no route for IPv6: ENETUNREACH" { same 2001:db8::1 80 ENETUNREACH; }

@test "a host that does not exist: EHOSTUNREACH" { same 192.0.2.66 80 EHOSTUNREACH; }

@test "a host that never answers: ETIMEDOUT" { same 192.0.2.77 80 ETIMEDOUT; }

@test "a prohibited route: EACCES" { same 203.0.113.1 80 EACCES; }

@test "a destination that the gateway does not allow: EACCES, and the helper's log says why" {
    direct && return
    assert_equal "$(via python3 "$fixtures/probe.py" errno 127.0.0.1 4002)" EACCES
    run cat "$BATS_TEST_TMPDIR/helper.log"
    assert_output --partial "127.0.0.1:4002"
    assert_output --partial "not allowed"
}

probes_due() { inside ss -Htno state established dport = :4000 | grep -q 'timer:(keepalive,'; }

# Even though the program has not set SO_KEEPALIVE, the connection to a silent target must end.
@test "a target whose network has failed: the gateway notices, and the program's read ends" {
    direct && return
    inside sysctl -q -w net.ipv4.tcp_keepalive_probes=2
    spawn reader via python3 -c '
import errno, socket
connection = socket.create_connection(("127.0.0.1", 4000))
print("connected", flush=True)
try:
    print("read", connection.recv(1), flush=True)
except OSError as error:
    print("read", errno.errorcode[error.errno], flush=True)'
    wait_until "the connection" grep -q connected "$BATS_TEST_TMPDIR/reader.log"
    wait_until "probes" probes_due
    inside ip link set lo down
    wait_until "the end of the read" grep -q read "$BATS_TEST_TMPDIR/reader.log"
    inside ip link set lo up
    assert_equal "$(tail -n 1 "$BATS_TEST_TMPDIR/reader.log")" "read ECONNRESET"
}
