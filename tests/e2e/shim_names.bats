#!/usr/bin/env bats
# Routes by host name: names that only the gateway can resolve, and names that resolve here, too.
#
# The gateway has a hosts file of its own.

load lib

setup() {
    direct && skip "without the shim these names do not exist"
    [ "$(id -u)" = 0 ] || fail "this needs root, for a hosts file of the gateway's own"
    cd "$BATS_TEST_TMPDIR" || return
    start_peer
    gateway_port=$(free_port)
    printf '127.0.0.1 localhost db.internal a.db.internal here.example\n::1 six.db.internal\n' >hosts
    printf '[listen]\naddress = tcp://127.0.0.1:%s\nallow = *.internal:*, db.internal:*, 127.0.0.1:*, [::1]:*, here.example:*, localhost:*\n' "$gateway_port" >gateway.conf
    spawn gateway unshare --mount sh -c "mount --bind '$PWD/hosts' /etc/hosts && exec '$BUILD/smux-gateway' -c gateway.conf"
    wait_until "the gateway" listening "$gateway_port"
    write_smuxshim_conf "db.internal, *.db.internal:1-65535, localhost:$peer_port"
    start_helper
}

teardown() {
    stop_all
    show_logs
}

# ask PYTHON: under the shim, with the peer's port as P.
ask() { via python3 -c "
import socket
P = $peer_port
$1"; }

@test "a name that only the gateway knows: connected, and no address of this world" {
    run ask "
s = socket.create_connection(('db.internal', P))
print(s.getpeername()[0].startswith('198.1'), s.getpeername()[1] == P)"
    assert_output "True True"
    assert_carried 1
}

@test "a wildcard, any depth, upper case, and the same address each time" {
    run ask "
a = socket.getaddrinfo('A.db.Internal', P, socket.AF_INET, socket.SOCK_STREAM)
b = socket.getaddrinfo('a.DB.internal', P, socket.AF_INET, socket.SOCK_STREAM)
print(a == b, len(a))
s = socket.socket(); s.connect(a[0][4]); print('connected')"
    assert_line "True 1"
    assert_line connected
}

@test "IPv6 is answered when it is asked for" {
    run ask "
a = socket.getaddrinfo('a.db.internal', P, socket.AF_INET6, socket.SOCK_STREAM)[0][4]
s = socket.socket(socket.AF_INET6); s.connect(a)
print(a[0].startswith('fd73:6d78:7368:'), s.family == socket.AF_INET6)"
    assert_output "True True"
}

@test "gethostbyname and getnameinfo know the name" {
    run ask "
a = socket.gethostbyname('db.internal')
print(socket.getnameinfo((a, P), 0)[0], socket.getnameinfo((a, P), socket.NI_NUMERICHOST)[0] == a)
print(socket.gethostbyaddr(a)[0])"
    assert_line "db.internal True"
    assert_line "db.internal"
}

@test "the canonical name is the name" {
    run ask "print(socket.getaddrinfo('db.internal', P, 0, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)[0][3])"
    assert_output db.internal
}

@test "a name that the gateway does not know either: EHOSTUNREACH" {
    run ask "
s = socket.socket()
import errno
print(errno.errorcode[s.connect_ex(('nosuch.db.internal', P))])"
    assert_output EHOSTUNREACH
}

@test "names that match no route are libc's affair" {
    run ask "
try: socket.getaddrinfo('nosuch.example.invalid', P)
except socket.gaierror as e: print(e.errno == socket.EAI_NONAME or e.errno == socket.EAI_AGAIN)
print(socket.getaddrinfo('127.0.0.1', P)[0][4][0])
try: socket.getaddrinfo('db.internal', P, flags=socket.AI_NUMERICHOST)
except socket.gaierror as e: print(e.errno == socket.EAI_NONAME)"
    assert_line --index 0 True
    assert_line --index 1 127.0.0.1
    assert_line --index 2 True
}

@test "a name that resolves here keeps its address, and the route sees the name" {
    run ask "s = socket.create_connection(('localhost', P)); print(s.getpeername()[0] in ('127.0.0.1', '::1'))"
    assert_output True
    assert_carried 1
}

@test "an address without a known name is not routed by name" {
    ask "socket.create_connection(('127.0.0.1', P))"
    assert_equal "$(streams_total)" 0
}

@test "curl and the children of a shell use such names" {
    start_nginx
    run via sh -c "curl -sS http://db.internal:$web_port/; curl -sS http://a.db.internal:$web_port/"
    assert_output "hello
hello"
    assert_carried 2
}

@test "many threads ask at once" {
    run ask "
import threading
good = []
def one(i):
    name = 'db.internal' if i % 2 else 'a.db.internal'
    s = socket.create_connection((name, P)); good.append(s)
ts = [threading.Thread(target=one, args=(i,)) for i in range(40)]
[t.start() for t in ts]; [t.join() for t in ts]
print(len(good))"
    assert_output 40
}
