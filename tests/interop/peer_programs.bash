# SPDX-License-Identifier: MIT
# The programs of the interoperability tests, for those who load this.
# shellcheck disable=SC2034
peers=${PEERS:-$BUILD/interop}
# Where a Go peer takes part, 200 streams of 256 KiB need a budget that holds them all
# (README.md, fact 5).
roomy=(--receive-buffer 67108864)

# Skips, with the reason, where a foreign peer could not be built.
need() { # PEER
    [ ! -e "$peers/$1.missing" ] || skip "$1 is not built: $(<"$peers/$1.missing")"
    [ -x "$peers/$1" ] || { echo "$peers/$1 does not exist; tests/interop/build.sh makes it" >&2; return 1; }
}
