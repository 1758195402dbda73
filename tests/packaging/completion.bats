#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Completion in bash, zsh and fish, as `make install` installs it. What is completed is read from the
# programs' usage, so that an option or a command which a shell does not know is found.

load stage

setup_file() {
    lines=$BATS_FILE_TMPDIR/lines expected=$BATS_FILE_TMPDIR/expected
    export lines expected
    install_staged PREFIX=/usr
    files=$BATS_FILE_TMPDIR/files
    mkdir "$files"
    touch "$files/first.conf" "$files/second.conf"
    every_option
    by_hand
    [ "$(wc -l <"$lines")" -gt 40 ]
}

# case_of LINE COMPLETED
case_of() { printf '%s\n' "$1" >>"$lines" && printf '%s\n' "$2" >>"$expected"; }

# Each long option and each command, without its last letter. zsh says that a value is to follow by
# "=" in place of a blank.
every_option() {
    local program word value
    for program in smuxshim smuxctl smux-helper smux-gateway; do
        while read -r word value; do
            case_of "$program ${word%?}" "$program $word${value:+=}"
        done < <("$stage/usr/bin/$program" --help | sed -nE 's/^  +(-., )?(--[a-z-]+)( [A-Z]+)?  .*/\2\3/p')
    done
    while read -r word; do
        case_of "smuxctl ${word%?}" "smuxctl $word"
    done < <("$stage/usr/bin/smuxctl" --help | sed -nE 's/^  ([a-z]+) .*/\1/p')
}

by_hand() {
    case_of "smuxctl -c $files/fir" "smuxctl -c $files/first.conf"
    case_of "smuxctl -c $files/first.conf dra" "smuxctl -c $files/first.conf drain"
    case_of "smuxctl --config=$files/sec" "smuxctl --config=$files/second.conf"
    case_of "smuxctl --json sta" "smuxctl --json status"
    case_of "smuxctl genkey $files/fir" "smuxctl genkey $files/first.conf"
    case_of "smuxctl genpsk office $files/fir" "smuxctl genpsk office $files/first.conf"
    case_of "smuxctl genpsk $files/fir" "smuxctl genpsk $files/fir" # a name
    case_of "smuxctl drain sta" "smuxctl drain sta"                 # no command behind a command
    case_of "smux-gateway -u nobod" "smux-gateway -u nobody"
    case_of "smux-helper -g unix" "smux-helper -g unix:///"
    case_of "smuxshim sha256su" "smuxshim sha256sum"
    case_of "smuxshim -v -c $files/first.conf sha256su" "smuxshim -v -c $files/first.conf sha256sum"
    case_of "smuxshim git --versi" "smuxshim git --version"
    case_of "smuxshim git cherry-p" "smuxshim git cherry-pick"
    case_of "smuxshim cat $files/sec" "smuxshim cat $files/second.conf"
}

# completes SHELL FOLDER
completes() {
    PATH=$stage/usr/bin:$PATH timeout 120 python3 "$BATS_TEST_DIRNAME/complete.py" "$1" "$stage/usr/share/$2" <"$lines" |
        sed -E 's/ $//' >"$BATS_TEST_TMPDIR/completed"
    # fish and bash leave a blank behind an option with a value.
    diff <(sed -E 's/ (--[a-z-]+)=$/ \1/' "$expected") <(sed -E 's/ (--[a-z-]+)=$/ \1/' "$BATS_TEST_TMPDIR/completed")
}

@test "bash completes every option, every command, files, users and other programs" {
    completes bash bash-completion/completions
}

@test "zsh completes every option, every command, files, users and other programs" {
    completes zsh zsh/site-functions
}

@test "fish completes every option, every command, files, users and other programs" {
    completes fish fish/vendor_completions.d
}

@test "bash without the bash-completion package completes commands, programs and files" {
    run -0 bash --norc -c '
        for file in "$1"/usr/share/bash-completion/completions/*; do . "$file"; done
        compopt() { :; }
        PATH=/usr/bin
        asked() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); "_$1"; echo "${COMPREPLY[@]}"; }
        asked smuxctl gen
        asked smuxshim sha256su
        asked smuxshim cat /etc/hostnam' - "$stage"
    assert_output "genpsk genkey
sha256sum
/etc/hostname"
}

@test "shellcheck has nothing to say about the completion for bash" {
    shellcheck -s bash "$stage"/usr/share/bash-completion/completions/*
}

@test "a usage without options is an error, and leaves no file" {
    run -1 --separate-stderr awk -v program=none -v shell=bash -f "$root/core/common/completion.awk" </dev/null
    assert_equal "$stderr" "completion.awk: no options in the usage of none"
}

# Debian's own awk is mawk; gawk accepts more than POSIX says.
@test "completion and manual pages are made by mawk as by gawk" {
    local program shell awk tidy=$BATS_TEST_TMPDIR/tidy.awk
    for program in smuxshim smuxctl smux-helper smux-gateway; do
        for shell in bash zsh fish; do
            for awk in mawk gawk; do
                "$stage/usr/bin/$program" --help | $awk -v program="$program" -v shell="$shell" \
                    -f "$root/core/common/completion.awk" >"$BATS_TEST_TMPDIR/$awk"
            done
            assert [ -s "$BATS_TEST_TMPDIR/mawk" ]
            cmp "$BATS_TEST_TMPDIR/mawk" "$BATS_TEST_TMPDIR/gawk"
        done
    done
    sed '1,/^define MAN_TIDY/d; /^endef/,$d' "$root/Makefile" >"$tidy"
    scdoc <"$root/helper/ctl/smuxctl.1.scd" >"$BATS_TEST_TMPDIR/page"
    for awk in mawk gawk; do $awk -f "$tidy" "$BATS_TEST_TMPDIR/page" >"$BATS_TEST_TMPDIR/$awk"; done
    assert [ -s "$BATS_TEST_TMPDIR/mawk" ]
    cmp "$BATS_TEST_TMPDIR/mawk" "$BATS_TEST_TMPDIR/gawk"
}
