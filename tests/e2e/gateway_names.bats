#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Name resolution at the gateway, with a test name server in a separate network: which names are
# looked up, who waits for whom, which of several addresses is used, and what is reported when none
# answers.

load lib

setup_file() {
    direct && return
    start_network
    # Beyond `near` there is only `far`, which forwards nothing; .77 to .79 drop all packets and
    # never answer.
    inside ip link add near type veth peer name far
    inside ip address add 192.0.2.1/24 dev near
    inside ip address add 192.0.2.2/24 dev near
    inside ip address add 2001:db8::1/64 dev near nodad
    inside ip address add fd00:ec2::254/64 dev near nodad
    inside ip link set near up
    inside ip link set far up
    local i
    for i in 77 78 79; do inside ip neighbour add 192.0.2.$i dev near lladdr 02:00:00:00:00:$i; done
    export P
    P=$(free_port)
    spawn where inside python3 "$fixtures/where.py" "$P"
    wait_until "the server" inside_listens
    cd "$BATS_FILE_TMPDIR" || return
    cat >zone <<END
silent-first.db.example 192.0.2.77 192.0.2.78 192.0.2.1
silent.db.example 192.0.2.77 192.0.2.78 192.0.2.79
two.db.example 192.0.2.1 192.0.2.2
far.db.example 10.9.9.9
x.db.internal.corp.example 192.0.2.1
only.corp.example 192.0.2.1
both.in.hosts 192.0.2.1
END
    printf '%s\n' 'nameserver 127.0.0.1' 'search corp.example' 'options ndots:4' >resolv.conf
    printf '%s\n' '127.0.0.1 localhost' '192.0.2.2 listed.in.hosts' '192.0.2.9 later.in.hosts' '192.0.2.2 both.in.hosts' >hosts
    echo 'hosts: files dns' >nsswitch.conf
    echo 'hosts: dns files' >nsswitch.dns-files
    echo 'hosts: files' >nsswitch.files
    echo 'hosts: dns' >nsswitch.dns
    spawn names inside python3 "$fixtures/nameserver.py" "$PWD/zone"
    wait_until "the name server" grep -qx serving names.log
}

teardown_file() { stop_all; }

inside_listens() { inside ss -Hltn "sport = :$P" | grep -q .; }

setup() {
    direct && skip "there is no gateway without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    asked_before=$(wc -l <"$BATS_FILE_TMPDIR/names.log")
}

teardown() {
    stop_all
    show_logs
}

# with_gateway ALLOW [LINE...]: starts the gateway inside the network, and outside a helper with a
# route for all names of these tests, whose connect-timeout is $timeout. Its nsswitch.conf is $order.
with_gateway() {
    printf '%s\n' '[listen]' "address = unix://$PWD/carrier" "allow = $1" 'log-level = debug' "${@:2}" >gateway.conf
    spawn gateway own_mounts nsenter --net="/proc/$network_pid/ns/net" sh -c 'cd "$0" && mount --bind resolv.conf /etc/resolv.conf &&
        mount --bind hosts /etc/hosts && mount --bind '"${order:-nsswitch.conf}"' /etc/nsswitch.conf && exec "$@"' \
        "$BATS_FILE_TMPDIR" "$BUILD/smux-gateway" -c "$PWD/gateway.conf"
    spawned_gateway=$spawned
    wait_until "the gateway" test -S carrier
    gateway_url=unix://$PWD/carrier write_smuxshim_conf "*.example, *.silent, *.internal, *.hosts, localhost, *, [fd00:ec2::/32]" \
        "connect-timeout = ${timeout:-1h}"
    start_helper
}

# where HOST: prints the address at which a connection to HOST arrived, or the error.
where() { printf '\r\n' | timeout 100 "$BUILD/smuxctl" -c "$smuxshim_conf" connect "$1" "$P" 2>&1 | tail -n 1 | tr -d '\r'; }
asked() { tail -n +$((asked_before + 1)) "$BATS_FILE_TMPDIR/names.log" | cut -d' ' -f1 | sort -u; }

@test "when the first of several addresses is silent, the next one is tried a moment later" {
    # If the addresses were tried one after the other, each would have 20 minutes.
    with_gateway '*.example:*, 192.0.2.1, 192.0.2.2' 'connect-timeout = 1h'
    assert_equal "$(where silent-first.db.example)" 192.0.2.1
}

@test "when the first address of a gateway's name is silent, the session begins over the next a moment later" {
    local port
    port=$(free_port)
    printf '%s\n' '[listen]' "address = tcp://192.0.2.1:$port" 'insecure = yes' "allow = 192.0.2.2:$P" >gateway.conf
    spawn gateway inside "$BUILD/smux-gateway" -c "$PWD/gateway.conf"
    gateway_url=tcp://silent-first.db.example:$port gateway_lines='dial-timeout = 1h' \
        write_smuxshim_conf 192.0.2.2 'connect-timeout = 1h'
    spawn helper own_mounts nsenter --net="/proc/$network_pid/ns/net" sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' \
        "$BATS_FILE_TMPDIR/resolv.conf" "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    wait_until "the helper" inside "$BUILD/smuxctl" -c "$smuxshim_conf" status
    assert_equal "$(printf '\r\n' | inside timeout 100 "$BUILD/smuxctl" -c "$smuxshim_conf" connect 192.0.2.2 "$P" |
        tail -n 1 | tr -d '\r')" 192.0.2.2
}

# times_out HOST: a connect to HOST times out, whichever way the program waits for it.
times_out() {
    assert_equal "$1: $(via timeout 100 python3 "$fixtures/unanswered.py" "$1" "$P")" "$1: waits: ETIMEDOUT
waits_with_time_to_spare: ETIMEDOUT
waits_for_a_moment_and_polls: EINPROGRESS ETIMEDOUT
polls: EINPROGRESS ETIMEDOUT
begins_and_then_waits: EINPROGRESS ETIMEDOUT"
}

@test "a target that does not answer: ETIMEDOUT after the route's connect-timeout, however a program waits" {
    timeout=3s with_gateway '*.example:*, *.silent:*, 192.0.2.0/24' 'connect-timeout = 1h'
    times_out 192.0.2.77
    times_out silent.db.example
    times_out unknown.silent
}

@test "a target that does not answer: ETIMEDOUT after the gateway's connect-timeout, too" {
    with_gateway '*.example:*, *.silent:*, 192.0.2.0/24' 'connect-timeout = 3s'
    times_out 192.0.2.77
    times_out silent.db.example
    times_out unknown.silent
}

# with_silent_gateway URL: starts a helper inside the network, whose gateway at URL is silent.
with_silent_gateway() {
    gateway_url=$1 gateway_lines='dial-timeout = 1h' \
        write_smuxshim_conf '*.example, 192.0.2.0/24' 'connect-timeout = 3s'
    spawn helper inside "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    helper_pid=$spawned
    wait_until "the helper" helper_answers
}

@test "a gateway that does not answer: ETIMEDOUT after the route's connect-timeout, however a program waits" {
    with_silent_gateway tcp://192.0.2.78:1
    times_out 192.0.2.1
    times_out silent.db.example
}

@test "a gateway that accepts the connection and stays silent: ETIMEDOUT, too" {
    spawn silent python3 -c '
import socket, time
silent = socket.socket(socket.AF_UNIX)
silent.bind("carrier")
silent.listen()
print("listening", flush=True)
time.sleep(3600)'
    wait_until "its socket" grep -q listening silent.log
    with_silent_gateway "unix://$PWD/carrier"
    times_out 192.0.2.1
    times_out silent.db.example
}

@test "the address that the program chose is tried first, but the name decides" {
    with_gateway '*.example:*, 192.0.2.1, 192.0.2.2'
    printf '192.0.2.1 two.db.example\n192.0.2.2 two.db.example\n' >hosts
    # shellcheck disable=SC2016
    run --separate-stderr own_mounts sh -c 'mount --bind hosts /etc/hosts && exec "$@"' sh \
        "$BUILD/smuxshim" -c "$smuxshim_conf" python3 -c '
import socket, sys
def where(address):
    sock = socket.create_connection(address)
    sock.sendall(b"\r\n")
    return sock.makefile().read().split()[-1]
known = sorted({each[4] for each in socket.getaddrinfo("two.db.example", int(sys.argv[1]), socket.AF_INET)})
print(*(where(address) for address in known + known))' "$P"
    assert_output "192.0.2.1 192.0.2.2 192.0.2.1 192.0.2.2"
    assert_equal "$(asked)" two.db.example
}

@test "a name that no rule can allow is refused without asking a name server" {
    with_gateway "*.internal:*, two.db.example:1, 192.0.2.0/24:1, 192.0.2.1:$((P + 1))-65535"
    assert_equal "$(where two.db.example)" "smuxctl: Permission denied"
    assert_equal "$(where no-such.db.example)" "smuxctl: Permission denied"
    assert_equal "$(asked)" ""
}

@test "when only address rules might allow a name, the answer does not reveal whether the name exists" {
    with_gateway "*.internal:*, 192.0.2.0/24:$P"
    assert_equal "$(where two.db.example)" 192.0.2.1
    assert_equal "$(where far.db.example)" "smuxctl: Permission denied"
    assert_equal "$(where no-such.db.example)" "smuxctl: Permission denied"
    assert grep -q 'connect to no-such.db.example:.* failed: the name cannot be resolved' gateway.log
    # For a name that a rule lists, the answer may say whether it exists.
    assert_equal "$(where x.db.internal)" "smuxctl: No route to host"
}

@test "names are absolute: resolv.conf's search domains are not applied, and the hosts file is read" {
    with_gateway '*.internal:*, only:*, *.hosts:*, localhost:*, 127.0.0.0/8, 192.0.2.1, 192.0.2.2'
    assert_equal "$(where x.db.internal)" "smuxctl: No route to host"
    assert_equal "$(where only)" "smuxctl: No route to host"
    assert_equal "$(where listed.in.hosts)" 192.0.2.2
    assert_equal "$(where localhost)" 127.0.0.1
    assert_equal "$(asked)" "$(printf 'only\nx.db.internal')"
}

@test "nsswitch.conf says where names are looked up, and in which order" {
    local order both hosts servers
    while read -r order both hosts servers; do
        mkdir "$order"
        pushd "$order" >/dev/null
        with_gateway '*.hosts:*, two.db.example:*, 192.0.2.1, 192.0.2.2'
        assert_equal "$order $(where both.in.hosts)" "$order $both"
        assert_equal "$order $(where listed.in.hosts)" "$order ${hosts/no/smuxctl: No route to host}"
        assert_equal "$order $(where two.db.example)" "$order ${servers/no/smuxctl: No route to host}"
        refute grep ' error: ' ../gateway.log
        popd >/dev/null
        stop_all
    done <<'END'
nsswitch.conf 192.0.2.2 192.0.2.2 192.0.2.1
nsswitch.dns-files 192.0.2.1 192.0.2.2 192.0.2.1
nsswitch.files 192.0.2.2 192.0.2.2 no
nsswitch.dns 192.0.2.1 no 192.0.2.1
END
}

questions() { tail -n +$((asked_before + 1)) "$BATS_FILE_TMPDIR/names.log" | grep -c "$1" || true; }
silence() { [ "$(questions '\.silent')" -ge "$1" ]; }

@test "a client with a thousand names at a silent name server delays no other client" {
    with_gateway '*.example:*, *.silent:*, 192.0.2.1, 192.0.2.2' 'connect-timeout = 1h'
    spawn crowd via python3 -c '
import errno, socket, sys, time
socks = []
for i in range(1500):
    address = socket.gethostbyname(f"n{i}.silent")
    socks.append(socket.socket())
    socks[-1].setblocking(False)
    assert socks[-1].connect_ex((address, 80)) == errno.EINPROGRESS
time.sleep(3600)'
    # As many lookups as one client may have in progress, each for A and AAAA.
    wait_until "the crowd to have asked" silence 256
    local smuxshim_conf gateway_url=unix://$PWD/carrier runtime_dir=$PWD/second
    mkdir "$runtime_dir"
    write_smuxshim_conf '*.example, *' 'connect-timeout = 1h'
    start_helper
    assert_equal "$(where two.db.example)" 192.0.2.1
    assert_equal "$(where no-such.db.example)" "smuxctl: No route to host"
    assert_equal "$(where silent-first.db.example)" 192.0.2.1
}

denied='smuxctl: Permission denied'

@test "the gateway host's own addresses are allowed only if they, or their network, are listed" {
    with_gateway '*, *.hosts:*, *.example:*, localhost:*, 0.0.0.0/0, [::/0]'
    local host
    for host in 192.0.2.1 192.0.2.2 2001:db8::1 127.0.0.1 ::1 ::ffff:192.0.2.1 0.0.0.0 :: \
        localhost listed.in.hosts two.db.example; do
        assert_equal "$host: $(where "$host")" "$host: $denied"
    done
    sed -i 's|^allow = .*|allow = *, *.hosts:*, 192.0.2.0/24, [2001:db8::1]:*|' gateway.conf
    kill -HUP "$spawned_gateway"
    wait_until "the gateway to reload" grep -q 'configuration reloaded' gateway.log
    assert_equal "$(where 192.0.2.1)" 192.0.2.1
    assert_equal "$(where 2001:db8::1)" 2001:db8::1
    assert_equal "$(where listed.in.hosts)" 192.0.2.2
    assert_equal "$(where 127.0.0.1)" "$denied"
}

@test "an address that an interface gets later counts as the host's own, too" {
    with_gateway '*'
    assert_equal "$(where 192.0.2.1)" "$denied"
    inside ip address add 192.0.2.9/24 dev near
    sleep 3 # what was known of the interfaces is two seconds old at most
    assert_equal "$(where 192.0.2.9)" "$denied"
    assert_equal "$(where later.in.hosts)" "$denied"
    inside ip address del 192.0.2.9/24 dev near
}

@test "metadata services of the gateway's host are allowed only if listed themselves" {
    with_gateway '*, [fd00::/8]:*, [::/0]'
    assert_equal "$(where fd00:ec2::254)" "$denied"
    sed -i 's|^allow = .*|allow = [fd00:ec2::254]|' gateway.conf
    kill -HUP "$spawned_gateway"
    wait_until "the gateway to reload" grep -q 'configuration reloaded' gateway.log
    assert_equal "$(where fd00:ec2::254)" fd00:ec2::254
}
