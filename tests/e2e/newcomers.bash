# SPDX-License-Identifier: MIT
# Programs that connect all the time, while what they connect through is replaced.

# newcomers NAME COMMAND...: connect all the time; newcomers_end: none has failed.
newcomers() {
    local name=$1
    shift
    spawn "$name" "$@"
    connecting+=("$name:$spawned")
    wait_until "connects of $name" grep -q '^connected' "$BATS_TEST_TMPDIR/$name.log"
}

newcomers_end() {
    local each name
    for each in "${connecting[@]}"; do kill "${each#*:}"; done
    for each in "${connecting[@]}"; do
        name=${each%:*}
        wait_until "the end of $name" grep -q '^done' "$BATS_TEST_TMPDIR/$name.log"
        run grep -v '^connected\|^done' "$BATS_TEST_TMPDIR/$name.log"
        assert_output ""
    done
    connecting=()
}
