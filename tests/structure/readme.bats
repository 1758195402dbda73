#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the READMEs say is true.

setup() {
    load lib
    readme=$root/README.md
}

# blocks LANGUAGE FILE: writes each code block of a language to a file, and prints the files' names.
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

@test "the files that the READMEs link to exist" {
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
    "$BUILD/smuxctl" genpsk office "$BATS_TEST_TMPDIR/psk"
    for block in $(blocks ini "$readme"); do
        sed -i "s|= /etc/smuxshim/|= $BATS_TEST_TMPDIR/|" "$block"
        if grep -q '^\[listen\]' "$block"; then
            # Status 1: it cannot listen at that address. A mistake in the file would be status 2.
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

@test "the README's table and chart of speed agree with the measured numbers" {
    local bench=$root/tests/bench rows
    export PYTHONDONTWRITEBYTECODE=1
    rows=$(python3 "$bench/path/chart.py" "$bench/speed.json" --table)
    [ "$(wc -l <<<"$rows")" = 7 ]
    while read -r row; do grep -qxF "$row" "$readme" || echo "$row"; done <<<"$rows" |
        expect_empty "not in README.md"
    python3 "$bench/path/chart.py" "$bench/speed.json" | diff - "$bench/speed.svg"
}

# The maps of the source tree: core/README.md, shim/README.md, helper/README.md.
maps() { (cd "$root" && ls core/README.md shim/README.md helper/README.md); }

@test "every file and folder that the maps name exists" {
    local map name
    for map in $(maps); do
        grep -oE '`[A-Za-z0-9_./-]+\.(c|h|def|scd|bats|md)`' "$root/$map" | tr -d '`' | sort -u |
            while read -r name; do
                tree | grep -qE "(^|/)${name//./\\.}\$" || echo "$map: $name"
            done
        grep -oE '`[a-z]+/[a-z_/]*/`' "$root/$map" | tr -d '`' | sort -u | while read -r name; do
            [ -d "$root/$name" ] || echo "$map: $name"
        done
    done | expect_empty "no such file"
}

@test "every function, structure and macro that the maps name exists" {
    local map name sources=$BATS_TEST_TMPDIR/sources
    (cd "$root" && cat core/*.h {core,shim,helper}/*/*.[ch]) >"$sources"
    for map in $(maps); do
        grep -oE '`[a-z_0-9]+\(\)`' "$root/$map" | tr -d '`()' | sort -u | while read -r name; do
            # The maps name system calls as well, which the sources call but do not define.
            grep -qE "(^|[^a-z_0-9])$name\(" "$sources" || echo "$map: $name()"
        done
        grep -oE '`struct [a-z_0-9]+`' "$root/$map" | tr -d '`' | sort -u | while read -r name; do
            grep -qE "^(typedef )?$name( |;)" "$sources" || echo "$map: $name"
        done
        grep -oE '`[A-Z]+_[A-Z_0-9]+`' "$root/$map" | tr -d '`' | sort -u | while read -r name; do
            grep -qw "$name" "$sources" || echo "$map: $name"
        done
    done | expect_empty "no such thing"
}

@test "a function that the maps name with its file is defined there" {
    local map name file
    for map in $(maps); do
        tr '\n' ' ' <"$root/$map" | grep -oE '`[a-z_0-9]+\(\)` *\(`[a-z_0-9]+\.[ch]`' | tr -d '`()' |
            while read -r name file; do
                (cd "$root" && cat {core,shim,helper}/*/"$file" 2>/dev/null) |
                    grep -qE "^[a-z].*[ *]$name\(" || echo "$map: $name() in $file"
            done
    done | expect_empty "not there"
}

@test "the map of core lists exactly the circles of calls that exist" {
    # An item of the list names its files up to the first colon.
    awk '/^## / { on = /Circles/ } on && /^- / { names = 1 }
        on && names { print; if (/:/) names = 0 }' "$root/core/README.md" | sed 's/:.*//' |
        grep -oE '`[a-z_]+\.c`' | tr -d '`' | sort >"$BATS_TEST_TMPDIR/listed"
    (cd "$root" && tests/structure/circles "$BUILD/obj" core) | tr ' ' '\n' | sed 's|.*/||' |
        sort >"$BATS_TEST_TMPDIR/there"
    [ -s "$BATS_TEST_TMPDIR/there" ]
    diff "$BATS_TEST_TMPDIR/there" "$BATS_TEST_TMPDIR/listed"
}
