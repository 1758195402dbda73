#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the README says is so.

setup() {
    load lib
    readme=$root/README.md
}

# blocks LANGUAGE FILE: the code blocks of a language, each in a file of its own.
blocks() {
    awk -v language="$1" -v dir="$BATS_TEST_TMPDIR" '
        $0 == "```" language { file = dir "/block" ++n "." language; next }
        /^```/ { file = "" }
        file { print >file }' "$2"
    compgen -G "$BATS_TEST_TMPDIR/block*.$1"
}

@test "the README is short, and names every manual page" {
    [ "$(wc -l <"$readme")" -le 130 ]
    tree '*.scd' | while read -r page; do grep -qF "]($page)" "$readme" || echo "$page"; done |
        expect_empty "not in README.md"
}

@test "what the READMEs link to exists" {
    tree '*README.md' | while read -r file; do
        grep -oE '\]\([^)#:]+\)' "$root/$file" | sed 's/^](//; s/)$//' | while read -r link; do
            [ -e "$root/$(dirname "$file")/$link" ] || echo "$file: $link"
        done
    done | expect_empty "no such file"
}

@test "every make target that the README names exists" {
    grep -oE '(^    |`)make( [A-Z]+=[^ `]+)* [a-z][a-z-]+' "$readme" | awk '{ print $NF }' | sort -u |
        while read -r target; do
            grep -qE "^$target:|^\.PHONY:.* $target( |\$)" "$root/Makefile" || echo "$target"
        done | expect_empty "no such target"
}

@test "every folder and file that the README names exists" {
    grep -oE '`(core|shim|helper|tests|examples|\.ci)/[^` ]*`' "$readme" | tr -d '`' | sort -u |
        while read -r path; do [ -e "$root/$path" ] || echo "$path"; done |
        expect_empty "no such file"
}

@test "the README's configurations are accepted" {
    local block
    for block in $(blocks ini "$readme"); do
        if grep -q '^\[listen\]' "$block"; then
            # Its address is not ours to listen at; anything else would be a mistake in the file.
            run "$BUILD/smux-gateway" -c "$block"
            [ "$status" = 1 ] || fail "$output"
        else
            "$BUILD/smuxctl" -c "$block" check
        fi
    done
}

@test "the programs in the examples' README compile without warnings" {
    local block found
    found=$(blocks c "$root/examples/README.md")
    for block in $found; do
        cc -std=gnu11 -Wall -Wextra -Werror -I"$root/core" -c -o "$BATS_TEST_TMPDIR/program.o" "$block"
    done
}

@test "the README's rows and chart of speed are those of the measured numbers" {
    local bench=$root/tests/bench rows
    export PYTHONDONTWRITEBYTECODE=1
    rows=$(python3 "$bench/path/chart.py" "$bench/speed.json" --table)
    [ "$(wc -l <<<"$rows")" = 7 ]
    while read -r row; do grep -qxF "$row" "$readme" || echo "$row"; done <<<"$rows" |
        expect_empty "not in README.md"
    python3 "$bench/path/chart.py" "$bench/speed.json" | diff - "$bench/speed.svg"
}
