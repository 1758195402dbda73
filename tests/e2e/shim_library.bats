#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# libsmuxshim.so preloaded by hand, with files and with variables; and what it costs.

load lib

setup() {
    direct && skip "there is no library without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    library=$BUILD/libsmuxshim.so
    start_peer
    start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
}

teardown() {
    stop_all
    show_logs
}

# preloaded COMMAND...: runs the command with the library, but without the launcher.
preloaded() { LD_PRELOAD=$library "$@"; }

probe() { python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"; }

@test "plain LD_PRELOAD with a configuration file" {
    start_helper
    SMUXSHIM_CONFIG=$smuxshim_conf preloaded probe
    assert_carried 1
}

@test "plain LD_PRELOAD with the configuration file in its usual place" {
    start_helper
    mkdir -p xdg/smuxshim
    cp "$smuxshim_conf" xdg/smuxshim/smuxshim.conf
    XDG_CONFIG_HOME=$PWD/xdg preloaded probe
    assert_carried 1
}

@test "plain LD_PRELOAD with only environment variables" {
    start_helper
    export SMUXSHIM_SOCKET=$BATS_TEST_TMPDIR/smuxshim-helper.sock SMUXSHIM_ROUTES=127.0.0.1
    preloaded probe
    assert_carried 1
}

@test "a changed file takes effect in running programs" {
    start_helper
    sed 's/^destinations.*/destinations = 192.0.2.1:1/' "$smuxshim_conf" >own.conf
    export SMUXSHIM_CONFIG=$PWD/own.conf
    LD_PRELOAD=$library spawn program python3 -c "
import socket, time
while True:
    socket.create_connection(('127.0.0.1', $peer_port)).close()
    print('connected', flush=True)
    time.sleep(0.05)"
    wait_until "a direct connection" grep -q connected program.log
    assert_equal "$(streams_total)" 0
    sed -i "s/^destinations.*/destinations = 127.0.0.1/" own.conf
    wait_until "a routed connection" routed
}

routed() { [ "$(streams_total)" -gt 0 ]; }

@test "an invalid file: one line on stderr, and nothing is routed" {
    printf '[route r]\ndestinations = 10.0.0.1/8\n' >broken.conf
    SMUXSHIM_CONFIG=$PWD/broken.conf LD_PRELOAD=$library run --separate-stderr python3 -c "
import socket
for i in range(3): socket.create_connection(('127.0.0.1', $peer_port))
print('done')"
    assert_output done
    assert_equal "$(wc -l <<<"$stderr")" 1
    [[ $stderr == *"broken.conf:2: "*expected* ]]
}

@test "an invalid file with SMUXSHIM_STRICT=1: EACCES" {
    SMUXSHIM_STRICT=1 SMUXSHIM_ROUTES=nonsense: LD_PRELOAD=$library run --separate-stderr probe
    assert_output EACCES
    [[ $stderr == *SMUXSHIM_ROUTES*expected* ]]
}

@test "SMUXSHIM_DISABLE=1: as without the library" {
    start_helper
    SMUXSHIM_DISABLE=1 SMUXSHIM_CONFIG=$smuxshim_conf preloaded probe
    assert_equal "$(streams_total)" 0
}

@test "SMUXSHIM_LOG gets a line for a connect, and the program's output gets none" {
    start_helper
    SMUXSHIM_LOG=$PWD/log SMUXSHIM_CONFIG=$smuxshim_conf LD_PRELOAD=$library run probe
    assert_output connected
    run cat log
    assert_output --regexp "connect fd [0-9]+ to 127.0.0.1:$peer_port: handed to the helper"
}

@test "no helper: ENETUNREACH, or a direct connection with on-failure = direct" {
    export SMUXSHIM_SOCKET=$PWD/smuxshim-helper.sock
    SMUXSHIM_ROUTES=127.0.0.1 LD_PRELOAD=$library run probe
    assert_output ENETUNREACH
    SMUXSHIM_ROUTES="127.0.0.1 on-failure=direct" LD_PRELOAD=$library run probe
    assert_output connected
}

@test "a program that changes its root still finds the helper" {
    [ "$(id -u)" = 0 ] || fail "this needs root, for chroot"
    start_helper
    mkdir empty
    run via python3 -c "
import os, socket
socket.socket().close()
os.chroot('empty'); os.chdir('/')
s = socket.socket()
print(s.connect_ex(('127.0.0.1', $peer_port)))"
    assert_output 0
    assert_carried 1
}

@test "options that would change the wire format fail, so that programs fall back" {
    # On a direct connection some of them need privileges or kernel modules, so the oracle cannot
    # compare them.
    start_helper
    cat >program.py <<END
import errno, socket, struct
names = {"TCP_MD5SIG": 14, "TCP_REPAIR": 19, "TCP_REPAIR_QUEUE": 20, "TCP_QUEUE_SEQ": 21, "TCP_REPAIR_OPTIONS": 22,
         "TCP_REPAIR_WINDOW": 29, "TCP_ULP": 31, "TCP_MD5SIG_EXT": 32, "TCP_ZEROCOPY_RECEIVE": 35, "TCP_INQ": 36,
         "TCP_AO_ADD_KEY": 38, "TCP_AO_DEL_KEY": 39, "TCP_AO_INFO": 40, "TCP_AO_GET_KEYS": 41, "TCP_AO_REPAIR": 42}
def result(call, *arguments):
    try:
        call(*arguments)
        return "0"
    except OSError as error:
        return errno.errorcode[error.errno]
sock = socket.create_connection(("127.0.0.1", $peer_port))
for name, number in names.items():
    value = b"tls" if name == "TCP_ULP" else struct.pack("i", 1)
    print(name, result(sock.setsockopt, socket.IPPROTO_TCP, number, value),
          result(sock.getsockopt, socket.IPPROTO_TCP, number, 64))
print("SO_ZEROCOPY", result(sock.setsockopt, socket.SOL_SOCKET, 60, 1))
END
    run via python3 program.py
    assert_success
    assert_line "SO_ZEROCOPY ENOTSUP"
    assert_equal "$(grep -c ' ENOPROTOOPT ENOPROTOOPT$' <<<"$output")" 15
}

# ---- What it costs ------------------------------------------------------------------------------

# traced COMMAND...: writes the command's system calls to `trace`. The program is named by its path,
# because the search in PATH and version managers would be traced, too.
traced() { strace -f -o trace "$@" >/dev/null 2>&1; }
python() { python3 -c 'import sys; print(sys.executable)'; }
# Removes what differs from run to run: ids of processes and threads (of any length, as a namespace
# begins at 1), addresses, ports, random bytes, times.
comparable() {
    sed -E 's/^[0-9]+ +//; /^(---|\+\+\+|getrandom|sysinfo)/d; s/^(get[tp]+id\(\)) .*/\1/; s/0x[0-9a-f]+/ADDRESS/g; s/htons\([0-9]+\)/PORT/g; s/\b[0-9]{4,}\b/NUMBER/g' trace
}
# Removes what the loader does for one more library, and what depends on where it maps things.
no_loading() { grep -vE '^(brk|mmap|munmap|mprotect|openat|read|fstat|newfstatat|close|pread64|execve|set_tid_address|prlimit64|rseq|set_robust_list|arch_prctl|access|getdents64)\('; }

@test "a program that never connects makes no additional system call" {
    cat >program.py <<END
import socket, select
a, b = socket.socketpair()
a.send(b'x'); b.recv(1)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
u.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
l = socket.create_server(('127.0.0.1', 0))
e = select.epoll(); e.register(l)
l.getsockname()
open('/dev/null', 'w').write('x')
END
    local python
    python=$(python)
    traced "$python" -S program.py
    comparable | no_loading >without
    SMUXSHIM_ROUTES='*' traced -E LD_PRELOAD="$library" "$python" -S program.py
    comparable | no_loading >with
    [ "$(wc -l <without)" -gt 20 ]
    diff without with
}

@test "a connect that is not routed makes no additional system call" {
    # The settings are mapped at the first connect, so mappings are not compared.
    local script="import socket; s = socket.socket(); s.connect(('127.0.0.1', $peer_port)); s.getpeername(); s.getsockname(); s.setsockopt(6, 1, 1)"
    traced "$(python)" -S -c "$script"
    comparable | no_loading >without
    SMUXSHIM_ROUTES=192.0.2.1 traced -E LD_PRELOAD="$library" "$(python)" -S -c "$script"
    comparable | no_loading >with
    grep -q '^connect(' without
    diff without with
}

# Most system calls made for a connection of ours differ from those of the program itself.
@test "a reused descriptor number of a former connection costs no system call and behaves as libc's" {
    start_helper
    cat >program.c <<END
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
static int listener, pair[2];
static struct sockaddr_in to = {.sin_family = AF_INET};
/* The lowest free number becomes that of a connection that has been closed. */
static int stale(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        exit(1);
    return close(fd), fd;
}
static void used(int expected, int fd) {
    char bytes[4];
    getppid();
    if (fd != expected)
        exit(2);
    write(fd, "x", 1);
    read(fd, bytes, 4);
    write(fd, "y", 1);
    recv(fd, bytes, 4, 0);
    close(fd);
    getuid();
}
static void client(void) {
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    getsockname(listener, (struct sockaddr *)&addr, &len);
    connect(fd, (struct sockaddr *)&addr, len);
    send(fd, "12345678", 8, 0);
    dup2(fd, 100);
    close(fd);
}
static int passed(int sent) {
    union { char bytes[CMSG_SPACE(sizeof sent)]; struct cmsghdr align; } control = {
        .align = {CMSG_LEN(sizeof sent), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec iov = {"f", 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.align), &sent, sizeof sent);
    sendmsg(pair[0], &msg, 0);
    char byte;
    iov.iov_base = &byte;
    recvmsg(pair[1], &msg, 0);
    memcpy(&sent, CMSG_DATA(&control.align), sizeof sent);
    return sent;
}
int main(int argc, char **argv) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    int fds[2], fd;
    to.sin_port = htons(atoi(argv[1]));
    to.sin_addr = own.sin_addr;
    own.sin_addr.s_addr = htonl(0x7fc80002);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&own, sizeof own);
    listen(listener, 5);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    client(), fd = stale(), used(fd, accept(listener, NULL, NULL));
    client(), fd = stale(), used(fd, accept4(listener, NULL, NULL, 0));
    client(), fd = stale(), used(fd, syscall(SYS_accept4, listener, NULL, NULL, 0));
    fd = stale(), socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    write(fds[1], "12345678", 8), used(fd, fds[0]), close(fds[1]);
    client(), dup2(accept(listener, NULL, NULL), 101), close(fd), fd = stale(), used(fd, passed(101));
    int self = syscall(SYS_pidfd_open, getpid(), 0);
    client(), dup2(accept(listener, NULL, NULL), 101), close(self + 1), fd = stale();
    used(fd, syscall(SYS_pidfd_getfd, self, 101, 0));
}
END
    cc -w -D_GNU_SOURCE program.c -o program
    traced ./program "$peer_port"
    comparable | awk '/^getppid/ { on = 1 } on; /^getuid/ { on = 0 }' >without
    SMUXSHIM_SOCKET=$BATS_TEST_TMPDIR/smuxshim-helper.sock SMUXSHIM_ROUTES=127.0.0.1 \
        traced -E LD_PRELOAD="$library" ./program "$peer_port"
    comparable | awk '/^getppid/ { on = 1 } on; /^getuid/ { on = 0 }' >with
    [ "$(grep -c '^write(' without)" -eq 12 ]
    assert_carried 6
    diff without with
}

@test "two sockets, a connect, an accept, a socketpair and a message cost few additional instructions" {
    cat >program.c <<END
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7fc80002)};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fds[2];
    bind(listener, (struct sockaddr *)&addr, len);
    listen(listener, 5);
    getsockname(listener, (struct sockaddr *)&addr, &len);
    for (int i = 0; i < atoi(argv[1]); i++) {
        char byte, control[64];
        struct iovec iov = {&byte, 1};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 64};
        int client = socket(AF_INET, SOCK_STREAM, 0);
        connect(client, (struct sockaddr *)&addr, len);
        close(accept(listener, NULL, NULL));
        close(client);
        socketpair(AF_UNIX, SOCK_DGRAM, 0, fds);
        send(fds[0], "x", 1, 0);
        recvmsg(fds[1], &msg, 0);
        close(fds[0]), close(fds[1]);
    }
}
END
    cc -w -D_GNU_SOURCE program.c -o program
    local without with
    without=$((($(library='' instructions ./program 600) - $(library='' instructions ./program 300)) / 300))
    with=$((($(SMUXSHIM_ROUTES=192.0.2.1 instructions ./program 600) - $(SMUXSHIM_ROUTES=192.0.2.1 instructions ./program 300)) / 300))
    [ "$with" -lt $((without + 1200)) ] || fail "$with instructions, $without without the library"
}

@test "a routed connect costs thirteen system calls, a blocking one sixteen" {
    start_helper
    local script="import socket; s = socket.socket(); s.setblocking(%s); s.connect_ex(('127.0.0.1', $peer_port)); print(end='', flush=True); import os; os.getppid()"
    export SMUXSHIM_SOCKET=$BATS_TEST_TMPDIR/smuxshim-helper.sock SMUXSHIM_ROUTES=127.0.0.1
    # shellcheck disable=SC2059 # the script is the format
    traced -E LD_PRELOAD="$library" "$(python)" -S -c "$(printf "$script" False)"
    local calls
    calls=$(cost)
    [ "$calls" -le 13 ] || fail "$calls system calls: $(cat part)"
    # shellcheck disable=SC2059
    traced -E LD_PRELOAD="$library" "$(python)" -S -c "$(printf "$script" True)"
    calls=$(cost)
    [ "$calls" -le 16 ] || fail "$calls system calls: $(cat part)"
}

@test "a routed connect of a registered socket costs two more system calls for each epoll set" {
    start_helper
    local script="
import socket, select, os
sets = [select.epoll() for i in range(%s)]
for i in range(2):  # the second has the number of the first, which was in another set
    s = socket.socket(); s.setblocking(False)
    for e in sets[i:i + %s]: e.register(s)
    s.connect_ex(('127.0.0.1', $peer_port)); print(end='', flush=True); os.getppid(); s.close()"
    export SMUXSHIM_SOCKET=$BATS_TEST_TMPDIR/smuxshim-helper.sock SMUXSHIM_ROUTES=127.0.0.1
    local calls none n
    for n in 0 1 2; do
        # shellcheck disable=SC2059 # the script is the format
        traced -E LD_PRELOAD="$library" "$(python)" -S -c "$(printf "$script" 3 $n)"
        calls=$(cost)
        : "${none:=$calls}"
        [ "$calls" -eq $((none + 2 * 2 * n)) ] || fail "$n sets, $calls system calls: $(cat part)"
    done
}

# The registry once kept the registrations of closed descriptors until its table was full, and
# searched the whole table in every call: 58,000 instructions for each socket.
@test "sockets repeatedly closed while in many epoll sets do not slow epoll_ctl down" {
    cat >program.c <<END
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int sets[16], fds[400];
    struct epoll_event event = {.events = EPOLLOUT};
    for (int i = 0; i < 16; i++)
        sets[i] = epoll_create1(0);
    for (int round = 0; round < atoi(argv[1]); round++) {
        for (int i = 0; i < 400; i++) {
            fds[i] = socket(AF_INET, atoi(argv[2]), 0);
            epoll_ctl(sets[(i + round) % 16], EPOLL_CTL_ADD, fds[i], &event);
        }
        for (int i = 0; i < 400; i++)
            close(fds[i]);
    }
}
END
    cc -w -D_GNU_SOURCE program.c -o program
    local type each
    for type in 1 2; do # TCP, UDP
        each=$((($(instructions ./program 24 $type) - $(instructions ./program 12 $type)) / 4800))
        [ "$each" -lt 600 ] || fail "type $type: $each instructions for socket, epoll_ctl and close"
    done
}

# instructions COMMAND...: prints how many instructions the command executes in user space, with the
# library.
instructions() {
    SMUXSHIM_ROUTES=${SMUXSHIM_ROUTES:-*} LD_PRELOAD=$library timeout 60 valgrind --tool=callgrind \
        --callgrind-out-file=/dev/null "$@" 2>&1 | grep -oP 'Collected : \K\d+'
}

@test "if kcmp is forbidden, the sets' fdinfo is read instead" {
    write_smuxshim_conf 127.0.0.1
    start_helper
    "$BUILD/oracle/epoll_unseen" >without
    via strace -f -qq -o trace -e inject=kcmp:error=EPERM "$BUILD/oracle/epoll_unseen" >with
    grep -q kcmp trace
    diff without with
}

# The socket and its set are inherited over exec, so /proc must be read, which takes descriptors.
@test "too few descriptors to look up epoll registrations: EMFILE, and nothing is lost" {
    start_helper
    cat >program.py <<'END'
import errno, os, resource, select, socket, sys
if len(sys.argv) == 2:
    s, e = socket.socket(), select.epoll()
    e.register(s, select.EPOLLOUT | select.EPOLLET)
    for fd in s.fileno(), e.fileno(): os.set_inheritable(fd, True)
    os.execv(sys.executable, [sys.executable, '-S', *sys.argv, str(s.fileno()), str(e.fileno())])
s, e = socket.socket(fileno=int(sys.argv[2])), select.epoll.fromfd(int(sys.argv[3]))
s.setblocking(False)
to = '127.0.0.1', int(sys.argv[1])
taken, (soft, hard) = [], resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
try:
    while True: taken.append(os.dup(0))
except OSError: pass
for free in range(4):
    e.poll(0)
    print(errno.errorcode[s.connect_ex(to)])
    os.close(taken.pop())
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(e.poll(30) == [(s.fileno(), select.EPOLLOUT)], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
END
    run via "$(python)" -S program.py "$peer_port"
    assert_output "EMFILE
EMFILE
EMFILE
EINPROGRESS
True 0"
    assert_carried 1
}

# Counts the system calls from the first one on the socket until connect returns. The unreadable
# page and the settings are mapped once in a process and do not count.
cost() {
    comparable | awk '/TCP_INFO/ { on = 1 } /getppid/ { on = 0 } on' | grep -v '^m' >part
    wc -l <part
}

@test "the library exports the table of hooks and libc's aliases, and nothing else" {
    { grep -oP '^HOOK(_VARIADIC)?\([^,]*, \K\w+' "$root/shim/base/libc.def"
      printf '__%s\n' read_chk recv_chk recvfrom_chk connect read write send; } | sort >expected
    nm -D --defined-only "$library" | awk '{ print $3 }' | sort >exported
    diff expected exported
    # The names must have no symbol version, or the loader would not bind them in place of libc's.
    refute grep -q @ exported
}

# Headers of glibc 2.38 and later give sscanf another name, and the library that is built there a newer libc.
@test "the library requires no newer libc than the functions that it calls" {
    objdump -T "$library" | grep -v ' __isoc23_' | grep -oP 'GLIBC_\K[0-9.]+' | sort -uV >versions
    assert_equal "$(tail -n 1 versions)" 2.34
}

@test "when loaded, the library starts no thread, opens nothing and prints nothing" {
    run preloaded sh -c 'ls /proc/$$/fd; ls /proc/$$/task | wc -l'
    assert_output "$(sh -c 'ls /proc/$$/fd; ls /proc/$$/task | wc -l')"
}

# with_allocator NAME: preloads the allocator before and after the library. Hooks must not allocate,
# because an allocator may open files while it initializes.
with_allocator() {
    local allocator order
    allocator=$(ldconfig -p | awk -v name="$1" 'index($1, name) == 1 { print $NF; exit }')
    [ -n "$allocator" ] || fail "$1 is not installed"
    for order in "$allocator:$library" "$library:$allocator"; do
        LD_PRELOAD=$order run timeout 20 python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
        assert_output connected
    done
}

@test "other allocators work, preloaded before or after the library" {
    start_helper
    export SMUXSHIM_SOCKET=$BATS_TEST_TMPDIR/smuxshim-helper.sock SMUXSHIM_ROUTES=127.0.0.1
    with_allocator libjemalloc.so
    with_allocator libtcmalloc_minimal.so
}

@test "programs built with a sanitizer, whose runtime comes first, work" {
    write_smuxshim_conf 127.0.0.1
    start_helper
    cc -w -g -fsanitize=address -I"$root" -D_GNU_SOURCE "$root/tests/oracle/data.c" -o program
    ASAN_OPTIONS=detect_leaks=0 ./program >without
    ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$(cc -print-file-name=libasan.so) via ./program >with
    diff without with
}

@test "valgrind finds no errors in programs with the library" {
    write_smuxshim_conf 127.0.0.1
    start_helper
    run via valgrind -q --error-exitcode=9 "$BUILD/oracle/epoll_sets"
    assert_success
    refute_output --partial '=='
}
