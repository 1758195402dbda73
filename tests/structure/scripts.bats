#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# No script of this tree fails without a message. `make check` once did: a package had another name
# in the next release, `dpkg -L` failed at the head of a pipeline, and the status was 1 without any
# output.

setup() {
    load lib
    bats_require_minimum_version 1.5.0
    stubs=$BATS_TEST_TMPDIR/stubs broken=$BATS_TEST_TMPDIR/broken
    mkdir "$stubs" "$broken"
    for tool in apt-get sudo sleep; do stub $tool; done # nothing happens to this machine, and at once
    cd "$root" || return
}

# stub NAME [OUTPUT]: makes a program that prints OUTPUT and succeeds.
stub() { printf '#!/bin/bash\nprintf "%%b" "%s"\n' "${2-}" >"$stubs/$1" && chmod +x "$stubs/$1"; }

tools=(apt-get awk basename cargo cat comm cp date dirname dpkg dpkg-query env find git go grep head id
    make mkdir mktemp nproc realpath rm sed seq sort ss sudo systemctl tail timeout uname wc)

# never_silent SCRIPT ARGUMENT...: whichever of its tools fails, the script succeeds nevertheless or
# says what has failed.
never_silent() {
    local tool
    for tool in "${tools[@]}"; do
        grep -qw -- "$tool" "$1" || continue
        printf '#!/bin/bash\nexit 3\n' >"$broken/$tool"
        chmod +x "$broken/$tool"
        run --separate-stderr env PATH="$broken:$stubs:$PATH" BUILD="$BATS_TEST_TMPDIR/build" "$@" </dev/null
        rm "$broken/$tool"
        [ "$status" = 0 ] || [ -n "$stderr" ] || [[ $output == *failed* ]] ||
            fail "$* ends with $status and says nothing if $tool fails"
    done
}

@test "scripts that end at the first failing command report which one it was" {
    tree .ci tests examples | (cd "$root" && xargs grep -lE '^#!.*\bbash|^# shellcheck shell=bash') |
        (cd "$root" && xargs grep -nE '^ *set (-[A-Za-z]*e|-o errexit)') |
        expect_empty "in place of this, source tests/run/loud.bash"
}

@test "a failing command is reported with its line and status" {
    printf '%s\n' ". $root/tests/run/loud.bash" 'inner() { false | cat; }' inner 'echo not reached' >"$BATS_TEST_TMPDIR/script"
    run --separate-stderr bash "$BATS_TEST_TMPDIR/script"
    assert_failure 1
    assert_output ""
    assert_equal "$stderr" "$BATS_TEST_TMPDIR/script: line 2: exit status 1 of: inner() { false | cat; }"
}

@test "packages: failures are reported, whether everything is installed or everything is missing" {
    never_silent tests/run/packages build check
    # A simulated machine without any package; nothing is changed on the real one.
    for tool in sh systemctl rm; do stub $tool; done
    stub find 'one.service\ntwo.service\n'
    stub dpkg-query 'installed base-files, base\n'
    mkdir -p "$BATS_TEST_TMPDIR/tree/tests/run" "$BATS_TEST_TMPDIR/tree/.ci"
    cp tests/run/packages tests/run/loud.bash "$BATS_TEST_TMPDIR/tree/tests/run"
    awk '/^[a-z]/ { print $1, $2, "no-such-command" }' .ci/packages >"$BATS_TEST_TMPDIR/tree/.ci/packages"
    never_silent "$BATS_TEST_TMPDIR/tree/tests/run/packages" build check
}

@test "packages: a library that another package provides is not missing" {
    stub dpkg-query 'installed libnew1t64, libnew1 (= 2.0), libold1\ninstalled other, \n'
    stub apt-get 'installed it'
    mkdir -p "$BATS_TEST_TMPDIR/tree/tests/run" "$BATS_TEST_TMPDIR/tree/.ci"
    cp tests/run/packages tests/run/loud.bash "$BATS_TEST_TMPDIR/tree/tests/run"
    printf '%s\n' 'libnew1 check' 'libold1 check' 'other check' >"$BATS_TEST_TMPDIR/tree/.ci/packages"
    run env PATH="$stubs:$PATH" "$BATS_TEST_TMPDIR/tree/tests/run/packages" check
    assert_success
    assert_output ""
}

@test "port, suites and the interop peers' build: failures are reported" {
    printf 'one 60 echo "ok 1 - one"; echo 1..1\n' >"$BATS_TEST_TMPDIR/table"
    never_silent tests/run/port "$BATS_TEST_TMPDIR"
    never_silent tests/run/suites "$BATS_TEST_TMPDIR/table"
    stub make
    stub go
    stub cargo
    mkdir -p "$BATS_TEST_TMPDIR/build/interop/rust-target/release"
    touch "$BATS_TEST_TMPDIR/build/interop/rust-target/release/rust-peer"
    never_silent tests/interop/build.sh "$BATS_TEST_TMPDIR/build"
}

@test "make check: failures are reported" {
    stub make # its builds and suites do nothing here
    stub timeout 'ok 1 - one\n1..1\n'
    never_silent tests/run/check structure
}

@test "a suite with thousands of failures is reported, and so is the total" {
    printf 'many 60 seq -f "not ok %%.0f - a test that fails" 20000; echo 1..20000\n' >"$BATS_TEST_TMPDIR/table"
    run env BUILD="$BATS_TEST_TMPDIR/build" tests/run/suites "$BATS_TEST_TMPDIR/table"
    assert_failure
    assert_line --index -1 "0 passed, 20000 failed"
}

# A bats file of two tests, the second of which fails in the runs of the file that are named.
unsteady_file() { # RUN...
    printf '%s\n' "setup_file() { echo >>'$BATS_TEST_TMPDIR/runs'; }" \
        '@test "steady" { true; }' \
        "@test \"unsteady\" { ! grep -qw \"\$(wc -l <'$BATS_TEST_TMPDIR/runs')\" <<<\"$*\"; }" \
        >"$BATS_TEST_TMPDIR/file.bats"
    printf 'some 600 tests/run/bats "%s"\n' "$BATS_TEST_TMPDIR/file.bats" >"$BATS_TEST_TMPDIR/table"
    run env BUILD="$BATS_TEST_TMPDIR/build" tests/run/suites "$BATS_TEST_TMPDIR/table"
}

@test "a test that failed once and passes three times alone has passed, and is named at the end" {
    unsteady_file 1
    assert_success
    assert_line --index -2 --regexp '^some: unsteady: not ok 2 unsteady'
    assert_line --index -1 "2 passed, 0 failed"
}

@test "a test that fails again when it runs alone has failed" {
    local runs
    for runs in "1 2" "1 4" "1 2 3 4"; do
        rm -f "$BATS_TEST_TMPDIR/runs"
        unsteady_file "$runs"
        assert_failure
        assert_line --index -2 --regexp '^some: not ok 2 unsteady'
        assert_line --index -1 "1 passed, 1 failed"
    done
}
