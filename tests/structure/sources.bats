#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Rules for the source tree that no compiler checks.

setup() { load lib; }

@test "the top level holds the agreed folders and files and nothing else" {
    tree | sed 's|/.*||' | sort -u | grep -v '^\.' |
        grep -vxE 'shim|core|helper|tests|examples|Makefile|README.md|LICENSE' |
        expect_empty "unexpected at the top level"
}

# longer_than LINES FOLDER...: prints the C files with more lines.
longer_than() {
    local max=$1
    shift
    c_files "$@" | while read -r file; do
        awk -v file="$file" -v max="$max" 'END { if (FNR > max) print file ": " FNR " lines" }' "$root/$file"
    done
}

@test "no source file is longer than 500 lines, no test longer than 800" {
    { longer_than 500 core shim helper examples; longer_than 800 tests; } | expect_empty "too long"
}

@test "no function is longer than 100 lines" {
    c_files core shim helper examples tests | grep '\.c$' | while read -r file; do
        awk -v file="$file" '
            /^[A-Za-z].*[^;]$/ { start = FNR }
            /^\}/ && start {
                if (FNR - start > 100) print file ":" start ": " FNR - start " lines"
                start = 0
            }' "$root/$file"
    done | expect_empty "too long"
}

@test "no line of C is longer than 100 columns, comments included" {
    tree | grep -E '\.(c|h|def)$' | (cd "$root" && xargs awk 'length($0) > 100 { print FILENAME ":" FNR }') |
        expect_empty "too long"
}

@test "every source file and script names its licence in its first lines" {
    tree | grep -E '\.(c|h|def|map|py|bash|bats|sh|js|java|go|rs|pl|lua|conf)$|^Makefile$|^\.ci/[a-z-]+$' |
        grep -vxE '\.ci/(cppcheck|packages)' | while read -r file; do
            head -n 3 "$root/$file" | grep -q 'SPDX-License-''Identifier: MIT' || echo "$file"
        done | expect_empty "without a licence"
}

@test "no file holds an unfinished mark or a path of the machine it was written on" {
    # The pattern is put together here so that this file does not match itself.
    local words="TO""DO|FIX""ME|\bXX""X\b|/wo""rk/|\.\./sha""red"
    tree | grep -v '\.pem$' | (cd "$root" && xargs grep -nIE "$words") |
        grep -vE ':.*mktemp' | expect_empty "does not belong into the tree"
}

@test "the wall clock, which may step, is read only for output and for the age of files" {
    local printed='(helper/net/log|helper/gateway/access_log|helper/client/upstream_status|helper/metrics/metrics|shim/process/settings)\.c'
    c_files core shim helper | (cd "$root" && xargs grep -nE \
        '\b(time|gettimeofday|ftime|timespec_get)\(|CLOCK_REALTIME|CLOCK_TAI|\b(pthread_cond_timedwait|sem_timedwait|pthread_mutex_timedlock)\(') |
        grep -vE "^$printed:" | expect_empty "goes by the wall clock"
}
