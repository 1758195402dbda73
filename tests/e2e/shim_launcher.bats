#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The launcher: what it exports, starts and warns about, and its exit status.

load lib

setup() {
    direct && skip "there is no launcher without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    start_peer
    start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
}

teardown() {
    [ ! -e autostarted ] || stop "$(cat autostarted)"
    [ ! -e runtime ] || end_helpers
    stop_all
    show_logs
}

shim() { "$BUILD/smuxshim" -c "$smuxshim_conf" "$@"; }

@test "the program gets the effective routes, the socket and the library" {
    start_helper
    run shim env
    assert_success
    assert_line --regexp "^SMUXSHIM_ROUTES=127\.0\.0\.1:$peer_port name=test gateway=main "
    assert_line "SMUXSHIM_SOCKET=$BATS_TEST_TMPDIR/smuxshim-helper.sock"
    assert_line "LD_PRELOAD=$BUILD/libsmuxshim.so"
}

@test "an existing LD_PRELOAD stays in front, and our library is added once" {
    start_helper
    local libm
    libm=$(ldconfig -p | awk '/libm\.so\.6/ { print $NF; exit }')
    LD_PRELOAD=$libm run shim "$BUILD/smuxshim" -c "$smuxshim_conf" env
    assert_line "LD_PRELOAD=$libm:$BUILD/libsmuxshim.so"
}

@test "an inner smuxshim's file overrides what the outer one exported" {
    start_helper
    sed 's/^destinations.*/destinations = 192.0.2.1:1/' "$smuxshim_conf" >inner.conf
    run shim "$BUILD/smuxshim" -c "$PWD/inner.conf" env
    assert_line --regexp '^SMUXSHIM_ROUTES=192\.0\.2\.1:1 '
}

@test "the exit status is the program's" {
    start_helper
    run -7 shim sh -c 'exit 7'
    run -127 shim ./nonexisting
    assert_output --partial nonexisting
    run -126 shim "$PWD"
}

@test "usage errors: one line and status 2" {
    run -2 "$BUILD/smuxshim"
    assert_line --partial 'expected a PROGRAM'
    run -2 "$BUILD/smuxshim" -c "$smuxshim_conf" -r '*' true
    assert_output --partial 'not both'
    run -2 "$BUILD/smuxshim" -g tcp://127.0.0.1:1 -r '10.0.0.1:x' true
    assert_output --partial 'expected a port'
    HOME=/nonexisting run -2 "$BUILD/smuxshim" true
    assert_output --partial 'nothing is routed'
    SMUXSHIM_SOCKET=/tmp/other.sock run -2 shim true
    assert_output --partial 'smuxshim-helper.sock'
}

@test "all four programs have --help, --version and a long name for each short option" {
    local program letter
    for program in smuxshim smux-helper smux-gateway smuxctl; do
        for option in --help -h; do
            run --separate-stderr "$BUILD/$program" $option
            assert_success
            assert_line --regexp "^Usage: $program "
            assert_equal "$stderr" ""
            refute_output --regexp '^ *-[a-zA-Z] '
        done
        for letter in $(grep -oE '^ +-[a-zA-Z],? ' <<<"$output" | tr -d ' ,'); do
            grep -qE "^ +$letter, --[a-z-]+" <<<"$output" || fail "$program: $letter has no long name"
        done
        for option in --version -V; do
            run --separate-stderr "$BUILD/$program" $option
            assert_success
            assert_output --regexp "^$program [0-9]+\.[0-9]+\.[0-9]+$"
        done
        run --separate-stderr "$BUILD/$program" --nonsense
        assert_failure 2
        assert_output ""
        assert_equal "$stderr" "$program: unknown option --nonsense; see $program --help"
    done
}

@test "if no helper answers it starts one, which outlives the program" {
    sed -i 's/^autostart.*/autostart = yes/' "$smuxshim_conf"
    run shim python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    local pid
    pid=$(ctl status --json | jq .pid)
    echo "$pid" >autostarted
    # It has its own session, and none of our descriptors.
    [ "$(ps -o sid= -p "$pid" | tr -d ' ')" != "$(ps -o sid= -p $$ | tr -d ' ')" ]
    assert_equal "$(readlink "/proc/$pid/fd/0")" /dev/null
    assert_equal "$(readlink "/proc/$pid/fd/1")" /dev/null
    refute grep -q libsmuxshim "/proc/$pid/maps"
    # The next launcher uses the same helper.
    run shim python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    assert_equal "$(ctl status --json | jq .pid)" "$pid"
}

@test "many launchers at once start one helper" {
    sed -i 's/^autostart.*/autostart = yes/' "$smuxshim_conf"
    local i pids=()
    for i in 1 2 3 4 5 6; do
        shim python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port" >"out.$i" 2>&1 3>&- 4>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    ctl status --json | jq .pid >autostarted
    assert_equal "$(sort out.* | uniq -c | tr -s ' ')" " 6 connected"
    assert_equal "$(carriers)" 1
}

@test "with autostart = no and no helper: one line and status 1" {
    run -1 shim touch started
    assert_output --partial 'autostart = no'
    refute [ -e started ]
}

# warns WHAT PROGRAM...
warns() {
    local what=$1
    shift
    run --separate-stderr shim "$@"
    [[ $stderr == *"warning:"*"$what"* ]] || fail "expected a warning of '$what' in: $stderr"
}

@test "programs that cannot be preloaded are reported, with advice" {
    start_helper
    printf 'int main(void) { return 0; }\n' >program.c
    cc -static program.c -o static
    warns "static cannot be preloaded: it is statically linked" ./static
    printf '#!%s/static\n' "$PWD" >script
    chmod +x script
    warns "$PWD/static cannot be preloaded" ./script
    cp static /tmp/smuxshim-static.$$
    PATH=/tmp:$PATH warns "statically linked" smuxshim-static.$$
    rm /tmp/smuxshim-static.$$
    printf 'void _start(void) { for (;;) __asm__ volatile("syscall" : : "a"(60), "D"(0)); }\n' >bare.c
    cc -nostdlib -nodefaultlibs -fPIE -pie -Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2 bare.c -o bare
    warns "without libc" ./bare
    cat >dynamic.c <<'END'
__asm__(".pushsection .note.go.buildid, \"a\", @note\n.long 4, 4, 4\n.asciz \"Go\"\n.byte 0\n.ascii \"id12\"\n.popsection");
int main(void) { return 0; }
END
    cc dynamic.c -o dynamic
    warns "Go program" ./dynamic
    cp "$(type -P true)" other
    printf '\x01' | dd of=other bs=1 seek=4 conv=notrunc status=none
    warns "another machine or word size" ./other
}

@test "a Go program is recognized, however it was linked" {
    start_helper
    mkdir go
    printf 'package main\n\nfunc main() {}\n' >go/main.go
    (cd go && GO111MODULE=off GOCACHE="$BATS_TEST_TMPDIR/cache" CGO_ENABLED=0 go build -o ../go-program main.go)
    warns "go-program cannot be preloaded: it is a Go program" ./go-program
}

@test "setuid programs are reported unless they gain no privileges" {
    [ "$(id -u)" = 0 ] || fail "this needs root, to make a program of another user's"
    start_helper
    cp "$(type -P true)" program
    chown nobody program
    chmod 4755 program
    warns "raises its privileges" ./program
    chown root program
    chmod 4755 program
    run --separate-stderr shim ./program
    assert_equal "$stderr" ""
}

@test "ordinary programs and scripts cause no warning" {
    start_helper
    printf '#!/usr/bin/env python3\nprint("hello")\n' >script
    chmod +x script
    for program in true ./script "/bin/sh -c :"; do
        # shellcheck disable=SC2086 # a program and its arguments
        run --separate-stderr shim $program
        assert_success
        assert_equal "$stderr" ""
    done
}

@test "-v reports what the launcher does" {
    start_helper
    run shim -v true
    assert_output --partial "$BATS_TEST_TMPDIR/smuxshim-helper.sock"
}

@test "the launcher leaves the program no child process" {
    sed -i 's/^autostart.*/autostart = yes/' "$smuxshim_conf"
    cat >program.py <<END
import os
try:
    print('a child', os.waitpid(-1, 0))
except ChildProcessError:
    print('none')
END
    local i
    for i in 1 2 3 4 5; do
        run shim python3 program.py
        assert_output none
        stop "$(ctl status --json | jq .pid)"
    done
}

# ---- Which helper -------------------------------------------------------------------------------

# other_gateway: starts a second gateway, whose sessions are logged in other.log.
other_gateway() {
    other_port=$(free_port)
    sed "s/^address.*/address = $carrier:\/\/127.0.0.1:$other_port/" "$gateway_conf" >other-gateway.conf
    serve other "$other_port" "$BUILD/smux-gateway" -c other-gateway.conf
}

# unshared: puts the usual socket path into this test's folder; helpers started there are stopped at
# the end.
unshared() {
    export XDG_RUNTIME_DIR=$PWD/runtime
    mkdir "$XDG_RUNTIME_DIR"
}

end_helpers() {
    local socket
    for socket in "$XDG_RUNTIME_DIR"/smuxshim/*.sock "$XDG_RUNTIME_DIR"/smuxshim/*/smuxshim-helper.sock; do
        [ ! -S "$socket" ] || SMUXSHIM_SOCKET=$(dirname "$socket")/smuxshim-helper.sock "$BUILD/smuxctl" stop || true
    done
}

sockets() { find "$XDG_RUNTIME_DIR" -name smuxshim-helper.sock | wc -l; }
sessions() { grep -c 'session begins' "$1.log" || true; }

@test "-g with another gateway uses that gateway, whatever helper is already running" {
    over_tcp "the command line names no secret"
    unshared
    other_gateway
    local routes=127.0.0.1:$peer_port
    run --separate-stderr "$BUILD/smuxshim" -g "tcp://127.0.0.1:$gateway_port" -r "$routes" \
        python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    assert_equal "$(sessions gateway) $(sessions other)" "1 0"
    run --separate-stderr "$BUILD/smuxshim" -g "tcp://127.0.0.1:$other_port" -r "$routes" \
        python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    assert_equal "$(sessions gateway) $(sessions other)" "1 1"
    # A second run uses the same helper.
    run --separate-stderr "$BUILD/smuxshim" -g "tcp://127.0.0.1:$other_port" -r "$routes" \
        python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    assert_equal "$(sessions gateway) $(sessions other) $(sockets)" "1 1 2"
}

@test "a launcher with other routes is not refused by the helper of the first" {
    over_tcp "the command line names no secret"
    unshared
    "$BUILD/smuxshim" -g "tcp://127.0.0.1:$gateway_port" -r 192.0.2.1 true
    run --separate-stderr "$BUILD/smuxshim" -g "tcp://127.0.0.1:$gateway_port" -r "127.0.0.1:$peer_port" \
        python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
}

@test "a configuration file without a socket gets its own helper, and smuxctl -c finds it" {
    unshared
    other_gateway
    sed -i -e '/^socket/d' -e 's/^autostart.*/autostart = yes/' "$smuxshim_conf"
    sed "s/^address.*/address = $carrier:\/\/127.0.0.1:$other_port/" "$smuxshim_conf" >other.conf
    mkdir -p xdg/smuxshim
    cp "$smuxshim_conf" xdg/smuxshim/smuxshim.conf
    # A configuration file in the usual place uses the usual socket path.
    XDG_CONFIG_HOME=$PWD/xdg "$BUILD/smuxshim" true
    assert [ -S "$XDG_RUNTIME_DIR/smuxshim/smuxshim-helper.sock" ]
    run --separate-stderr "$BUILD/smuxshim" -c other.conf python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    assert_equal "$(sessions other)" 1
    assert_equal "$("$BUILD/smuxctl" -c other.conf status --json | jq -r '.sessions[0].address')" "$carrier://127.0.0.1:$other_port"
    # So does the library without the launcher.
    SMUXSHIM_CONFIG=$PWD/other.conf LD_PRELOAD=$BUILD/libsmuxshim.so run \
        python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    assert_equal "$(sessions other) $(sockets)" "1 2"
}

# ---- Versions -----------------------------------------------------------------------------------

@test "a shim and a helper of different control versions: EPROTO, and both sides report both versions" {
    start_helper
    make -s -C "$root" V=1 BUILD="$PWD/v7" OPT=-O0 CFLAGS=-DHELPER_PROTOCOL_VERSION=7 "$PWD/v7/libsmuxshim.so" >make.log 2>&1
    cat >program.py <<END
import errno, select, socket
for blocking in (True, False):
    for _ in range(2):
        s = socket.socket()
        s.setblocking(blocking)
        error = s.connect_ex(('127.0.0.1', $peer_port))
        if error == errno.EINPROGRESS:
            select.select([], [s], [], 60)
            error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        print(errno.errorcode[error])
END
    SMUXSHIM_CONFIG=$smuxshim_conf LD_PRELOAD=$PWD/v7/libsmuxshim.so run --separate-stderr python3 program.py
    assert_output "EPROTO
EPROTO
EPROTO
EPROTO"
    assert_equal "$stderr" "smuxshim: connect refused: the helper speaks control version 1, this library 7: restart the older one"
    assert_equal "$(grep -c 'its shim speaks control version 7, this helper 1' helper.log)" 4
    # The helper has not been affected.
    run shim python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
}
