#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The engine's work per stream must not grow with the number of streams: instructions counted by
# valgrind, not time.

setup() { load lib; }

# instructions CASE N: prints the number of instructions that the case takes with N streams.
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$BUILD/unit/test_engine_scale" "$1" "$2" 2>&1 |
        sed -nE 's/.*Collected : ([0-9]+)$/\1/p'
}

@test "four times the streams take at most five times the instructions, for every operation" {
    local case small large
    [ -x "$BUILD/unit/test_engine_scale" ]
    for case in $("$BUILD/unit/test_engine_scale" --list); do
        small=$(instructions "$case" 1000)
        large=$(instructions "$case" 4000)
        [ "$small" -gt 10000 ]
        echo "$case: $small, $large"
        [ "$large" -lt $((5 * small)) ]
    done
}
