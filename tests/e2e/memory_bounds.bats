#!/usr/bin/env bats
# Memory that others can make us keep: readers that pause, sessions that never read.

load lib

teardown() {
    stop_all
    show_logs
}

start_slow() {
    slow_port=$(free_port)
    serve slow "$slow_port" python3 "$fixtures/slow.py" serve "$slow_port"
}

# The least budget under which promises are kept (64 full windows), and a path on which much more than that
# is under way before a word of the reader's can come back.
over_a_long_path() {
    gateway_conf_lines='max-receive-buffer = 16m' start_gateway
    direct || {
        path_port=$(free_port)
        serve path "$path_port" python3 "$fixtures/longpath.py" "$path_port" "$gateway_port" 0.1
        gateway_lines='max-receive-buffer = 16m' gateway_url=tcp://127.0.0.1:$path_port write_smuxshim_conf "$@"
        start_helper
    }
}

slow() { via timeout 120 python3 "$fixtures/slow.py" "$1" "$slow_port" "${@:2}"; }

@test "hundreds of readers that pause lose nothing" {
    start_slow
    over_a_long_path '127.0.0.1:*'
    run -0 slow download 300 1200000 4
    assert_output "300 complete"
}

@test "hundreds of uploads to a server that does not read lose nothing" {
    start_slow
    over_a_long_path '127.0.0.1:*'
    run -0 slow upload 300 1200000 4
    assert_output "300 complete"
}

@test "uploads that wait for no answer of the gateway lose nothing" {
    start_slow
    over_a_long_path '127.0.0.1:*' 'connect = eager'
    run -0 slow upload 300 1200000 4
    assert_output "300 complete"
}
