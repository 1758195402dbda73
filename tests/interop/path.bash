# SPDX-License-Identifier: MIT
# Shared by the tests that take a path of several programs: the server at its end, and all that goes
# through it.
#
# shellcheck disable=SC2154,SC2034 # for and from the tests

# Whether the line is in the file, as soon as it comes.
expect_line() { wait_until "'$2' in $1" grep -qE -- "$2" "$1" || { cat "$1" >&2; return 1; }; }

# run_all COMMAND...: all scenarios, each by its own process.  `$halves` are options of those that end
# one direction first.
run_all() {
    local scenario
    for scenario in 'churn --streams 200' 'bulk-up --size 100000000' 'bulk-down --size 100000000' parallel \
        echo slow-reader "half-close $halves" "early-close $halves"; do
        # shellcheck disable=SC2086 # options
        run -0 "$@" --run $scenario
        assert_output --regexp "^ok ${scenario%% *} "
    done
}

# start_target: the server behind the gateway, at $target.
start_target() {
    spawn target "$peers/plain_peer" --listen 127.0.0.1:0
    target_pid=$spawned
    wait_until "the target" grep -q '^listening ' target.log
    target=$(sed -n 's/^listening //p' target.log)
}

# Version 1 has no windows: Go's server sends what its carrier takes. With a budget that is far less
# than what it sends, readers that cannot keep up for a moment slow the session down, and lose nothing.
budget='max-receive-buffer = 256M'
small_budget='max-receive-buffer = 4M'

halves=--careful-close
