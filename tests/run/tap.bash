# SPDX-License-Identifier: MIT
# Sourced by suites that are shell scripts: every step becomes one TAP line.
tap_count=0
tap_failed=0

tap_say() { sed 's/^/# /'; }

# tap TITLE COMMAND...: ok if the command succeeds, otherwise not ok and what it printed.
tap() {
    local title=$1 out
    shift
    tap_count=$((tap_count + 1))
    if out=$("$@" 2>&1 </dev/null); then
        echo "ok $tap_count - $title"
    else
        local status=$?
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $title"
        printf 'exit status %d of: %s\n%s\n' "$status" "$*" "$out" | tap_say
    fi
}

tap_done() {
    echo "1..$tap_count"
    [ "$tap_failed" = 0 ]
}
