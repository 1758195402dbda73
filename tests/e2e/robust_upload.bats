#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What a target sees of an upload that is broken off: an error, in whatever stage, and never the end of
# file that would make it look complete.

load lib

setup() {
    direct && skip "there is nothing to break without the shim"
    cd "$BATS_TEST_TMPDIR" || return
    target_port=$(free_port)
    serve target "$target_port" python3 "$fixtures/uploads.py" serve "$target_port" "$PWD"
}

teardown() {
    stop_all
    show_logs
}

# begin_uploads [ARGUMENT]: over $gateway_url, if it says another way than straight to the gateway.
begin_uploads() {
    write_smuxshim_conf "127.0.0.1:$target_port" "on-failure = ${on_failure:-refuse}"
    start_helper
    mkfifo line
    exec 7<>line
    spawn_from_line via python3 "$fixtures/uploads.py" send 127.0.0.1 "$target_port" "$@"
    wait_until "the program to have filled its buffers" grep -qx sending sender.log
    wait_until "all stages" grep -qx ready target.log
}

spawn_from_line() {
    run_spawned "$@" <line >sender.log 2>&1 3>&- 4>&- 7>&- &
    echo "$! KILL" >>spawned
}

# ended STAGE: how it did, seen from the target.
ended() { awk -v stage="$1" '$1 == stage { print $3 }' target.log; }
all_ended() { [ "$(grep -cE '^[a-z]+ [0-9]+ ' target.log)" = 6 ]; }

assert_broken_off() {
    local stage
    touch read
    wait_until "every connection to end" all_ended
    for stage in named paused flowing stuck answered; do
        assert_equal "$stage: $(ended $stage)" "$stage: ECONNRESET"
    done
    assert_equal "complete: $(ended complete)" "complete: eof"
}

@test "the gateway is killed: every upload ends with an error at its target" {
    start_gateway
    begin_uploads
    kill -KILL "$gateway_pid"
    assert_broken_off
}

@test "a worker of the gateway is killed: the same" {
    gateway_conf_lines='workers = 2' start_gateway
    begin_uploads
    pgrep -P "$gateway_pid" | while read -r worker; do kill -KILL "$worker"; done
    assert_broken_off
}

@test "the gateway is stopped before the uploads are over: the same" {
    gateway_drain=200ms start_gateway
    begin_uploads
    kill -TERM "$gateway_pid"
    assert_broken_off
}

@test "the helper is killed: the same" {
    start_gateway
    begin_uploads
    kill -KILL "$helper_pid"
    assert_broken_off
}

@test "the carrier is cut: the same" {
    local wire_port
    start_gateway
    wire_port=$(free_port)
    serve wire "$wire_port" python3 "$fixtures/wire.py" "$wire_port" "$gateway_port"
    local wire=$spawned
    gateway_url=tcp://127.0.0.1:$wire_port begin_uploads
    kill -USR1 "$wire"
    assert_broken_off
}

@test "without a session, connected by the helper itself, which is killed: the same" {
    gateway_port=$(free_port)
    on_failure=direct begin_uploads
    kill -KILL "$helper_pid"
    assert_broken_off
}

@test "the program closes: an end of file behind all that it sent" {
    start_gateway
    begin_uploads end
    echo >&7
    wait_until "the program to have closed" grep -qx closed sender.log
    touch read
    wait_until "every connection to end" all_ended
    run cut -d' ' -f3 <(grep -E '^[a-z]+ [0-9]+ ' target.log)
    assert_output "$(printf 'eof\n%.0s' 1 2 3 4 5 6)"
    assert_equal "$(awk '$1 == "flowing" { print $2 + 1048576 }' target.log)" 2000000
}
