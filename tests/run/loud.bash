# SPDX-License-Identifier: MIT
# Sourced in place of `set -e` by scripts that end at the first failing command: prints which line
# that was.
set -Eeuo pipefail

# A script that has itself printed what is wrong leaves by `exit`, which is not a failing command.
# The source line is shown if it is available, because $BASH_COMMAND names the last command of a
# pipeline, whichever failed.
loud_said=
loud_say() { # STATUS FILE LINE COMMAND
    local lines=("$4")
    [ -z "$loud_said" ] || return 0
    loud_said=1 # its callers, which fail for the same reason, need not repeat it
    [ ! -r "$2" ] || mapfile -t -s $(($3 - 1)) -n 1 lines <"$2"
    printf '%s: line %s: exit status %s of: %s\n' "$2" "$3" "$1" "${lines[0]#"${lines[0]%%[! ]*}"}" >&2
}
trap 'loud_say $? "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND"' ERR
