#!/usr/bin/env bats
# What the README says is so.

setup() {
    load lib
    readme=$root/README.md
}

# blocks LANGUAGE: the README's code blocks of a language, each in a file of its own.
blocks() {
    awk -v language="$1" -v dir="$BATS_TEST_TMPDIR" '
        $0 == "```" language { file = dir "/block" ++n "." language; next }
        /^```/ { file = "" }
        file { print >file }' "$readme"
    compgen -G "$BATS_TEST_TMPDIR/block*.$1"
}

# missing: lines of stdin (keys) that the README does not have in backquotes.
missing() {
    while read -r key; do
        grep -qF "\`$key\`" "$readme" || echo "$key"
    done
}

@test "every key of the configuration is in the README" {
    local keys
    keys=$(cd "$root" && {
        grep -ohE '^ *(GATEWAY|HELPER)\("[a-z-]+"' shim/config.c
        grep -ohE '^ *KEY\("[a-z-]+"' helper/gateway_config.c
        grep -ohE '^ *\{"[a-z-]+", \{' shim/routes.c
    } | grep -oE '"[a-z-]+"' | tr -d '"' | sort -u)
    [ "$(wc -l <<<"$keys")" -gt 25 ]
    missing <<<"$keys" | expect_empty "not in README.md"
}

@test "every environment variable is in the README" {
    (cd "$root" && grep -ohE '"SMUXSHIM_[A-Z]+"' shim/*.[ch] helper/*.[ch]) | tr -d '"' | sort -u |
        while read -r name; do grep -q "$name" "$readme" || echo "$name"; done |
        expect_empty "not in README.md"
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
    for block in $(blocks ini); do
        if grep -q '^\[listen\]' "$block"; then
            # Its address is not ours to listen at; anything else would be a mistake in the file.
            run "$BUILD/smux-gateway" -c "$block"
            [ "$status" = 1 ] || fail "$output"
        else
            "$BUILD/smuxctl" -c "$block" check
        fi
    done
}

@test "the README's programs compile without warnings" {
    local block
    for block in $(blocks c); do
        cc -std=gnu11 -Wall -Wextra -Werror -I"$root/core" -c -o "$BATS_TEST_TMPDIR/program.o" "$block"
    done
}
