#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Routes by host name: names that only the gateway can resolve, and names that also resolve here.
#
# The gateway has its own hosts file, which gives each name another address; the server reports the
# address at which it was reached. No name server is involved: programs are given one that refuses
# at once.

load lib

setup_file() {
    direct && return
    [ "$(id -u)" = 0 ] || fail "this needs root, for a hosts file of the gateway's own"
    cd "$BATS_FILE_TMPDIR" || return
    export P gateway_port
    P=$(free_port)
    serve where "$P" python3 "$fixtures/where.py" "$P"
    gateway_port=$(free_port)
    cat >hosts <<END
127.0.0.1 localhost here.example
127.0.0.2 db.internal
127.0.0.3 a.db.internal
127.0.0.4 b.db.internal
::1 six.db.internal
END
    echo 'nameserver 127.0.0.251' >resolv.conf
    echo 'hosts: files' >nsswitch.conf
    cat >gateway.conf <<END
[listen]
address = $carrier://127.0.0.1:$gateway_port
$(carrier_trust)
allow = *.internal:*, db.internal:*, 127.0.0.0/8:*, [::1]:*, here.example:*, localhost:*
END
    serve gateway "$gateway_port" own_mounts sh -c \
        "mount --bind '$PWD/hosts' /etc/hosts && mount --bind '$PWD/nsswitch.conf' /etc/nsswitch.conf && exec '$BUILD/smux-gateway' -c gateway.conf"
}

teardown_file() { stop_all; }

setup() {
    direct && skip "without the shim these names do not exist"
    cd "$BATS_TEST_TMPDIR" || return
    configure
    start_helper
}

teardown() {
    stop_all
    show_logs
}

# configure [LINE...]: writes a configuration with one route by name and these lines in [names].
configure() {
    local section=''
    [ $# = 0 ] || section=$(printf '[names]'; printf '\\n%s' "$@")
    helper_lines=$section write_smuxshim_conf "db.internal, *.db.internal:1-65535, localhost:$P"
}

# offline COMMAND...: runs the command without a name server.
offline() {
    own_mounts sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$BATS_FILE_TMPDIR/resolv.conf" "$@"
}
offline_nobody() { offline setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@"; }
via() { offline "$BUILD/smuxshim" -c "$smuxshim_conf" "$@"; }

# python CODE: runs CODE under the shim, with the server's port as P and where(ADDRESS) to ask the
# server.
prelude="
import errno, os, socket, sys
P = ${P-}
def where(address):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
    s.settimeout(60)
    s.connect((address, P))
    s.sendall(b'\\r\\n')
    text = b''
    while data := s.recv(100): text += data
    return text.decode().split()[-1]
def eai(*args, **more):
    try: return socket.getaddrinfo(*args, **more)[0][4][0]
    except socket.gaierror as e: return next(n for n in dir(socket) if n.startswith('EAI_') and getattr(socket, n) == e.errno)
def error(address, port=P):
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
    return errno.errorcode.get(s.connect_ex((address, port)), 'connected')
"
python() { via /usr/bin/python3 -c "$prelude$1" "${@:2}"; }
ask() { python "$@"; }

# address NAME: prints the address that another program under the shim gets.
address() { via getent ahostsv4 "$1" | awk 'NR == 1 { print $1 }'; }
fetch() { via curl -sS --max-time 60 "http://$1:$P/"; }
# The gateway serves all tests, so connections of earlier tests may still be visible.
carried() { assert [ "$(streams_total)" -ge "$1" ]; }
kill_helper() { stop "$helper_pid" KILL; }

@test "a name that only the gateway knows connects, over a synthetic address" {
    run ask "
s = socket.create_connection(('db.internal', P))
print(s.getpeername()[0].startswith('198.1'), s.getpeername()[1] == P)"
    assert_output "True True"
    carried 1
}

@test "a wildcard matches at any depth, in upper case and with a final dot, with the same address each time" {
    run ask "
a = socket.getaddrinfo('A.db.Internal', P, socket.AF_INET, socket.SOCK_STREAM)
b = socket.getaddrinfo('a.DB.internal.', P, socket.AF_INET, socket.SOCK_STREAM)
print(a == b, len(a), where(a[0][4][0]))"
    assert_output "True 1 127.0.0.3"
}

@test "IPv6 is answered when it is asked for" {
    run ask "
a = socket.getaddrinfo('a.db.internal', P, socket.AF_INET6, socket.SOCK_STREAM)[0][4]
print(a[0].startswith('fd73:6d78:7368:'), where(a[0]))
print(where(socket.gethostbyname('six.db.internal')))"
    assert_line --index 0 "True 127.0.0.3"
    assert_line --index 1 "::1"
}

@test "lookups of every kind work: hints, services, socket types, canonical names" {
    run ask "
name, S = 'db.internal', socket
four = S.gethostbyname(name)
print(eai(name, None) == four, eai(name, 80, S.AF_INET) == four, eai(name, 'http', flags=S.AI_PASSIVE) == four)
print(len(S.getaddrinfo(name, None)), sorted(t[1].name for t in S.getaddrinfo(name, None)))
print(S.getaddrinfo(name, 'http', 0, S.SOCK_STREAM)[0][4] == (four, 80))
print(S.getaddrinfo(name, P, 0, S.SOCK_STREAM, 0, S.AI_CANONNAME)[0][3])
print(eai(name, P, S.AF_INET6, S.SOCK_STREAM, 0, S.AI_V4MAPPED)[:4], eai(name, P, flags=S.AI_ADDRCONFIG) == four)
print(S.gethostbyname_ex(name) == (name, [], [four]))
print(eai(name, 'no-such-service'), eai(name, P, 77), eai(name, P, 0, 77), eai(name, P, flags=S.AI_NUMERICHOST))
print(eai(b'x' * 300 + b'.db.internal', P), eai('bad name.db.internal', P) in ('EAI_NONAME', 'EAI_AGAIN'))"
    assert_line --index 0 "True True True"
    assert_line --index 1 "3 ['SOCK_DGRAM', 'SOCK_RAW', 'SOCK_STREAM']"
    assert_line --index 2 "True"
    assert_line --index 3 "db.internal"
    assert_line --index 4 "fd73 True"
    assert_line --index 5 "True"
    assert_line --index 6 "EAI_SERVICE EAI_FAMILY EAI_SOCKTYPE EAI_NONAME"
    assert_line --index 7 --regexp "^EAI_[A-Z]+ True$"
}

@test "getnameinfo and gethostbyaddr return the name, in the program that looked it up and in others" {
    run ask "
a = socket.gethostbyname('db.internal')
print(socket.getnameinfo((a, P), 0)[0], socket.getnameinfo((a, 80), socket.NI_NUMERICHOST), socket.gethostbyaddr(a)[0])"
    assert_output --regexp "^db.internal \('198.18.0.1', '(http|80)'\) db.internal$"
    run ask "
print(socket.getnameinfo(('198.18.0.1', P), socket.NI_NAMEREQD)[0], socket.gethostbyaddr('fd73:6d78:7368::1')[0])
print(socket.getnameinfo(('::ffff:198.18.0.1', P), 0)[0])
print(socket.getnameinfo(('198.18.9.9', 7), socket.NI_NUMERICSERV))
try: socket.getnameinfo(('198.18.9.9', P), socket.NI_NAMEREQD)
except socket.gaierror as e: print(e.errno == socket.EAI_NONAME)
try: socket.gethostbyaddr('198.18.9.9')
except socket.herror as e: print(e.errno)"
    assert_line --index 0 "db.internal db.internal"
    assert_line --index 1 "db.internal"
    assert_line --index 2 "('198.18.9.9', '7')"
    assert_line --index 3 "True"
    assert_line --index 4 "1"
    run via getent hosts 198.18.0.1
    assert_output --regexp '^198\.18\.0\.1 +db\.internal$'
}

@test "a name that the gateway cannot resolve either: EHOSTUNREACH" {
    run ask "print(error('nosuch.db.internal'))"
    assert_output EHOSTUNREACH
}

@test "names that match no route are left to libc" {
    run ask "
print(eai('nosuch.example.invalid', P) in ('EAI_NONAME', 'EAI_AGAIN'), eai('127.0.0.1', P), eai('::1', P))"
    assert_output "True 127.0.0.1 ::1"
    run ctl names
    assert_output ""
}

@test "lookups of names that match no route, and connects elsewhere, cost no additional system call" {
    local code='
import socket, errno
for name in ("nosuch.example", "127.0.0.1", "nosuch.invalid"):
    try: socket.getaddrinfo(name, 80)
    except socket.gaierror: pass
socket.getnameinfo(("127.0.0.1", 80), 0)
try: socket.create_connection(("127.0.0.1", 1))
except ConnectionRefusedError: pass'
    count() {
        offline strace -f -o trace -e trace=network,desc,file "$@" /usr/bin/python3 -c "$code" &&
            sed -n '/"\/etc\/nsswitch.conf"/,$p' trace | without_luck | sort | uniq -c
    }
    # Prints the names of the calls. How often libc sends to the name server, waits and receives
    # depends on when the refusal comes, so its calls between socket and close are left out.
    without_luck() {
        awk '{ call = $2; sub(/\(.*/, "", call) }
            call !~ /^[a-z0-9_]+$/ { next }
            asking != "" && $0 ~ "^[0-9]+ +close\\(" asking "\\)" { asking = "" }
            asking == "" || call !~ /^(ppoll|poll|sendto|sendmmsg|recvfrom|recvmsg|ioctl)$/ { print call }
            /socket\(AF_INET6?, SOCK_DGRAM.* = [0-9]+$/ { asking = $NF }'
    }
    count >plain
    count "$BUILD/smuxshim" -c "$smuxshim_conf" >shim
    [ "$(wc -l <plain)" -gt 3 ] || fail "nothing was traced: $(cat plain)"
    run diff plain shim
    assert_success
}

@test "a name that resolves here keeps its address, and is routed by name" {
    run ask "s = socket.create_connection(('localhost', P)); print(s.getpeername()[0] in ('127.0.0.1', '::1'))"
    assert_output True
    carried 1
}

@test "a name with an IPv4 address here gets no synthetic IPv6 address" {
    configure
    sed -i "s/^destinations = .*/&, here.example/" "$smuxshim_conf"
    ctl reload
    printf '127.0.0.1 here.example localhost\n' >myhosts
    run offline sh -c "mount --bind '$PWD/myhosts' /etc/hosts && exec '$BUILD/smuxshim' -c '$smuxshim_conf' /usr/bin/python3 -c \"
import socket
print(socket.gethostbyname('here.example'))
try: print(socket.getaddrinfo('here.example', 80, socket.AF_INET6))
except socket.gaierror: print('none')\""
    assert_line --index 0 "127.0.0.1"
    assert_line --index 1 "none"
}

@test "an address without a known name is not routed by name" {
    ask "socket.create_connection(('127.0.0.1', P))"
    assert_equal "$(streams_total)" 0
}

@test "curl, wget, nc and the children of a shell use such names" {
    run via sh -c "curl -sS http://db.internal:$P/; wget -qO- http://a.db.internal:$P/; printf '\r\n' | nc b.db.internal $P | tail -n 1"
    assert_output "127.0.0.2
127.0.0.3
127.0.0.4"
    carried 3
}

@test "java, node and perl use such names" {
    cat >Where.java <<'END'
public class Where {
    public static void main(String[] a) throws Exception {
        for (String name : a[0].split(","))
            System.out.print(new String(new java.net.URL("http://" + name + ":" + a[1] + "/").openStream().readAllBytes()));
        System.out.println(java.net.InetAddress.getByName("198.18.0.1").getHostName());
    }
}
END
    run --separate-stderr via java -Xshare:auto Where.java db.internal,a.db.internal "$P"
    assert_output "127.0.0.2
127.0.0.3
db.internal"
    run --separate-stderr via node -e "
const http = require('http'), dns = require('dns');
http.get('http://b.db.internal:$P/', r => r.pipe(process.stdout));
dns.lookup('a.db.internal', { all: true }, (e, a) => console.log(e || a.length));"
    assert_line "127.0.0.4"
    assert_line "1"
    run --separate-stderr via perl -MSocket -MIO::Socket::INET -e "
my \$s = IO::Socket::INET->new(PeerAddr => 'a.db.internal', PeerPort => $P) or die;
print \$s \"\\r\\n\"; my @l = <\$s>; print \$l[-1];
print scalar gethostbyaddr(inet_aton('a.db.internal'), AF_INET), \"\\n\";"
    assert_output "127.0.0.3
a.db.internal"
}

@test "a synthetic address stays valid after exec" {
    run ask "
a = socket.gethostbyname('a.db.internal')
os.execvp('curl', ['curl', '-sS', f'http://{a}:{P}/'])"
    assert_output "127.0.0.3"
}

@test "another program gets the same address, and may use it" {
    local a b
    a=$(address db.internal)
    b=$(address a.db.internal)
    [ "$a" != "$b" ]
    assert_equal "$(address db.internal)" "$a"
    assert_equal "$(fetch "$a")" 127.0.0.2
    assert_equal "$(fetch "$b")" 127.0.0.3
    assert_equal "$(fetch '[fd73:6d78:7368::2]')" 127.0.0.3
    run ask "print(where('::ffff:$b'), socket.create_connection(('$a', P)).getpeername()[0])"
    assert_output "127.0.0.3 $a"
    run ctl names
    assert_line --regexp "^$b +fd73:6d78:7368::2 +a.db.internal$"
    assert_line --regexp "^$a +fd73:6d78:7368::1 +db.internal$"
    assert_equal "$(ctl names --json | jq -r '.[0].name')" db.internal
}

@test "a helper that was killed and started again knows the addresses it assigned" {
    local a b
    a=$(address db.internal)
    kill_helper
    start_helper
    b=$(address a.db.internal)
    [ "$a" != "$b" ]
    kill_helper
    start_helper
    assert_equal "$(fetch "$a")" 127.0.0.2
    assert_equal "$(fetch "$b")" 127.0.0.3
    assert_equal "$(address db.internal)" "$a"
}

@test "a program that runs across the restart reaches the right name" {
    spawn client via /usr/bin/python3 -u -c "$prelude
a, b = socket.gethostbyname('a.db.internal'), socket.gethostbyname('b.db.internal')
print('known'); open('known', 'w').close()
while not os.path.exists('go'): pass
print(where(a), where(b), socket.gethostbyname('a.db.internal') == a)"
    local client=$spawned
    wait_until "the lookups" test -e known
    kill_helper
    start_helper
    address other.db.internal
    touch go
    wait "$client"
    grep -qx "127.0.0.3 127.0.0.4 True" client.log
}

@test "a helper that drains passes its names on to the next one" {
    local a
    a=$(address a.db.internal)
    spawn client via /usr/bin/python3 -u -c "$prelude
s = socket.create_connection(('$a', P))
open('known', 'w').close()
while not os.path.exists('go'): pass
s.sendall(b'\r\n')
print(s.recv(1000).decode().split()[-1])"
    local client=$spawned
    wait_until "the connection" test -e known
    ctl drain
    start_helper
    run ask "print(where('$a'), socket.gethostbyname('a.db.internal') == '$a', where(socket.gethostbyname('b.db.internal')))"
    touch go
    assert_output "127.0.0.3 True 127.0.0.4"
    wait "$client"
    grep -qx 127.0.0.3 client.log
}

@test "a damaged table: one line in the log, intact entries stay, and no address is assigned twice" {
    local a b c
    a=$(address db.internal)
    b=$(address a.db.internal)
    kill_helper
    sed -i 's/ a\.db\.internal / b.db.internal /' smuxshim-names
    start_helper
    assert_equal "$(grep -c 'smuxshim-names: damaged: 1 names are intact' helper.log)" 1
    run ask "print(where('$a'), error('$b'))"
    assert_output "127.0.0.2 EHOSTUNREACH"
    c=$(address a.db.internal)
    [ "$c" != "$a" ] && [ "$c" != "$b" ]
    assert_equal "$(fetch "$c")" 127.0.0.3
    kill_helper
    head -c 3000 /dev/urandom >smuxshim-names
    start_helper
    run ask "print(error('$a'), error('$b'), error('$c'))"
    assert_output "EHOSTUNREACH EHOSTUNREACH EHOSTUNREACH"
    run address db.internal
    refute_output --regexp "^($a|$b|$c)$"
    assert_equal "$(fetch "$output")" 127.0.0.2
}

@test "a table that is missing, or truncated at the end of a line: no address is assigned twice" {
    local a b c
    a=$(address db.internal)
    b=$(address a.db.internal)
    kill_helper
    sed -i 2d smuxshim-names
    start_helper
    c=$(address b.db.internal)
    [ "$c" != "$b" ]
    assert_equal "$(fetch "$a")" 127.0.0.2
    kill_helper
    rm smuxshim-names
    start_helper
    run ask "print(error('$a'), error('$b'), error('$c'))"
    assert_output "EHOSTUNREACH EHOSTUNREACH EHOSTUNREACH"
    run address db.internal
    refute_output --regexp "^($a|$b|$c)$"
}

@test "an address that was never assigned: EHOSTUNREACH, blocking or not, and no gateway is asked" {
    run ask "
print(error('198.18.200.1'), error('198.19.255.255'), error('fd73:6d78:7368::99'), error('::ffff:198.18.0.9'))
s = socket.socket(); s.setblocking(False)
print(errno.errorcode[s.connect_ex(('198.18.200.1', P))])
import select
select.select([], [s], [], 60)
print(errno.errorcode[s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])"
    assert_line --index 0 "EHOSTUNREACH EHOSTUNREACH EHOSTUNREACH EHOSTUNREACH"
    assert_line --index 1 EINPROGRESS
    assert_line --index 2 EHOSTUNREACH
    assert_equal "$(streams_total)" 0
}

@test "TCP fast open to a synthetic address works as an ordinary connect" {
    run ask "
def fast(address):
    s = socket.socket()
    try: s.sendto(b'\r\n', socket.MSG_FASTOPEN, (address, P))
    except OSError as e: return errno.errorcode[e.errno]
    text = b''
    while data := s.recv(100): text += data
    return text.decode().split()[-1]
print(fast(socket.gethostbyname('a.db.internal')), fast('198.18.9.9'))"
    assert_output "127.0.0.3 EHOSTUNREACH"
}

@test "a port that the name's route does not include: EHOSTUNREACH, and the address is not tried" {
    write_smuxshim_conf "db.internal:$P, *.db.internal:$P"
    ctl reload
    a=$(address db.internal)
    run ask "print(error('db.internal', 9), error('$a', 9))"
    assert_output "EHOSTUNREACH EHOSTUNREACH"
    run ask "print(error('$a', 9), where('$a'))"
    assert_output "EHOSTUNREACH 127.0.0.2"
}

@test "the range can be configured, and invalid ranges are reported with file and line" {
    configure "ipv4 = 10.99.0.0/16" "ipv6 = fd00:9::/64"
    kill_helper
    start_helper
    run ask "
a, b = socket.gethostbyname('db.internal'), socket.getaddrinfo('db.internal', P, socket.AF_INET6)[0][4][0]
print(a, b, where(a), where(b))"
    assert_output "10.99.0.1 fd00:9::1 127.0.0.2 127.0.0.2"
    run ctl check
    assert_line "names: synthetic addresses from 10.99.0.0/16 and fd00:9::/64"
    local line
    for line in "ipv4 = 10.99.0.0/29" "ipv4 = fd00::/64" "ipv6 = 10.0.0.0/8" "ipv4 = 127.0.0.0/8" "ipv4 = 10.99.0.1/16" "max-per-user = many"; do
        configure "$line"
        run ctl check
        assert_failure 2
        assert_output --regexp "smuxshim\.conf:1[0-9]: ${line%% *}: expected "
        run via true
        assert_failure 2
    done
    configure
    sed -i 's/^destinations = .*/&, 198.18.3.0\/24:80/' "$smuxshim_conf"
    run ctl check
    assert_failure 2
    assert_output --partial 'smuxshim.conf:4: [route test]: "198.18.3.0/24:80" lies in 198.18.0.0/15'
    SMUXSHIM_NAMES=10.0.0.0/33 run "$BUILD/smuxshim" -g tcp://127.0.0.1:1 -r db.internal true
    assert_failure 2
    assert_output --partial "SMUXSHIM_NAMES: expected a prefix length from 8 to 28"
}

@test "after a change of the range, old addresses still stand for their names" {
    local a
    a=$(address db.internal)
    spawn client via /usr/bin/python3 -u -c "$prelude
a = socket.gethostbyname('a.db.internal')
open('known', 'w').close()
while not os.path.exists('go'): pass
print(where(a), where('$a'))"
    local client=$spawned
    wait_until "the lookup" test -e known
    configure "ipv4 = 10.99.0.0/16"
    ctl reload
    assert_equal "$(address a.db.internal)" 10.99.0.3
    touch go
    wait "$client"
    grep -qx "127.0.0.3 127.0.0.2" client.log
}

@test "a range that is used up: EAI_FAIL, a line in the log, and assigned addresses still work" {
    configure "ipv4 = 10.99.0.0/28"
    kill_helper
    start_helper
    run ask "
for i in range(14): socket.gethostbyname(f'n{i}.db.internal')
print(eai('more.db.internal', P, socket.AF_INET), eai('more.db.internal', P, socket.AF_INET))
try: socket.gethostbyname('more.db.internal')
except socket.gaierror as e: print(e.errno == socket.EAI_FAIL)
print(eai('more.db.internal', P).startswith('fd73:'))
print(eai('n3.db.internal', P), error('10.99.0.14'))"
    assert_line --index 0 "EAI_FAIL EAI_FAIL"
    assert_line --index 1 "True"
    assert_line --index 2 "True"
    assert_line --index 3 "10.99.0.4 EHOSTUNREACH"
    grep -q '"more.db.internal" gets no address: 10.99.0.0/28 is used up' helper.log
    alive "$helper_pid"
}

@test "no helper or one that hangs: EAI_AGAIN; a helper without the route: libc's answer" {
    kill -STOP "$helper_pid"
    run python "print(eai('db.internal', P))"
    kill -CONT "$helper_pid"
    assert_output EAI_AGAIN
    spawn client via /usr/bin/python3 -u -c "$prelude
open('ready', 'w').close()
while not os.path.exists('go'): pass
print(eai('db.internal', P), eai('127.0.0.1', P))
try: socket.gethostbyname('db.internal')
except socket.gaierror as e: print(e.errno == socket.EAI_AGAIN)
print(error('198.18.0.1'))"
    local client=$spawned
    wait_until "the client" test -e ready
    kill_helper
    touch go
    wait "$client"
    assert_equal "$(cat client.log)" "EAI_AGAIN 127.0.0.1
True
ENETUNREACH"
    write_smuxshim_conf "other.internal"
    start_helper
    run offline env SMUXSHIM_SOCKET="$PWD/smuxshim-helper.sock" "$BUILD/smuxshim" -g tcp://127.0.0.1:1 -r db.internal \
        /usr/bin/python3 -c "$prelude
print(eai('db.internal', P) == eai('db.invalid', P))"
    assert_output True
}

@test "a lookup starts a helper if none is running" {
    kill_helper
    helper_lines='autostart = yes' write_smuxshim_conf "*.db.internal"
    run offline env SMUXSHIM_CONFIG="$smuxshim_conf" LD_PRELOAD="$BUILD/libsmuxshim.so" /usr/bin/python3 -c "$prelude
print(where(socket.gethostbyname('a.db.internal')))"
    ctl stop
    assert_output 127.0.0.3
}

@test "on-failure = direct never connects to a synthetic address" {
    write_smuxshim_conf "*.db.internal" "on-failure = direct"
    ctl reload
    spawn client via /usr/bin/python3 -u -c "$prelude
a = socket.gethostbyname('a.db.internal')
open('known', 'w').close()
while not os.path.exists('go'): pass
print(error(a), error('198.18.0.77'), error('127.0.0.1', 1))"
    local client=$spawned
    wait_until "the lookup" test -e known
    kill_helper
    touch go
    wait "$client"
    assert_equal "$(cat client.log)" "ENETUNREACH ENETUNREACH ECONNREFUSED"
}

@test "while helpers are killed again and again, a name keeps one address and an address one name" {
    local i pids=()
    for i in 1 2 3; do
        spawn "asker$i" via /usr/bin/python3 -u -c "$prelude
import random
for _ in range(100000):
    if os.path.exists('enough'): break
    n = f'n{random.randrange(150)}.db.internal'
    try: print(n, socket.gethostbyname(n))
    except socket.gaierror as e: assert e.errno == socket.EAI_AGAIN, e"
        pids+=("$spawned")
    done
    answers() { cat asker?.log | wc -l; }
    more() { [ "$(answers)" -gt "$1" ]; }
    for i in $(seq 12); do
        wait_until "answers" more "$(answers)"
        kill_helper
        start_helper
    done
    wait_until "answers" more "$(answers)"
    touch enough
    wait "${pids[@]}"
    sort -u asker?.log >pairs
    [ "$(wc -l <pairs)" -gt 20 ] || fail "few pairs: $(wc -l <pairs)"
    cut -d' ' -f1 pairs | sort | uniq -d >twice
    cut -d' ' -f2 pairs | sort | uniq -d >>twice
    run cat twice
    assert_output ""
    ctl names --json | jq -r '.[] | .name + " " + .ipv4' | sort -u >kept
    run comm -23 pairs kept
    assert_output ""
}

@test "another user has a separate limit, and sees the same names" {
    runtime_dir=$(public_dir)
    helper_lines='allow-users = nobody\n[names]\nmax-per-user = 3' write_smuxshim_conf "*.db.internal"
    kill_helper
    start_helper
    cp "$BUILD/libsmuxshim.so" "$runtime_dir"
    local a
    a=$(address a.db.internal)
    run --separate-stderr offline_nobody env HOME=/nonexistent SMUXSHIM_CONFIG="$smuxshim_conf" LD_PRELOAD="$runtime_dir/libsmuxshim.so" \
        /usr/bin/python3 -c "$prelude
print([eai(f'n{i}.db.internal', P)[:4] for i in range(5)])
print(where('$a'), eai('a.db.internal', P) == '$a')"
    assert_line --index 0 "['198.', '198.', '198.', 'EAI_', 'EAI_']"
    assert_line --index 1 "127.0.0.3 True"
    grep -q 'uid 65534: "n3.db.internal" gets no address: the user has 3 names, the limit (max-per-user)' helper.log
    run ask "print(eai('n9.db.internal', P)[:4])"
    assert_output "198."
}

@test "a user who is not admitted gets no address, and the log says why" {
    runtime_dir=$(public_dir)
    helper_lines='allow-users = daemon' write_smuxshim_conf "*.db.internal"
    kill_helper
    start_helper
    cp "$BUILD/libsmuxshim.so" "$runtime_dir"
    run --separate-stderr offline_nobody env HOME=/nonexistent SMUXSHIM_CONFIG="$smuxshim_conf" LD_PRELOAD="$runtime_dir/libsmuxshim.so" \
        /usr/bin/python3 -c "$prelude
print(eai('a.db.internal', P) == eai('a.invalid', P))"
    assert_output True
    grep -q 'uid 65534: request refused: the user is not among allow-users' helper.log
    run ctl names
    assert_output ""
}

@test "many threads may look names up at once" {
    run ask "
import threading
good = []
want = {'db.internal': '127.0.0.2', 'a.db.internal': '127.0.0.3', 'b.db.internal': '127.0.0.4', 'six.db.internal': '::1'}
def one(i):
    for name in want: good.append(where(socket.gethostbyname(name)) == want[name])
ts = [threading.Thread(target=one, args=(i,)) for i in range(20)]
[t.start() for t in ts]; [t.join() for t in ts]
print(len(good), all(good))"
    assert_output "80 True"
}

@test "the old lookup functions work with buffers of every size, and in many threads at once" {
    cc -g -fsanitize=address -static-libasan -D_GNU_SOURCE -o lookups "$fixtures/lookups.c" -lpthread
    run via ./lookups "a.db.internal" "$P"
    assert_output good
}

@test "a fork of a multithreaded program knows the names" {
    run ask "
import threading, time
a = socket.gethostbyname('a.db.internal')
stop = False
def busy():
    while not stop: socket.gethostbyname('b.db.internal')
ts = [threading.Thread(target=busy) for _ in range(4)]
[t.start() for t in ts]
status = []
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        # (No lookup by libc: at the time of the fork another thread may have held a lock of its
        # resolver.)
        ok = where(a) == '127.0.0.3' and socket.gethostbyaddr(a)[0] == 'a.db.internal'
        os._exit(0 if ok else 1)
    status.append(os.waitpid(pid, 0)[1])
stop = True
[t.join() for t in ts]
print(status == [0] * 10)"
    assert_output True
}

@test "invalid requests about names: each is one line in the log and affects no other client" {
    run python3 "$fixtures/stranger.py" "$PWD/smuxshim-helper.sock" names "$P"
    assert_success
    assert_line "address of db.internal: 0"
    assert_line "address of elsewhere.invalid: ENOENT"
    assert_line "no name: closed"
    assert_line "bad name: closed"
    assert_line "name with a name: closed"
    assert_line "family 1: closed"
    assert_line "half a name: closed"
    assert_line "unknown address: ENOENT"
    assert_line "a thousand at once: 1000 answers"
    alive "$helper_pid"
    assert_equal "$(fetch db.internal)" 127.0.0.2
}

# asking_program: asks for the address of a name while it gets a signal each millisecond, none of
# which restarts a call.
asking_program() {
    cat <<END
import signal, socket, sys
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
print('asking', flush=True)
try:
    print(socket.getaddrinfo('a.db.internal', $P, socket.AF_INET)[0][4][0], flush=True)
except socket.gaierror as error:
    print('again' if error.errno == socket.EAI_AGAIN else error, flush=True)
signal.setitimer(signal.ITIMER_REAL, 0)
END
}

# Regression: each signal began the wait for the helper's answer anew.
@test "signals do not prolong the wait for a helper that is asked for a name" {
    asking_program >program.py
    kill -STOP "$helper_pid"
    via timeout 60 python3 program.py >answer
    assert_equal "$(tail -n 1 answer)" again
}

has_lines() { [ "$(wc -l <"$2")" -ge "$1" ]; }

# Regression: a signal that came while the helper's backlog was full ended the question.
@test "signals do not end the wait for a helper that is busy when it is asked for a name" {
    asking_program >program.py
    stop "$helper_pid"
    spawn busy python3 "$fixtures/full_helper.py" "$PWD/smuxshim-helper.sock"
    local busy=$spawned
    wait_until "a full backlog" grep -q full busy.log
    spawn asking via python3 program.py
    wait_until "the question" grep -q asking asking.log
    sleep 0.3 # some hundred signals
    kill -USR1 "$busy"
    wait_until "an answer" has_lines 2 asking.log
    assert_equal "$(tail -n 1 asking.log)" 198.18.0.7
}
