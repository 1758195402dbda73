#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Transfers in both directions while helper, gateway and carrier are killed, ended, stopped and cut at
# random, and targets and clients reset: none may end short without an error, at either end.
#
# Thousands at once, by hand, on a busy machine (see there for all that it does and prints):
#   BUILD=build tests/e2e/programs/campaign/run.py --transfers 10000 --load 15
# CAMPAIGN_TRANSFERS and CAMPAIGN_SEED repeat a run; the seed is printed.

load lib

setup() { direct && skip "there is nothing to kill without the shim"; return 0; }

teardown() {
    stop_all
    show_logs
}

@test "no transfer ends short without an error, whatever is killed on its way" {
    local seed=${CAMPAIGN_SEED:-$RANDOM}
    echo "# campaign: CAMPAIGN_SEED=$seed" >&3
    spawn campaign python3 "$fixtures/campaign/run.py" --keep "$BATS_TEST_TMPDIR" --seed "$seed" \
        --transfers "${CAMPAIGN_TRANSFERS:-400}" --pause 2
    wait "$spawned"
    sed -n 's/^\(clients\|done\): /# &/p' "$BATS_TEST_TMPDIR/campaign.log" >&3
    # Both must have been seen, or nothing was tried.
    grep -q '^clients: .*get complete [0-9]*, get failed' "$BATS_TEST_TMPDIR/campaign.log"
}
