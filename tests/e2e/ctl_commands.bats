#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# smuxctl: what it shows of a running helper, how it controls one, and connections without the shim.

load lib

setup_file() { start_peer; }
teardown_file() { stop_all; }

setup() {
    direct && skip "smuxctl has nothing to talk to without a helper"
    start_both "127.0.0.1:$peer_port, *.internal:5432"
}

teardown() {
    stop_all
    show_logs
}

held() { grep -qx flowing "$BATS_TEST_TMPDIR/held.log"; }

# hold: opens one connection through the shim and keeps it open.
hold() {
    spawn held via python3 "$fixtures/probe.py" receive 127.0.0.1 "$peer_port" 1000 hold
    held_pid=$spawned
    wait_until "a connection" held
}

@test "status shows sessions and streams" {
    hold
    run ctl status
    assert_success
    assert_line --regexp "^helper: pid $helper_pid, version [0-9.]+, up [0-9.]+s\$"
    assert_line "configuration: $smuxshim_conf"
    assert_line 'connections: 1 now, 1 in total'
    assert_line --regexp "^main +$carrier://127.0.0.1:$gateway_port +- +up +2 +[0-9.]+ms +20[0-9-]+ [0-9:]+ +[0-9.]+[BK] +[0-9.]+[BK] +1 +1 +0 +-\$"
    assert_line --regexp "^ *$held_pid +[a-z]+ +python3 +127.0.0.1:$peer_port +- +main +open +- +[0-9.]+s +1.0K +[0-9]+B +[0-9.]+[BK] +[0-9.]+[BK]\$"
}

@test "status --json shows the same in machine-readable form" {
    hold
    run ctl status --json
    assert_success
    run jq -e --argjson pid "$held_pid" --arg to "127.0.0.1:$peer_port" '
        (.sessions | length == 1) and
        (.sessions[0] | .gateway == "main" and .state == "up" and .version == 2 and .streams == 1 and
            .streams_total == 1 and .reconnects == 0 and .last_error == "" and .since > 0 and .bytes_in > 1000) and
        (.streams | length == 1) and
        (.streams[0] | .pid == $pid and .program == "python3" and .destination == $to and .age_ms >= 0 and
            .bytes_in > 1000 and .bytes_out > 0 and .state == "open")' <<<"$output"
    assert_success
}

@test "status after a reconnect shows the reason and the count" {
    hold
    stop "$gateway_pid" KILL
    start_gateway
    wait_until "a new session" eval '[ "$(ctl status --json | jq ".sessions[0].reconnects")" = 1 ]'
    run ctl status --json
    run jq -r '.sessions[0].last_error' <<<"$output"
    refute_output ''
}

@test "routes shows which rule would match" {
    run ctl routes
    assert_output --partial "route test: 127.0.0.1:$peer_port, *.internal:5432 -> gateway main, connect = confirm"
    run env SMUXSHIM_SOCKET="$BATS_TEST_TMPDIR/smuxshim-helper.sock" "$BUILD/smuxctl" routes "db.internal:5432"
    assert_output 'db.internal:5432: route test, rule *.internal:5432, gateway main'
    run ctl routes "127.0.0.1:$peer_port"
    assert_output "127.0.0.1:$peer_port: route test, rule 127.0.0.1:$peer_port, gateway main"
    run ctl routes '[2001:db8::1]:80'
    assert_output '[2001:db8::1]:80: no route, connected directly'
    run ctl routes nonsense
    assert_failure 2
    assert_output 'smuxctl: "nonsense": expected HOST:PORT'
}

@test "reload applies new routes, and an invalid file changes nothing" {
    run ctl connect 127.0.0.1 1
    assert_output 'smuxctl: Permission denied'
    sed -i "s/^destinations = /&127.0.0.1:1, /" "$smuxshim_conf"
    ctl reload
    run ctl connect 127.0.0.1 1
    assert_output 'smuxctl: Connection refused'
    echo nonsense >>"$smuxshim_conf"
    run ctl reload
    assert_failure 2
    assert_output --regexp "^smuxctl: $smuxshim_conf:[0-9]+: "
    export SMUXSHIM_SOCKET=$BATS_TEST_TMPDIR/smuxshim-helper.sock
    run "$BUILD/smuxctl" reload # the helper finds the same
    assert_failure 1
    assert_output --regexp "^smuxctl: $smuxshim_conf:[0-9]+: "
    run "$BUILD/smuxctl" connect 127.0.0.1 1
    assert_output 'smuxctl: Connection refused'
}

@test "reload keeps connections, even when the gateway's address changes" {
    hold
    sed -i "s/^address = .*/address = $carrier:\/\/127.0.0.1:1, &/; s/, address = /, /" "$smuxshim_conf"
    ctl reload
    alive "$held_pid"
    assert_equal "$(ctl status --json | jq '.streams | length')" 1
    run via python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected # over the second address
    alive "$held_pid"
}

@test "drain lets connections end, admits no new ones, and ends the helper" {
    hold
    ctl drain
    run via python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_failure
    alive "$held_pid"
    alive "$helper_pid"
    stop "$held_pid"
    wait_until "the helper to end" eval '! alive $helper_pid'
    run -0 wait "$helper_pid"
}

@test "drain lets a new helper take over at once, while the old one serves its connections" {
    cd "$BATS_TEST_TMPDIR"
    mkfifo words
    via nc -N 127.0.0.1 "$peer_port" <words >answers 3>&- 4>&- &
    local long_lived=$! old=$helper_pid
    exec 7>words
    printf 'echo\nbefore\n' >&7
    wait_until "the first answer" grep -q before answers
    ctl drain
    start_helper 7>&-
    assert alive "$old"
    assert_equal "$(ctl status --json | jq .pid)" "$helper_pid"
    run via python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    assert_equal "$(streams_total)" 1
    printf 'after\n' >&7
    exec 7>&-
    wait "$long_lived"
    assert_equal "$(cat answers)" "before
after"
    wait_until "the old helper to end" eval '! alive $old'
    # The old helper has removed nothing that belongs to the new one.
    run via python3 "$fixtures/probe.py" errno 127.0.0.1 "$peer_port"
    assert_output connected
    assert_equal "$(ctl status --json | jq .pid)" "$helper_pid"
}

@test "stop ends the helper at once" {
    hold
    ctl stop
    wait_until "the helper to end" eval '! alive $helper_pid'
    refute [ -e "$BATS_TEST_TMPDIR/smuxshim-control.sock" ]
}

@test "without a helper every command fails with a clear message" {
    stop "$helper_pid"
    for command in status reload drain stop "connect 127.0.0.1 1"; do
        # shellcheck disable=SC2086
        run ctl $command
        assert_failure 1
        assert_output --regexp "^smuxctl: no helper answers at .*/smuxshim-control.sock: "
    done
}

@test "connect relays stdin and stdout, including a half-close" {
    run ctl connect 127.0.0.1 "$peer_port" < <(printf 'sum\nhello')
    assert_success
    assert_output "5 $(printf hello | sha256sum | cut -d' ' -f1)"
}

@test "connect carries megabytes unchanged in both directions at once" {
    head -c 20000000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
    (printf 'echo\n' && cat "$BATS_TEST_TMPDIR/data") | ctl connect 127.0.0.1 "$peer_port" >"$BATS_TEST_TMPDIR/back"
    cmp "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/back"
}

@test "connect tells a reset from an end of file" {
    run ctl connect 127.0.0.1 "$peer_port" < <(printf 'reset 10\n'; sleep 1)
    assert_failure 1
    assert_output --partial 'smuxctl: the connection failed: Connection reset by peer'
}

# A minute passes in a tenth of a second for this helper.
impatient_helper() {
    local libs
    read -ra libs < <(make -s -C "$root" helper-libs)
    (cd "$root" && cc -std=gnu11 -fPIC -D_GNU_SOURCE -I. -DIDLE_TIMEOUT_US=100000u -c helper/client/admin.c -o "$BATS_TEST_TMPDIR/control.o") &&
        cc -o "$BATS_TEST_TMPDIR/impatient" "$BATS_TEST_TMPDIR/control.o" "$BUILD/obj/helper/client/smux_helper_main.o" \
            "$BUILD/libhelper.a" "$BUILD/libcommon.a" "$BUILD/libsmux.a" "${libs[@]}"
}

@test "connect waits for connect-timeout, not a fixed minute" {
    stop "$helper_pid"
    stop "$gateway_pid"
    impatient_helper
    write_smuxshim_conf "127.0.0.1:$peer_port" "connect-timeout = 10m"
    spawn helper "$BATS_TEST_TMPDIR/impatient" -c "$smuxshim_conf" -f
    helper_pid=$spawned
    wait_until "the helper" helper_answers
    printf 'sum\nhello' | ctl connect 127.0.0.1 "$peer_port" >"$BATS_TEST_TMPDIR/answer" 2>&1 3>&- 4>&- &
    local connecting=$!
    sleep 1
    assert alive "$connecting"
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c "$gateway_conf"
    wait "$connecting"
    assert_equal "$(cat "$BATS_TEST_TMPDIR/answer")" "5 $(printf hello | sha256sum | cut -d' ' -f1)"
    # One that asks nothing is sent away all the same.
    run timeout 60 python3 -c "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(s.recv(1))" "$BATS_TEST_TMPDIR/smuxshim-control.sock"
    assert_output "b''"
}

@test "connect --fdpass passes the connection's descriptor" {
    run python3 "$fixtures/fdpass.py" "$BUILD/smuxctl" -c "$smuxshim_conf" connect --fdpass 127.0.0.1 "$peer_port"
    assert_success
    assert_output hello
    run ctl connect --fdpass 127.0.0.1 "$peer_port"
    assert_failure 1
    assert_output --partial 'expected stdout to be a unix socket'
}

@test "only the owner may use the control socket" {
    assert_equal "$(stat -c %a "$BATS_TEST_TMPDIR/smuxshim-control.sock")" 600
}

@test "a control client that sends garbage is told what was expected" {
    run python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"x" * 5000 if sys.argv[2] == "long" else b"{\"command\": \"dance\"}\n")
print(s.recv(1000).decode(), end="")' "$BATS_TEST_TMPDIR/smuxshim-control.sock" short
    assert_output --partial 'expected a JSON object with a command: status, routes, names, reload, drain, upgrade, stop, connect, probe or events'
    run ctl status
    assert_success
}
