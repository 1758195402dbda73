#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Programs that send very many small messages, each of which is charged to their socket as a buffer.

load lib

setup() {
    lines_port=$(free_port)
    start_both "127.0.0.1:*"
}

teardown() {
    show_logs
    stop_all
}

@test "gawk sends 50,000 lines over /inet, each flushed, and reads the answer" {
    serve lines "$lines_port" python3 "$fixtures/lines.py" count "$lines_port"
    # shellcheck disable=SC2016
    run -0 via timeout 100 gawk -v service="/inet/tcp/0/127.0.0.1/$lines_port" 'BEGIN {
        for (i = 1; i <= 50000; i++) { print "line " i % 10 |& service; fflush(service) }
        print "end" |& service
        fflush(service)
        service |& getline answer
        print answer }'
    assert_output "50000 lines 350000 bytes"
    assert_carried 1
}

@test "Python's ftplib stores 20,000 lines, one send for each, and polls with its timeout" {
    serve ftpd "$lines_port" python3 "$fixtures/lines.py" ftpd "$lines_port"
    run -0 via timeout 100 python3 "$fixtures/lines.py" store "$lines_port" 20000
    assert_output "20000 lines stored"
    assert_carried 2
}
