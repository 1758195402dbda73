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

# Resident memory of a process, in KiB.
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
# It has not grown for two seconds.
settled() {
    local before
    before=$(resident "$gateway_pid")
    sleep 2
    [ "$(resident "$gateway_pid")" -le $((before + 1024)) ]
}

@test "clients that ask for much and read nothing pin no more than max-memory" {
    if direct; then skip "there is no gateway without the shim"; fi
    local pour_port
    pour_port=$(free_port)
    serve pour "$pour_port" python3 "$fixtures/silent.py" serve "$pour_port"
    start_slow
    gateway_conf_lines='max-memory = 64m' start_both '127.0.0.1:*'
    spawn ask python3 "$fixtures/silent.py" ask "$gateway_port" "$pour_port" 3 1200
    wait_until "all to be asked for" grep -q ready "$(work)/ask.log"
    wait_until "the memory to settle" settled
    run -0 resident "$gateway_pid"
    echo "resident: $output KiB"
    # Half of max-memory in buffers, a start of 4 buffers for each session, and what 3,600 streams and three
    # carriers are themselves.
    [ "$output" -lt $((100 * 1024)) ]
    run -0 slow download 20 1000000 0
    assert_output "20 complete"
}
