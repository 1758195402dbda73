# SPDX-License-Identifier: MIT
# Runs once before all files: the peers are built, or it is known why one is not.  PEERS names a
# folder of others, which are not built here.
setup_suite() {
    local here
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    BUILD=$(realpath -m "${BUILD:-$here/../../build}")
    export BUILD
    [ -n "${PEERS:-}" ] || "$here/build.sh" "$BUILD" >&2
}
