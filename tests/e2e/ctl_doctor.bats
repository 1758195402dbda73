#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smuxctl doctor: each problem that it looks for is made here, and it says which one it is.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    direct && skip "smuxctl has nothing to look at without a helper"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

# doctor STATUS ARGUMENT...: runs it, and expects the exit status.
doctor() {
    run "$BUILD/smuxctl" ${smuxshim_conf:+-c "$smuxshim_conf"} doctor "${@:2}"
    assert_equal "status $status${status:+
}$output" "status $1${status:+
}$output"
}

# finds RESULT CHECK REGEXP [ADVICE]: it has printed this line, and this advice after it.
finds() {
    assert_line --regexp "^$1 +$2 +$3"
    [ -z "${4-}" ] || assert_line --regexp "^ +-> .*$4"
}

@test "with everything in order each line is ok, and so is the exit status" {
    start_both "127.0.0.1:$peer_port, localhost:$peer_port"
    doctor 0 "127.0.0.1:$peer_port" "localhost:$peer_port" cat
    refute_line --regexp '^(warn|fail)'
    finds ok configuration "$smuxshim_conf, given by -c; gateways: 1, routes: 1\$"
    finds ok helper "pid $helper_pid answers at $PWD/smuxshim-control.sock, up [0-9.]+s, connections: 0\$"
    for part in helper launcher library; do finds ok version "$part: [0-9.]+"; done
    finds ok folder "$PWD: mode 0[0-7]+\$"
    finds ok descriptors "helper: at most [0-9]+, one for each connection \(now 0\)"
    finds ok descriptors "programs started here: at most [0-9]+"
    finds ok "gateway main" "$carrier://127.0.0.1:$gateway_port answers: round trip [0-9.]+ ms, set up in [0-9.]+ ms, smux version 2(, it is psk:.+)?\$"
    finds ok route "127.0.0.1:$peer_port: route test, rule 127.0.0.1:$peer_port, gateway main\$"
    finds ok connect "127.0.0.1:$peer_port: connected after [0-9.]+ ms, and closed at once\$"
    finds ok name "localhost: the gateway resolves it; here it is "
    finds ok program ".*/cat can be preloaded"
    # The helper was asked, which has now nothing open that was not open before.
    assert_equal "$(ctl status --json | jq '[.connections, (.streams | length), .sessions[0].streams]' -c)" '[0,0,0]'
}

@test "--json has the same in an object, with documented members only" {
    start_both "127.0.0.1:$peer_port"
    stop "$gateway_pid"
    doctor 1 --json "127.0.0.1:$peer_port"
    run -0 jq -e '.result == "fail" and (keys == ["checks", "result"]) and
        (.checks | all(keys == ["advice", "check", "result", "text"])) and
        (.checks | any(.check == "gateway main" and .result == "fail" and (.advice | type) == "string")) and
        (.checks | any(.check == "helper" and .result == "ok" and .advice == null))' <<<"$output"
}

@test "without a helper it asks the gateways by itself, over TLS too, and leaves nothing behind" {
    printf 'laptop:%064d\n' 1 >psk
    printf 'laptop:%064d\n' 2 >other
    chmod 600 psk other
    gateway_port=$(free_port)
    printf '[listen]\naddress = tls://127.0.0.1:%s\npsk = %s/psk\nallow = 127.0.0.1:%s\n' "$gateway_port" "$PWD" "$peer_port" >gateway.conf
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c gateway.conf
    gateway_url=tls://127.0.0.1:$gateway_port gateway_lines="psk = $PWD/psk" write_smuxshim_conf '127.0.0.1:*'
    sed -i 's/autostart = no//' "$smuxshim_conf"
    export TMPDIR=$PWD
    doctor 0 "127.0.0.1:$peer_port"
    finds ok helper "none runs; the first program with a routed connect starts one at $PWD/smuxshim-helper.sock\$"
    finds ok "gateway main" "tls://127.0.0.1:$gateway_port answers: .*, it is psk:laptop\$"
    finds ok connect "127.0.0.1:$peer_port: connected"
    # What the gateway does not allow is told from what the target refuses.
    doctor 1 127.0.0.1:1
    finds fail connect "127.0.0.1:1: not allowed by the gateway" "add it to .allow. in the gateway's smux-gateway.conf"
    sed -i "s/^psk = .*/psk = ${PWD//\//\\/}\/other/" "$smuxshim_conf"
    doctor 1 "127.0.0.1:$peer_port"
    finds fail "gateway main" "tls://127.0.0.1:$gateway_port: .*(secret|PSK|psk|key)" "do the secrets of both sides match"
    finds fail connect "127.0.0.1:$peer_port: not tried, as gateway main does not answer"
    sed -i "s/^psk = .*/psk = ${PWD//\//\\/}\/none/" "$smuxshim_conf"
    doctor 1
    finds fail gateway "$smuxshim_conf: \[gateway main\]: .*$PWD/none.*No such file" "may read the files"
    refute compgen -G '/tmp/smuxctl-*'
    refute pgrep -f "$BUILD/smuxctl -c $smuxshim_conf"
}

@test "a gateway that is not there, a target that refuses, and a silent gateway are told apart" {
    start_both "127.0.0.1:*"
    doctor 1 127.0.0.1:1
    finds ok "gateway main" "$carrier://"
    finds fail connect "127.0.0.1:1: Connection refused" "does the target listen"
    stop "$gateway_pid"
    doctor 1
    finds fail "gateway main" "$carrier://127.0.0.1:$gateway_port: Connection refused" "does smux-gateway run there"
    # It accepts connections, and says nothing.
    spawn silent nc -lk 127.0.0.1 "$gateway_port"
    wait_until "a listener" listening "$gateway_port"
    sed -i '/^address/a dial-timeout = 500ms\nkeepalive-timeout = 300ms\nkeepalive-interval = 100ms' "$smuxshim_conf"
    ctl reload
    doctor 1
    finds fail "gateway main" "(no answer|connected, but|$carrier://)"
}

@test "a configuration that is wrong or missing is told, and the other checks still run" {
    smuxshim_conf=$PWD/smuxshim.conf
    printf '[gateway main]\naddress = tcp://127.0.0.1:1\nspeed = 9\n' >"$smuxshim_conf"
    doctor 1 cat
    finds fail configuration "$smuxshim_conf:3: " "correct it"
    finds ok version "library: "
    finds ok program ".*cat can be preloaded"
    printf '[gateway main]\naddress = tcp://127.0.0.1:1\n' >"$smuxshim_conf"
    doctor 1
    finds fail configuration "$smuxshim_conf: nothing is routed" "write a"
    printf '[route a]\ndestinations = 10.0.0.1\n[gateway main]\naddress = tcp://127.0.0.1:1\n[helper]\nallow-users = nobody-at-all\nautostart = no\nsocket = %s/smuxshim-helper.sock\n' "$PWD" >"$smuxshim_conf"
    chmod 666 "$smuxshim_conf"
    SMUXSHIM_DISABLE=1 doctor 1
    finds fail configuration 'allow-users: no such user "nobody-at-all"'
    finds warn configuration "$smuxshim_conf: every user may change it" "chmod o-w"
    finds warn configuration "SMUXSHIM_DISABLE is 1"
    finds fail helper "none answers at $PWD/smuxshim-helper.sock, and autostart = no" "start smux-helper"
    unset smuxshim_conf
    export HOME=$PWD SMUXSHIM_ROUTES=10.9.0.0/16 SMUXSHIM_GATEWAY=tcp://127.0.0.1:1 SMUXSHIM_SOCKET=$PWD/smuxshim-helper.sock
    doctor 1
    finds ok configuration 'no file; gateways: 1, routes: 1; routes of SMUXSHIM_ROUTES; gateway of SMUXSHIM_GATEWAY$'
    mkdir -p .config/smuxshim
    printf '[gateway main]\naddress = tcp://127.0.0.1:1\n[route a]\ndestinations = 10.0.0.1\n' >.config/smuxshim/smuxshim.conf
    unset SMUXSHIM_ROUTES SMUXSHIM_GATEWAY
    doctor 1
    finds ok configuration "$PWD/.config/smuxshim/smuxshim.conf, this user's; "
    export SMUXSHIM_CONFIG=$PWD/.config/smuxshim/smuxshim.conf
    doctor 1
    finds ok configuration ".*, named by SMUXSHIM_CONFIG; "
}

@test "a helper with other routes, another version, or no answer is told" {
    start_both "127.0.0.1:$peer_port"
    sed -i 's/^destinations = .*/&, 10.1.2.3:4/' "$smuxshim_conf"
    doctor 0
    finds warn helper "its routes are not those of the configuration" "smuxctl reload"
    kill -STOP "$helper_pid"
    doctor 1
    finds fail helper "it accepts connections at .*, but has not answered within 3 seconds" "end it"
    finds ok "gateway main" "$carrier://" # asked without it
    stop "$helper_pid"
    spawn old python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1] + ".new")
s.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1]) # it is there only once it listens
while True:
    c = s.accept()[0]
    c.recv(1000)
    c.sendall(b"{\"ok\":true,\"pid\":1,\"version\":\"0.0.1\",\"config\":\"/etc/hosts\"}\n")
    c.close()' "$PWD/smuxshim-control.sock"
    wait_until "an old helper" test -S smuxshim-control.sock
    doctor 0
    finds warn version 'helper: 0.0.1, smuxctl: [0-9.]+$' "smuxctl drain"
    finds warn helper "it has read another configuration: /etc/hosts"
    finds ok "gateway main" "$carrier://"
}

@test "a folder that others can write to, or that admitted users cannot enter, is told" {
    helper_lines='allow-users = nobody' start_both "127.0.0.1:$peer_port"
    chmod 0700 .
    doctor 0
    finds warn folder "$PWD: other users are admitted to the helper, but not to the folder \(mode 0700\)" "chmod 0711"
    chmod 0733 .
    doctor 1
    finds fail folder "$PWD: others could put a socket there \(uid [0-9]+, mode 0733\)" "chmod 0711"
    chmod 0700 .
}

@test "few descriptors are told, of the helper and of programs" {
    start_gateway
    write_smuxshim_conf "127.0.0.1:$peer_port"
    ulimit -n 500
    start_helper
    ulimit -Sn 100
    doctor 0
    finds warn descriptors "helper: at most 500, one for each connection \(now 0\); max-streams is 65536, and another user may have 125\$" "raise the hard limit"
    finds warn descriptors "programs started here: at most 100 \(ulimit -n\), up to 500" "ulimit -n"
}

@test "which route matches, and who resolves a name, is told" {
    start_both "127.0.0.1:$peer_port, *.internal:5432"
    doctor 1 db.internal:5432
    finds ok route 'db.internal:5432: route test, rule \*.internal:5432, gateway main$'
    finds ok name 'db.internal: the gateway resolves it; here it does not resolve \(.+\)$'
    finds fail connect 'db.internal:5432: '
    doctor 0 "localhost:$peer_port"
    finds ok name 'localhost: resolves here, to '
    finds ok connect "127.0.0.1:$peer_port: connected"
    doctor 1 10.9.9.9:9
    finds fail route '10.9.9.9:9: no route matches, programs connect from here$' "add it to .destinations."
    doctor 1 no-such-name.invalid:9
    finds fail name 'no-such-name.invalid: does not resolve here \(.+\), and no route has the name$'
    doctor 1 'no such:9'
    finds fail route '"no such": expected a host name or an address$'
}

@test "success that connect = eager reports too early does not deceive it" {
    start_both "127.0.0.1:*" "connect = eager" "connect-timeout = 3s"
    doctor 1 127.0.0.1:1
    finds fail connect "127.0.0.1:1: reset after success was reported early \(connect = eager\)"
}

@test "programs that cannot be preloaded are told, and files that lie about themselves do no harm" {
    start_both "127.0.0.1:$peer_port"
    echo 'int main(void) { return 0; }' >program.c
    cc -static program.c -o static
    printf '#!%s/static\n' "$PWD" >script
    cp static secure
    chmod 755 script secure
    doctor 1 ./static ./script /no/such/program
    finds fail program "./static: it is statically linked"
    finds fail program "$PWD/static: it is statically linked"
    finds fail program "/no/such/program: no such program"
    if [ "$(id -u)" = 0 ]; then
        chown nobody secure
        chmod u+s secure
        doctor 1 ./secure
        finds fail program "./secure: it raises its privileges"
    fi
    # Every 16 bits of the headers in turn are all ones.
    python3 - "$(command -v cat)" "$BUILD/smuxshim" <<'END'
import subprocess, sys
good = open(sys.argv[1], "rb").read()
for cut in (5, 52, 64, 100, 1000):
    open("cut", "wb").write(good[:cut])
    assert subprocess.run([sys.argv[2], "--check", "./cut"], stdout=subprocess.DEVNULL).returncode in (0, 1), cut
for at in range(16, 64 + 13 * 56, 8):
    open("bad", "wb").write(good[:at] + b"\xff" * 8 + good[at + 8:])
    done = subprocess.run([sys.argv[2], "--check", "./bad"], capture_output=True, text=True)
    assert done.returncode in (0, 1) and "\nprogram: " in done.stdout, (at, done)
END
}

@test "wrong arguments get one line" {
    doctor 2 1 2 3 4 5 6 7 8 9
    assert_output 'smuxctl: expected at most 8 arguments after doctor; see smuxctl --help'
}
