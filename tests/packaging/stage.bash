# SPDX-License-Identifier: MIT
# For tests of what `make install` installs: all of it, in a folder of the test file's own.

load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load
bats_require_minimum_version 1.5.0

# install_staged VARIABLE=VALUE...: installs below $stage.
install_staged() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    stage=$BATS_FILE_TMPDIR/stage
    export root stage
    make -C "$root" BUILD="${BUILD:-build}" DESTDIR="$stage" "$@" install >&2
}
