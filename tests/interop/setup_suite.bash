# SPDX-License-Identifier: MIT
# Runs once before all files: builds the peers, or records why one cannot be built.  PEERS names a
# folder with other peers, which are not built here.
setup_suite() {
    local here
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    BUILD=$(realpath -m "${BUILD:-$here/../../build}")
    export BUILD
    [ -n "${PEERS:-}" ] || "$here/build.sh" "$BUILD" >&2
}
