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

# campaign OPTION...
campaign() {
    local seed=${CAMPAIGN_SEED:-$RANDOM}
    echo "# campaign: CAMPAIGN_SEED=$seed" >&3
    spawn campaign python3 "$fixtures/campaign/run.py" --keep "$BATS_TEST_TMPDIR" --seed "$seed" "$@"
    wait "$spawned"
    sed -n 's/^\(clients\|done\): /# &/p' "$BATS_TEST_TMPDIR/campaign.log" >&3
    # Both kinds of outcome must have occurred, or the test has tested nothing.
    grep -q '^clients: .*complete [1-9].*get failed [1-9]' "$BATS_TEST_TMPDIR/campaign.log"
}

@test "no transfer is truncated without an error, whatever is killed on its path" {
    campaign --transfers "${CAMPAIGN_TRANSFERS:-400}" --pause 2
}

@test "no transfer is truncated without an error, at whichever byte its carrier is cut" {
    campaign --transfers "${CAMPAIGN_TRANSFERS:-400}" --only-cuts --cut-within 400000 --cuts end,reset
    [ "$(grep -oE 'carrier: [a-z]+ [0-9]+' "$BATS_TEST_TMPDIR/campaign.log" | awk '{ n += $3 } END { print n }')" -ge 10 ]
}
