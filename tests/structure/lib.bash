# SPDX-License-Identifier: MIT
# Shared by the structure tests: what the sources say about themselves.
root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=$(realpath -m "${BUILD:-$root/build}")
load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load

# The files of this tree that are under version control, or would be.
tree() { git -C "$root" ls-files --cached --others --exclude-standard -- "$@"; }

c_files() { tree "$@" | grep -E '\.[ch]$'; }

# includes FILE...: lines "file:header" for every #include "..." and #include <smux...>.
includes() {
    (cd "$root" && grep -HoE '^ *# *include +("[^"]+"|<smux[^>]*>)' "$@") |
        sed -E 's/: *# *include +["<]/:/; s/[">]$//'
}

# expect_empty EXPLANATION: what is on stdin breaks a rule.
expect_empty() {
    local found
    found=$(cat)
    [ -z "$found" ] || { printf '%s:\n%s\n' "$1" "$found"; return 1; }
}
