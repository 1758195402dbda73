#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Runs transfers in both directions while helper and gateway are killed, terminated and stopped at
# random, carriers are cut, and targets and clients reset: none may be truncated without an error at
# either end.
#
# To run thousands at once on a busy machine (run.py describes what it does and prints):
#   BUILD=build tests/e2e/programs/campaign/run.py --transfers 10000 --load 15
# CAMPAIGN_TRANSFERS and CAMPAIGN_SEED repeat a run; the seed is printed. SMUX_TEST_CARRIER=tls, or
# --carrier tls, runs it over TLS.

load lib

setup() { direct && skip "there is nothing to kill without the shim"; return 0; }

teardown() {
    stop_all
    show_logs
}

# Both kinds of outcome must have occurred, or the test has tested nothing.
has_both() { grep -q '^clients: .*complete [1-9].*get failed [1-9]' "$BATS_TEST_TMPDIR/campaign.log"; }

# campaign OPTION...: on a fast machine all may be over before anything was disturbed; then three times
# as many transfers follow.
campaign() {
    local seed=${CAMPAIGN_SEED:-$RANDOM} transfers=${CAMPAIGN_TRANSFERS:-400}
    for _ in 1 2 3 4; do
        echo "# campaign: CAMPAIGN_SEED=$seed CAMPAIGN_TRANSFERS=$transfers" >&3
        spawn campaign python3 "$fixtures/campaign/run.py" --keep "$BATS_TEST_TMPDIR" --seed "$seed" \
            --transfers "$transfers" "$@"
        wait "$spawned"
        sed -n 's/^\(clients\|done\): /# &/p' "$BATS_TEST_TMPDIR/campaign.log" >&3
        ! has_both || return 0
        seed=$((seed + 1)) transfers=$((3 * transfers))
    done
    return 1
}

@test "no transfer is truncated without an error, whatever is killed on its path" {
    campaign --pause 2
}

@test "no transfer is truncated without an error, at whichever byte its carrier is cut" {
    campaign --only-cuts --cut-within 400000 --cuts end,reset
    [ "$(grep -oE 'carrier: [a-z]+ [0-9]+' "$BATS_TEST_TMPDIR/campaign.log" | awk '{ n += $3 } END { print n }')" -ge 10 ]
}
