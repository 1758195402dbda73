#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A helper is its user's daemon: it must not depend on the program that happened to start it.

load lib

setup() {
    direct && skip "there is no helper without the shim"
    [ "$(id -u)" = 0 ] || fail "this needs root, for limits, namespaces and another user"
    cd "$BATS_TEST_TMPDIR" || return
    start_peer
    start_gateway
    runtime_dir=$(public_dir)
    log=$runtime_dir/helper.log
    helper_lines="log-file = $log" write_smuxshim_conf "127.0.0.1:$peer_port, *.internal:$peer_port"
    sed -i 's/^autostart.*/autostart = yes/' "$smuxshim_conf"
    mkdir "$runtime_dir/bin"
    cp "$BUILD"/{smuxshim,smux-helper,smuxctl,libsmuxshim.so} "$runtime_dir/bin"
    bin=$runtime_dir/bin
    cp "$fixtures/probe.py" "$runtime_dir"
    probe=(/usr/bin/python3 "$runtime_dir/probe.py" errno 127.0.0.1 "$peer_port")
    export LD_LIBRARY_PATH=
}

teardown() {
    local pid
    for pid in $(helpers); do stop "$pid"; done
    [ ! -e mounted ] || umount -l mounted
    stop_all
    show_logs
}

# Each has a process beside it that looks at others for it, with the same program.
helpers() {
    local pid
    find /proc/[0-9]*/exe -lname "*$bin/smux-helper" 2>/dev/null | grep -oE '[0-9]+' |
        while read -r pid; do grep -qsx smux-helper "/proc/$pid/comm" && echo "$pid"; done || true
}

# The three ways to start one; each is a command.
by_launcher() { "$bin/smuxshim" -c "$smuxshim_conf" "${probe[@]}"; }
by_library() { SMUXSHIM_CONFIG=$smuxshim_conf LD_PRELOAD=$bin/libsmuxshim.so "${probe[@]}"; }
by_hand() { "$bin/smux-helper" -c "$smuxshim_conf"; }
export -f by_launcher by_library by_hand

# with_burdens WAY: starts one from a shell that has everything which must not be inherited.
with_burdens() {
    export smuxshim_conf bin
    cat >burdened.sh <<END
probe=(${probe[*]@Q})
umask 077
ulimit -Sf 100
ulimit -St 100
ulimit -Sn 64
trap '' HUP TERM USR1 XFSZ
exec 17>burden
echo 400 >/proc/self/oom_score_adj
mkdir -p there && cd there
$1
END
    nice -n 7 ionice -c 3 chrt --batch 0 taskset -c 0 \
        "$BATS_TEST_TMPDIR/reserved" bash burdened.sh 3>&- 4>&- </dev/null
}

# limit_of PID NAME: prints the soft and the hard limit.
limit_of() { awk -v name="$2" 'index($0, name) == 1 { print $(NF - 2), $(NF - 1) }' "/proc/$1/limits"; }

@test "the helper inherits nothing from the process that starts it, whichever way it is started" {
    local way pid
    cc -w -D_GNU_SOURCE "$fixtures/reserved.c" -o reserved
    for way in by_launcher by_library by_hand; do
        echo "# $way"
        run with_burdens $way
        assert_success
        pid=$(helpers)
        assert alive "$pid"
        assert_equal "$(limit_of "$pid" 'Max file size')" "unlimited unlimited"
        assert_equal "$(limit_of "$pid" 'Max cpu time')" "unlimited unlimited"
        [ "$(limit_of "$pid" 'Max open files' | cut -d' ' -f1)" = "$(ulimit -Hn)" ]
        assert_equal "$(ps -o ni=,cls= -p "$pid" | tr -s ' ')" " 0 TS"
        assert_equal "$(taskset -p "$pid" | awk '{ print $NF }')" "$(taskset -p 1 | awk '{ print $NF }')"
        assert_equal "$(ionice -p "$pid")" "none: prio 0"
        assert_equal "$(cat "/proc/$pid/oom_score_adj")" 0
        assert_equal "$(awk '/^Umask/ { print $2 }' "/proc/$pid/status")" 0022
        assert_equal "$(readlink "/proc/$pid/cwd")" /
        assert_equal "$(readlink "/proc/$pid/fd/"* | grep -c burden)" 0
        assert_equal "$(readlink "/proc/$pid/fd/"[012] | sort -u)" /dev/null
        assert_equal "$(awk '/^SigIgn/ { print $2 }' "/proc/$pid/status")" 0000000001801000
        assert_equal "$(ps -o tty= -p "$pid" | tr -d ' ')" "?"
        [ "$(ps -o sid= -p "$pid" | tr -d ' ')" != "$(ps -o sid= -p $$ | tr -d ' ')" ]
        refute grep -q "inherited from the program" "$log"
        stop "$pid"
        rm -f "$log"
    done
}

# as_nobody WAY: starts one with hard limits that an ordinary user cannot raise.
as_nobody() {
    secret_for nobody
    chown -R 65534:65534 "$runtime_dir"
    cat >"$runtime_dir/limited.sh" <<END
smuxshim_conf=$smuxshim_conf bin=$bin
probe=(${probe[*]@Q})
ulimit -f ${blocks:-8}
ulimit -n 1000
ulimit -t 500
$1
END
    (cd / && nice -n 5 setpriv --reuid=65534 --regid=65534 --clear-groups bash "$runtime_dir/limited.sh" 3>&- 4>&- </dev/null)
}

@test "a hard limit that an ordinary user cannot raise is reported in one line" {
    local way
    for way in by_launcher by_library by_hand; do
        run as_nobody $way
        assert_success
        wait_until "the line" grep -q "inherited from the program that started it" "$log"
        assert_equal "$(grep -c inherited "$log")" 1
        grep -q "kept for want of permission: nice value $(($(nice) + 5)), at most 1000 open files, at most 8192 bytes in a file, at most 500 CPU seconds$" "$log"
        stop "$(helpers)"
        rm -f "$log"
    done
}

# names_work COUNT: looks up COUNT names and connects to each, as a later program would.
names_work() {
    cat >"$runtime_dir/names.py" <<END
import socket, sys
done = 0
for i in range($1):
    name = 'name-of-a-host-that-only-the-gateway-knows-%04d.internal' % i
    address = socket.getaddrinfo(name, $peer_port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
    done += address[0].startswith('198.18.')
    socket.create_connection(('127.0.0.1', $peer_port)).close()
print(done)
END
    "$bin/smuxshim" -c "$smuxshim_conf" /usr/bin/python3 "$runtime_dir/names.py"
}

@test "a file size limit costs no connection and no name" {
    run as_nobody by_launcher
    assert_success
    local pid
    pid=$(helpers)
    run names_work 300
    assert_output 300
    assert_equal "$(helpers)" "$pid"
    run by_launcher
    assert_output connected
}

@test "a full disk costs no connection and no name, and names are stored when there is room again" {
    mkdir mounted
    mount -t tmpfs -o size=512k,mode=755 none mounted
    runtime_dir=$PWD/mounted helper_lines="log-file = $PWD/mounted/helper.log" write_smuxshim_conf \
        "127.0.0.1:$peer_port, *.internal:$peer_port"
    sed -i 's/^autostart.*/autostart = yes/' "$smuxshim_conf"
    runtime_dir=$(dirname "$bin")
    by_launcher
    run names_work 1
    assert_output 1
    local pid
    pid=$(helpers)
    head -c 1000000 /dev/zero >mounted/filler || true
    run names_work 300
    assert_output 300
    assert_equal "$(helpers)" "$pid"
    rm mounted/filler
    sed -i 's/name-of-a/new-name-of-a/' "$runtime_dir/names.py"
    "$bin/smuxshim" -c "$smuxshim_conf" /usr/bin/python3 "$runtime_dir/names.py"
    stop "$pid"
    by_launcher
    assert_equal "$("$bin/smuxctl" -c "$smuxshim_conf" names --json | jq length)" 600
}

@test "a program's soft limit of 64 descriptors does not limit the helper that later programs use" {
    bash -c "$(declare -f by_launcher); probe=(${probe[*]@Q}); smuxshim_conf=$smuxshim_conf bin=$bin; ulimit -Sn 64; by_launcher" 3>&- 4>&-
    cat >many.py <<END
import socket
held = [socket.create_connection(('127.0.0.1', $peer_port)) for _ in range(200)]
print(len(held))
END
    run "$bin/smuxshim" -c "$smuxshim_conf" /usr/bin/python3 many.py
    assert_output 200
}

@test "the file system from which a helper was started can be unmounted" {
    mkdir mounted
    mount -t tmpfs none mounted
    (cd mounted && by_launcher 3>&- 4>&-)
    assert [ -n "$(helpers)" ]
    umount mounted
}

@test "reload finds a configuration that was given by a relative path" {
    (cd "$runtime_dir" && SMUXSHIM_CONFIG=smuxshim.conf "$bin/smux-helper" 3>&- 4>&-)
    run "$bin/smuxctl" -c "$smuxshim_conf" reload
    assert_success
    stop "$(helpers)"
    (cd "$runtime_dir" && "$bin/smux-helper" -c smuxshim.conf 3>&- 4>&-)
    run "$bin/smuxctl" -c "$smuxshim_conf" reload
    assert_success
}

# An init that waits for all its children, as that of bwrap does.
write_init() {
    cat >init.py <<END
import ctypes, os, sys
if os.getpid() != 1:
    ctypes.CDLL(None).prctl(36, 1) # PR_SET_CHILD_SUBREAPER
pid = os.fork()
if pid == 0:
    os.execvp('bash', ['bash', '-c', 'probe=(${probe[*]}); smuxshim_conf=$smuxshim_conf; bin=$bin; ' + sys.argv[1]])
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
END
}

in_pid_namespace() {
    own_mounts timeout 120 unshare --pid --fork sh -c 'mount -t proc proc /proc && exec "$@"' - "$@"
}

@test "an init or a subreaper that waits for all its children is not blocked by the helper" {
    write_init
    local way said namespace
    for way in by_launcher by_library; do
        for namespace in in_pid_namespace "timeout 120"; do
            # shellcheck disable=SC2086 # a command and its arguments
            said=$($namespace python3 init.py "$(declare -f $way); $way" 3>&- 4>&-)
            assert_equal "$said" connected
            assert_equal "$(helpers)" ""
            # If the program is slow to begin, it finds another helper, which reports the same
            # again.
            assert_equal "$(grep -c 'started in a PID namespace\|started below a process that has made itself its init' "$log")" \
                "$(grep -c ' listening at ' "$log")"
            assert [ -s "$log" ]
            rm "$log"
        done
    done
}

@test "a helper in a PID namespace does not count as idle while requests come now and then" {
    cat >"$runtime_dir/often.py" <<END
import socket, time
for _ in range(16):
    socket.create_connection(('127.0.0.1', $peer_port)).close()
    time.sleep(0.5)
END
    in_pid_namespace "$bin/smuxshim" -c "$smuxshim_conf" /usr/bin/python3 "$runtime_dir/often.py" 3>&- 4>&-
    assert_equal "$(grep -c 'listening at' "$log")" 1
}

@test "a helper that was started by hand keeps running, even in a PID namespace" {
    write_init
    spawn init python3 init.py "$(declare -f by_hand); by_hand"
    wait_until "the line" grep -qE "(may wait for it|takes it along when it ends)$" "$log"
    sleep 8
    assert [ -n "$(helpers)" ]
}

# looks_private PID: another process of the user cannot read its memory, and it dumps no core.
looks_private() {
    [ "$(stat -c %u "/proc/$1/environ")" = 0 ] && [ "$(limit_of "$1" 'Max core file size')" = "0 0" ]
}

@test "helper and gateway dump no core and their memory cannot be read, unless core-dumps = yes" {
    local pid port
    port=$(free_port)
    run as_nobody by_hand
    assert_success
    pid=$(helpers)
    assert looks_private "$pid"
    stop "$pid"
    sed -i 's/^autostart.*/core-dumps = yes/' "$smuxshim_conf"
    run as_nobody by_hand
    assert_success
    pid=$(helpers)
    refute looks_private "$pid"
    cp "$BUILD/smux-gateway" "$bin"
    printf '[listen]\naddress = tcp://127.0.0.1:%s\n' "$port" >"$bin/gateway.conf"
    serve private "$port" as_user nobody "$bin/smux-gateway" -c "$bin/gateway.conf"
    assert looks_private "$spawned"
    stop "$spawned"
    echo "core-dumps = yes" >>"$bin/gateway.conf"
    serve private "$port" as_user nobody "$bin/smux-gateway" -c "$bin/gateway.conf"
    refute looks_private "$spawned"
}
