#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The library in unusual kinds of programs, and in restricted environments.

load lib

setup() {
    direct && skip "there is no library without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    start_peer
    start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
}

teardown() {
    stop_all
    show_logs
}

probe() { python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"; }

# restart_helper DESTINATIONS [ROUTE LINE...]: restarts the helper with another route.
restart_helper() {
    stop "$helper_pid"
    write_smuxshim_conf "$@"
    start_helper
}

# same_as_direct LAUNCHER PROGRAM...: a program of the oracle sees over the gateway what it sees
# without the shim, and no message is printed.
same_as_direct() {
    local before
    "${@:2}" >direct 2>&1 </dev/null
    [ "$(grep -c ': ' direct)" -ge 30 ] || fail "$(cat direct)"
    before=$(streams_total)
    "$1" -c "$smuxshim_conf" "${@:2}" >shim 2>&1 </dev/null || true
    diff direct shim || fail "what differs: < direct, > under the shim"
    [ "$(streams_total)" -gt "$before" ] || fail "it was not carried"
}

# ---- 32 bits, musl ------------------------------------------------------------------------------

# Prints what a loader puts in place of $LIB.
lib_of() { "$1" --list-diagnostics | sed -n 's/^dl_dst_lib="\(.*\)"/\1/p'; }

# install_both: makes an installation with a library for each word size, where the loader's $LIB
# points.
install_both() {
    lib32=$(lib_of /lib/ld-linux.so.2)
    make -s -C "$root" BUILD="$BUILD" DESTDIR="$PWD/stage" PREFIX=/opt \
        LIBDIR="/opt/$(lib_of /lib64/ld-linux-x86-64.so.2)" LIBDIR32="/opt/$lib32" install >make.log 2>&1 || { cat make.log; return 1; }
    launcher=$PWD/stage/opt/bin/smuxshim
}

@test "the same launcher runs 32-bit programs, with \$LIB in the library's path" {
    restart_helper 127.0.0.0/8
    install_both
    run "$launcher" -c "$smuxshim_conf" sh -c 'echo "$LD_PRELOAD"'
    assert_output "$PWD/stage/opt/\$LIB/libsmuxshim.so"
    for program in connect_plain epoll_sets epoll_unseen data options refused foreign_options; do
        cc -m32 -w -I"$root" -D_GNU_SOURCE "$root/tests/oracle/$program.c" -o "$program-32" -lpthread
        same_as_direct "$launcher" "./$program-32"
        # With 64-bit time, glibc's functions have other names.
        cc -m32 -w -I"$root" -D_GNU_SOURCE -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 \
            "$root/tests/oracle/$program.c" -o "$program-time64" -lpthread
        same_as_direct "$launcher" "./$program-time64"
    done
    # From a 64-bit program to a 32-bit one and back.
    same_as_direct "$launcher" sh -c './data-32; python3 -c "print(1)"'
}

@test "a 32-bit program without a 32-bit library causes one warning and no other message" {
    install_both
    rm "stage/opt/$lib32/libsmuxshim.so"
    printf 'int main(void) { return 0; }\n' >program.c
    cc -m32 program.c -o program
    run --separate-stderr "$launcher" -c "$smuxshim_conf" ./program
    assert_success
    [[ $stderr == *"another machine or word size"* ]] || fail "$stderr"
}

@test "musl programs work with library and launcher built by musl-gcc" {
    restart_helper 127.0.0.0/8
    make -s -C "$root" BUILD="$BUILD" musl >make.log 2>&1 || { cat make.log; return 1; }
    for program in connect_plain given_up epoll_sets epoll_unseen data processes urgent; do
        musl-gcc -w -I"$root" -D_GNU_SOURCE -idirafter "$BUILD/musl/include" "$root/tests/oracle/$program.c" \
            -o "$program-musl" -lpthread
        same_as_direct "$BUILD/musl/smuxshim" "./$program-musl"
    done
    # Preloading a library of the other libc would prevent them from starting.
    run --separate-stderr via ./data-musl
    assert_success
    [[ $stderr == *"another libc"* ]] || fail "$stderr"
    assert_equal "$(ctl status --json | jq '[.streams[] | select(.program == "data-musl")] | length')" 0
}

# ---- Loaded otherwise ---------------------------------------------------------------------------

@test "connects from a plugin loaded by dlopen are routed, except with RTLD_DEEPBIND" {
    cat >plugin.c <<'END'
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
int reach(uint16_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), result = connect(fd, (struct sockaddr *)&to, sizeof to);
    close(fd);
    return result;
}
END
    cat >program.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i++) {
        void *plugin = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL | (i % 2 ? RTLD_DEEPBIND : 0));
        int (*reach)(uint16_t) = plugin ? (int (*)(uint16_t))dlsym(plugin, "reach") : NULL;
        printf("%d\n", reach ? reach((uint16_t)atoi(argv[argc - 1])) : -2);
    }
}
END
    cc -shared -fPIC plugin.c -o one.so
    cp one.so two.so
    cc program.c -o program
    run via ./program ./one.so ./two.so "$peer_port"
    assert_output "0
0"
    # With RTLD_DEEPBIND the plugin's own dependencies come first, so it calls libc and connects
    # directly, as smuxshim(7) says. The other plugin connects over the gateway.
    assert_equal "$(streams_total)" 1
}

@test "setuid programs are not affected: they run, and connect directly" {
    [ "$(id -u)" = 0 ] || fail "this needs root, to make a program of another user's"
    cp "$(realpath "$(type -P nc)")" "$(public_dir)/nc"
    chown nobody "$(public_dir)/nc"
    chmod 4755 "$(public_dir)/nc"
    run --separate-stderr via "$(public_dir)/nc" -z 127.0.0.1 "$peer_port"
    assert_success
    assert_equal "$(streams_total)" 0
}

# ---- Where little is allowed --------------------------------------------------------------------

@test "a sandbox that forbids AF_UNIX sockets: EACCES, or a direct connection if that is allowed" {
    cc -w -D_GNU_SOURCE "$fixtures/sandbox.c" -o sandbox
    local err
    for err in 1 13 22 38 97; do # EPERM, EACCES, EINVAL, ENOSYS, EAFNOSUPPORT
        run via ./sandbox "$err" "$peer_port"
        assert_output "EACCES
EACCES
EACCES"
    done
    restart_helper "127.0.0.1:$peer_port" "on-failure = direct"
    run via ./sandbox 97 "$peer_port"
    assert_output "connected
connected
connected"
}

@test "a program may change its root and its user after its first connection" {
    [ "$(id -u)" = 0 ] || fail "this needs root, for chroot"
    helper_lines='allow-users = nobody' restart_helper "127.0.0.1:$peer_port"
    mkdir empty
    run via python3 -c "
import os, socket
first = socket.create_connection(('127.0.0.1', $peer_port))
os.chroot('empty'); os.chdir('/')
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
s = socket.socket()
print(s.connect_ex(('127.0.0.1', $peer_port)), s.getpeername()[1] == $peer_port, first.getpeername()[1] == $peer_port)
for each in (first, s):
    each.sendall(b'count\n')
    print(each.recv(10).strip().isdigit())"
    assert_output "0 True True
True
True"
    assert_carried 2 2
}

@test "no descriptor left: EMFILE, nothing leaks, and the same socket connects when there is room again" {
    run via python3 -c "
import errno, os, resource, socket
sockets = [socket.socket() for _ in range(4)]
sockets[1].setblocking(False)
top = max(s.fileno() for s in sockets) + 3
resource.setrlimit(resource.RLIMIT_NOFILE, (top, 4096))
held = []
try:
    while True: held.append(os.dup(0))
except OSError:
    pass
before = [os.fstat(fd).st_ino for fd in range(top)]
print([errno.errorcode[s.connect_ex(('127.0.0.1', $peer_port))] for s in sockets])
print([os.fstat(fd).st_ino for fd in range(top)] == before)
os.close(held.pop())
print(sockets[0].connect_ex(('127.0.0.1', $peer_port)))
sockets[0].sendall(b'count\n')
print(sockets[0].recv(10).strip().isdigit())"
    assert_output "['EMFILE', 'EMFILE', 'EMFILE', 'EMFILE']
True
0
True"
}

# The descriptor in a request counts against its user until the helper has read it. Programs do not
# expect the kernel's ETOOMANYREFS.
@test "more requests in flight than the user's descriptor limit: EAGAIN, or a blocking connect waits" {
    [ "$(id -u)" = 0 ] || fail "this needs root, to become somebody with limits"
    stop "$helper_pid"
    runtime_dir=$(public_dir)
    helper_lines='allow-users = nobody' write_smuxshim_conf "127.0.0.1:$peer_port"
    start_helper
    cat >crowd.py <<END
import collections, errno, os, resource, signal, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
seen = collections.Counter()
for _ in range(100):
    s = socket.socket()
    s.setblocking(False)
    seen[errno.errorcode[s.connect_ex(('127.0.0.1', $peer_port))]] += 1
    s.close()
print(*sorted(seen), flush=True)
s = socket.socket()
print(s.connect_ex(('127.0.0.1', $peer_port)))
END
    kill -STOP "$helper_pid"
    SMUXSHIM_CONFIG=$smuxshim_conf LD_PRELOAD=$BUILD/libsmuxshim.so python3 crowd.py >crowd.log 2>&1 3>&- 4>&- &
    local crowd=$!
    wait_until "the crowd" grep -q . crowd.log
    kill -CONT "$helper_pid"
    wait "$crowd"
    assert_equal "$(cat crowd.log)" "EAGAIN EINPROGRESS
0"
}

# The library keeps hints about descriptors below 65536 in static memory. Here it is built with a
# limit of 64, so that the tables for higher numbers are tested even if ulimit -n is small.
@test "descriptors with large numbers work, registered with epoll before they connect" {
    make -s -C "$root" BUILD="$PWD/few" OPT=-O0 CFLAGS=-DHINT_FDS_MAX=64 "$PWD/few/libsmuxshim.so" >make.log 2>&1
    SMUXSHIM_CONFIG=$smuxshim_conf LD_PRELOAD=$PWD/few/libsmuxshim.so run python3 -c "
import errno, fcntl, select, socket
for number in (63, 64, 128, 129, 1000):
    s = socket.socket(fileno=fcntl.fcntl(socket.socket(), fcntl.F_DUPFD, number))
    assert s.fileno() == number
    s.setblocking(False)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sets = [select.epoll() for _ in range(4)]
    for each in sets: each.register(s, select.EPOLLOUT)
    s.connect_ex(('127.0.0.1', $peer_port))
    print([len(each.poll(30)) for each in sets], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
          s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), s.connect_ex(('127.0.0.1', $peer_port)),
          errno.errorcode[s.connect_ex(('127.0.0.1', $peer_port))])"
    assert_output "[1, 1, 1, 1] 0 1 0 EISCONN
[1, 1, 1, 1] 0 1 0 EISCONN
[1, 1, 1, 1] 0 1 0 EISCONN
[1, 1, 1, 1] 0 1 0 EISCONN
[1, 1, 1, 1] 0 1 0 EISCONN"
    assert_carried 5
    restart_helper 127.0.0.0/8
    local program
    for program in epoll_sets epoll_unseen; do
        "$BUILD/oracle/$program" >without
        SMUXSHIM_CONFIG=$smuxshim_conf LD_PRELOAD=$PWD/few/libsmuxshim.so "$BUILD/oracle/$program" >with
        diff without with
    done
}

@test "a library path with a blank or a colon is refused, because LD_PRELOAD cannot hold it" {
    local folder
    for folder in 'with blank' 'with:colon'; do
        mkdir "$folder"
        cp "$BUILD/smuxshim" "$BUILD/libsmuxshim.so" "$folder"
        run -1 "$folder/smuxshim" -c "$smuxshim_conf" touch started
        assert_output --partial 'expected a path without blanks and colons'
        refute [ -e started ]
    done
}

@test "a path in LD_PRELOAD that begins with our library's path is not taken for our library" {
    cp "$BUILD/libsmuxshim.so" "$BUILD/libsmuxshim.so.old"
    LD_PRELOAD=$BUILD/libsmuxshim.so.old run via env
    rm "$BUILD/libsmuxshim.so.old"
    assert_line "LD_PRELOAD=$BUILD/libsmuxshim.so.old:$BUILD/libsmuxshim.so"
}
