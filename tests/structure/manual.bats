#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The manual pages agree with the programs. (Defaults are checked by tests/unit/test_manual.c.)

setup_file() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    make -s -C "$root" BUILD="${BUILD:-build}" man >&2
}

setup() {
    load lib
    there=$BATS_TEST_TMPDIR/there
}

# page NAME.SECTION: prints the path of the page's source.
page() { tree "$1.scd" "*/$1.scd" | sed "s|^|$root/|"; }

# expect_same EXPLANATION: the file $there and stdin must have the same lines, in any order.
expect_same() {
    sort >"$BATS_TEST_TMPDIR/here"
    [ -s "$BATS_TEST_TMPDIR/here" ] || fail "$1: found nothing to compare"
    diff <(sort "$there") "$BATS_TEST_TMPDIR/here" | grep '^[<>]' | expect_empty "$1"
}

@test "there is a page for each program, each configuration file, and the overview" {
    run bash -c "cd '$BUILD/man' && ls *.[0-9]"
    assert_output "smux-gateway.8
smux-gateway.conf.5
smux-helper.8
smuxctl.1
smuxshim.1
smuxshim.7
smuxshim.conf.5"
}

@test "mandoc reports no warning" {
    mandoc -T lint -W warning "$BUILD"/man/*.[0-9]
}

# section HEADING: prints the lines of stdin under this heading.
section() { awk -v heading="# $1" '/^# / { on = $0 == heading; next } on'; }

# options PROGRAM PAGE: compares the options in the usage ("-c, --config FILE") with those in the
# page.
options() {
    "$BUILD/$1" --help |
        sed -nE 's/^  +((-[A-Za-z], )?--[a-z-]+( [A-Z]+)?)  .*/\1/p' >"$there"
    section OPTIONS <"$(page "$2")" | grep '^\*-' | tr -d '*_' |
        expect_same "$1: only in the usage (<) or only in the page (>)"
}

@test "every option of a program is in its page, and no other" {
    options smuxshim smuxshim.1
    options smuxctl smuxctl.1
    options smux-helper smux-helper.8
    options smux-gateway smux-gateway.8
}

@test "every command of smuxctl is in its page, and no other" {
    "$BUILD/smuxctl" --help | sed -nE 's/^  ([a-z]+) .*/\1/p' >"$there"
    section COMMANDS <"$(page smuxctl.1)" | sed -nE 's/^\*([a-z]+)\*.*/\1/p' |
        expect_same "smuxctl: only in the usage (<) or only in the page (>)"
}

# keys SECTION PAGE COMMAND...: compares the keys that the program expects in a section, which its
# message about an unknown key lists, with those in the page.
keys() {
    local section=$1 page=$2
    shift 2
    printf '[%s]\nno-such-key = 1\n' "$section" >"$BATS_TEST_TMPDIR/keys.conf"
    run "$@"
    [ "$status" = 2 ] || fail "$output"
    sed -nE 's/.*expected (one of )?//p' <<<"$output" | sed 's/, \| or /\n/g' >"$there"
    section "[$section]" <"$(page "$page")" | sed -nE 's/^\*([a-z0-9-]+)\* = .*/\1/p' |
        expect_same "[$section]: only in the program (<) or only in the page (>)"
}

@test "every key of the configurations is in their pages, and no other" {
    local section
    for section in "gateway NAME" "route NAME" helper names socks "forward NAME"; do
        keys "$section" smuxshim.conf.5 "$BUILD/smuxctl" -c "$BATS_TEST_TMPDIR/keys.conf" check
    done
    for section in listen "client NAME"; do
        keys "$section" smux-gateway.conf.5 "$BUILD/smux-gateway" -c "$BATS_TEST_TMPDIR/keys.conf"
    done
}

@test "every key states its default" {
    local name
    for name in smuxshim.conf.5 smux-gateway.conf.5; do
        awk '/^#|^\*[a-z0-9-]+\* = / {
                 if (key != "" && n != 1) print key ": " n + 0 " defaults"
                 key = ""; n = 0
             }
             /^\*[a-z0-9-]+\* = / { key = $1 }
             /^\tDefault: / { n++ }' "$(page $name)"
    done | expect_empty "expected one line \"Default: ...\""
}

@test "every environment variable of ours is in the launcher's page, and no other" {
    c_files core shim helper | (cd "$root" && xargs grep -ohE '"SMUXSHIM_[A-Z]+"') |
        tr -d '"' | sort -u >"$there"
    section ENVIRONMENT <"$(page smuxshim.1)" | grep -oE '^\*SMUXSHIM_[A-Z]+\*' | tr -d '*' |
        expect_same "only in the code (<) or only in the page (>)"
}

@test "every page of ours that another page refers to exists" {
    tree '*.scd' | (cd "$root" && xargs grep -ohE '\*smux[a-z.-]*\*\([0-9]\)') |
        tr -d '*)' | tr '(' '.' | sort -u |
        while read -r name; do [ -n "$(page "$name")" ] || echo "$name"; done |
        expect_empty "no such page"
}

@test "the configurations in the pages are accepted" {
    local name block
    for name in smuxshim.conf.5 smux-gateway.conf.5; do
        block=$BATS_TEST_TMPDIR/$name
        section EXAMPLES <"$(page $name)" | awk '/^```/ { on = !on; next } on' >"$block"
        [ -s "$block" ] || fail "no example in $name"
    done
    # This user may not exist here.
    sed -i 's/www-data/root/' "$BATS_TEST_TMPDIR/smuxshim.conf.5"
    "$BUILD/smuxctl" -c "$BATS_TEST_TMPDIR/smuxshim.conf.5" check
    # Status 1: it cannot listen at that address. A mistake in the file would be status 2.
    run "$BUILD/smux-gateway" -c "$BATS_TEST_TMPDIR/smux-gateway.conf.5"
    [ "$status" = 1 ] || fail "$output"
}

# references: lines "FILE<TAB>TITLE" for every test that the table of threats names.
references() {
    section THREATS <"$(page smuxshim.7)" | tr '\n\t' '  ' | tr -s ' ' | python3 -c '
import re, sys
file = None
for name, title in re.findall(r"_(\w+\.(?:bats|c))_|\"([^\"]+)\"", sys.stdin.read()):
    file = name or file
    if title:
        print(file, title, sep="\t")'
}

@test "every threat says what it can do, what it cannot, and names tests that exist" {
    local file title
    assert_equal "$(section THREATS <"$(page smuxshim.7)" | grep -oE '^\*[^*]+\*|^	(Can|Cannot|Tests): ' | tr -d '\n\t:*')" \
        "A local strangerCan Cannot Tests An admitted local userCan Cannot Tests A hostile targetCan Cannot Tests A hostile clientCan Cannot Tests A hostile gatewayCan Cannot Tests The networkCan Cannot Tests "
    references >"$there"
    [ "$(wc -l <"$there")" -ge 25 ] || fail "found only $(wc -l <"$there") tests"
    while IFS=$'\t' read -r file title; do
        case $file in
        *.bats) grep -qF "@test \"$title\" {" "$root/tests/e2e/$file" ;;
        *.c) grep -qE "^ +(cmocka_unit_test|TEST)\(${title// /_}\)," "$root/tests/unit/$file" ;;
        esac || echo "$file: $title"
    done <"$there" | expect_empty "smuxshim(7) names tests that do not exist"
}
