#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the target sees of an aborted upload: an error, at whatever stage, and never the end of file
# that would make it look complete.

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

# begin_uploads [ARGUMENT]: begins the uploads, over $gateway_url if it is set, else straight to the
# gateway.
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

# ended STAGE: prints how the upload ended, as seen by the target.
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

@test "when the gateway is killed, every upload ends with an error at its target" {
    start_gateway
    begin_uploads
    kill -KILL "$gateway_pid"
    assert_broken_off
}

@test "when a worker of the gateway is killed, every upload ends with an error at its target" {
    gateway_conf_lines='workers = 2' start_gateway
    begin_uploads
    pgrep -P "$gateway_pid" | while read -r worker; do kill -KILL "$worker"; done
    assert_broken_off
}

@test "when the gateway is terminated before the uploads finish, they end with an error at their targets" {
    gateway_drain=200ms start_gateway
    begin_uploads
    kill -TERM "$gateway_pid"
    assert_broken_off
}

@test "when the helper is killed, every upload ends with an error at its target" {
    start_gateway
    begin_uploads
    kill -KILL "$helper_pid"
    assert_broken_off
}

@test "when the carrier is cut, every upload ends with an error at its target" {
    local wire_port
    start_gateway
    wire_port=$(free_port)
    serve wire "$wire_port" python3 "$fixtures/wire.py" "$wire_port" "$gateway_port"
    local wire=$spawned
    gateway_url=$carrier://127.0.0.1:$wire_port begin_uploads
    kill -USR1 "$wire"
    assert_broken_off
}

@test "when the helper connects directly and is killed, every upload ends with an error at its target" {
    gateway_port=$(free_port)
    on_failure=direct begin_uploads
    kill -KILL "$helper_pid"
    assert_broken_off
}

@test "when the program closes, the target gets all its data and then an end of file" {
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
