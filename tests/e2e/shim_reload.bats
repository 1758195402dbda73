#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The configuration file changes under plain LD_PRELOAD: however it is written, no connection of a
# running program bypasses the gateway.

load lib

setup() {
    direct && skip "there is no library without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    library=$BUILD/libsmuxshim.so
    start_peer
    start_gateway
    write_smuxshim_conf 127.0.0.1
    start_helper
    cp "$smuxshim_conf" own.conf
    export SMUXSHIM_CONFIG=$PWD/own.conf SMUXSHIM_LOG=$PWD/shim.log
}

teardown() {
    stop_all
    show_logs
}

probe() { LD_PRELOAD=$library python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"; }

# start_connecting: starts a program that connects repeatedly until `stop` exists, and then prints
# how often it has.
start_connecting() {
    cat >connecting.py <<END
import os, socket, time
n = 0
while not os.path.exists('stop'):
    socket.create_connection(('127.0.0.1', $peer_port)).close()
    n += 1
    if n == 1: open('running', 'w').close()
    time.sleep(0.002)
print(n)
END
    LD_PRELOAD=$library spawn connecting python3 connecting.py
    connecting=$spawned
    wait_until "the first connection" test -e running
}

# assert_none_direct: all connections of that program were streams.
assert_none_direct() {
    touch stop
    wait_until "the program to end" ended "$connecting"
    local made
    made=$(cat connecting.log)
    [ "$made" -gt 100 ] || fail "the program made $made connections"
    wait_until "all streams" eval "[ \"\$(streams_total)\" -ge $made ]"
    assert_equal "$(streams_total)" "$made"
}

ended() { ! alive "$1"; }

@test "while the file is rewritten thousands of times in many ways, no connection goes direct" {
    start_connecting
    cat >rewrite.py <<'END'
import os, random, shutil, sys, time
good = open('own.conf').read()
random.seed(int(sys.argv[1]))
def in_place(text):
    with open('own.conf', 'w') as f:
        cut = random.randrange(len(text) + 1)
        f.write(text[:cut]); f.flush()
        if random.random() < 0.3: time.sleep(0.003)
        f.write(text[cut:])
def renamed(text):
    open('new.conf', 'w').write(text)
    os.rename('new.conf', 'own.conf')
def gone(text):
    os.rename('own.conf', 'old.conf')
    if random.random() < 0.3: time.sleep(0.003)
    shutil.copy('old.conf', 'own.conf')
    in_place(text)
def nonsense(text):
    in_place('[route r]\ndestinations = 10.0.0.1/8\n')
    in_place(text)
end = time.time() + 12
n = 0
while n < 3000 or time.time() < end:
    random.choice([in_place, renamed, gone, nonsense])(good)
    n += 1
END
    python3 rewrite.py 1
    assert_none_direct
}

@test "while the file is empty, invalid, missing or a folder, the last good one stays in force, and the log says so" {
    start_connecting
    local good
    good=$(cat own.conf)
    : >own.conf
    wait_until "the log to say that it is empty" grep -q "own.conf: expected a \[route NAME\]; the previous configuration stays in force" shim.log
    echo "$good" | head -n 2 >own.conf # a prefix that parses
    sleep 2.5
    echo nonsense >own.conf
    wait_until "the log to say that it is broken" grep -q "own.conf:1: expected .*; the previous configuration stays in force" shim.log
    rm own.conf
    wait_until "the log to say that it is gone" grep -q "own.conf: cannot be found; the previous configuration stays in force" shim.log
    mkdir own.conf
    wait_until "the log to say that it is a folder" grep -q "own.conf: Is a directory; the previous configuration stays in force" shim.log
    assert_none_direct
    assert_equal "$(grep -c 'stays in force' shim.log)" 5 # each once
}

@test "programs that start while the file is being rewritten wait for it" {
    cat >rewrite.py <<'END'
import os, time
good = open('own.conf').read()
while not os.path.exists('stop'):
    with open('own.conf', 'w') as f: # empty for half of the time
        time.sleep(0.01)
        f.write(good)
    time.sleep(0.01)
END
    spawn rewrite python3 rewrite.py
    local i
    for i in $(seq 12); do
        run probe
        assert_output connected
    done
    touch stop
    assert_equal "$(streams_total)" 12
}

@test "SMUXSHIM_STRICT=1: a file that is empty, missing or a folder, or no configuration at all: EACCES" {
    export SMUXSHIM_STRICT=1
    run probe
    assert_output connected
    : >own.conf
    run --separate-stderr probe
    assert_output EACCES
    [[ $stderr == *"own.conf: expected a [route NAME]"* ]] || fail "$stderr"
    rm own.conf
    run --separate-stderr probe
    assert_output EACCES
    mkdir own.conf
    run --separate-stderr probe
    assert_output EACCES
    [ ! -e /etc/smuxshim/smuxshim.conf ] || return 0
    unset SMUXSHIM_CONFIG
    HOME=/nonexisting XDG_CONFIG_HOME='' run --separate-stderr probe
    assert_output EACCES
    [[ $stderr == *"expected a configuration file or SMUXSHIM_ROUTES, found neither"* ]] || fail "$stderr"
}

@test "a relative SMUXSHIM_CONFIG refers to the folder where it was first seen, for child programs, too" {
    mkdir elsewhere
    cat >program.py <<END
import os, socket, subprocess, sys
os.chdir('elsewhere')
socket.create_connection(('127.0.0.1', $peer_port))
if len(sys.argv) == 1:
    print(os.environ.get('SMUXSHIM_CONFIG'))
    os.chdir('..')
    os.chdir('elsewhere')
    os.makedirs('elsewhere', exist_ok=True)
    subprocess.run([sys.executable, '$PWD/program.py', 'again'], check=True)
END
    SMUXSHIM_CONFIG=own.conf LD_PRELOAD=$library python3 program.py
    assert_equal "$(streams_total)" 2
    # The same with the launcher.
    cat >program.sh <<'END'
cd elsewhere && echo "$SMUXSHIM_CONFIG"
END
    SMUXSHIM_CONFIG=own.conf run "$BUILD/smuxshim" sh program.sh
    assert_output "$PWD/own.conf"
}
