# SPDX-License-Identifier: MIT
# Sourced in place of `set -e` by scripts that end at the first command that fails: they say which
# line that was.
set -Eeuo pipefail

# A script that has said by itself what is wrong leaves by `exit`, which is no command that failed.
# The line itself is shown, if it is at hand, because $BASH_COMMAND names the last of a pipeline,
# whichever failed.
loud_said=
loud_say() { # STATUS FILE LINE COMMAND
    local lines=("$4")
    [ -z "$loud_said" ] || return 0
    loud_said=1 # its callers, which fail for the same reason, need not say it again
    [ ! -r "$2" ] || mapfile -t -s $(($3 - 1)) -n 1 lines <"$2"
    printf '%s: line %s: exit status %s of: %s\n' "$2" "$3" "$1" "${lines[0]#"${lines[0]%%[! ]*}"}" >&2
}
trap 'loud_say $? "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND"' ERR
