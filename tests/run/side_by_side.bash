# SPDX-License-Identifier: MIT
# Sourced by scripts that run many independent things which mostly wait.

# side_by_side FUNCTION ARGUMENT...: calls the function with each argument, each in a bash of its own,
# $side_by_side_jobs at a time; unset, one more than there are processors.  Fails if any of them does.
side_by_side() {
    # shellcheck disable=SC2163 # the function whose name it is
    export -f "$1"
    # shellcheck disable=SC2016 # expanded by the shell that xargs starts
    printf '%s\0' "${@:2}" | xargs -0 -n 1 -P "${side_by_side_jobs:-$(($(nproc) + 1))}" bash -c '"$0" "$1"' "$1"
}
