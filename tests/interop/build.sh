#!/bin/bash
# SPDX-License-Identifier: MIT
# build.sh [BUILD_DIR]: builds all peers into BUILD_DIR/interop (without one: $BUILD, or build).
#
# A foreign peer whose toolchain is missing (or whose library, without a network) is left out: the
# reason is printed and kept in NAME.missing, and its tests skip with it.  With CI=true that is a
# failure.  Code that does not compile is always one.
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/run/loud.bash
. "$here/../run/loud.bash"
build=$(realpath -m "${1:-${BUILD:-$here/../../build}}")
out=$build/interop
mkdir -p "$out"

leave_out() { # NAME REASON
    echo "interop: $1 is not built: $2" >&2
    if [ "${CI:-}" = true ]; then
        exit 1
    fi
    echo "$2" >"$out/$1.missing"
    rm -f "$out/$1"
}

have() { # NAME PROGRAM
    rm -f "$out/$1.missing"
    command -v "$2" >/dev/null || { leave_out "$1" "$2 is not installed"; return 1; }
}

# thrice COMMAND...: tries up to three times, for downloads.
thrice() {
    local try
    for try in 1 2 3; do
        "$@" && return
        [ $try = 3 ] || sleep $((5 * try))
    done
    return 1
}

# The module's own pinned version.
build_go_newest() {
    have go-peer go || return 0
    cd "$here/go-peer"
    thrice go mod download || { leave_out go-peer "its Go modules cannot be fetched (tried three times)"; return 0; }
    local version
    version=$(go list -m -f '{{.Version}}' github.com/xtaci/smux)
    go build -buildvcs=false -ldflags "-X main.libraryVersion=$version" -o "$out/go-peer" .
}

# The same source, with the library as Debian packages it.
build_go_debian() {
    have go-peer-debian go || return 0
    local package=golang-github-xtaci-smux-dev directory version
    directory=$(dpkg -L $package 2>/dev/null | sed -n 's|/session\.go$||p') || true
    if [ -z "$directory" ]; then
        leave_out go-peer-debian "$package is not installed"
        return 0
    fi
    version=$(dpkg-query -W -f '${Version}' $package)
    cat >"$out/debian.mod" <<MOD
module smuxshim/tests/interop/go-peer
go 1.18
require github.com/xtaci/smux v0.0.0
replace github.com/xtaci/smux => $directory
MOD
    cd "$here/go-peer"
    go build -buildvcs=false -modfile="$out/debian.mod" -ldflags "-X main.libraryVersion=$version" \
        -o "$out/go-peer-debian" .
}

# kcp-go and all that it needs, as Debian packages them: newer versions ask for a newer Go than
# Debian's.
build_kcp_go() {
    have kcp-go-peer go || return 0
    local package=golang-github-xtaci-kcp-dev directory path=$out/kcp-go-path
    directory=$(dpkg -L $package 2>/dev/null | sed -n 's|/sess\.go$||p') || true
    if [ -z "$directory" ]; then
        leave_out kcp-go-peer "$package is not installed"
        return 0
    fi
    # Its major version is a part of its name only for modules.
    mkdir -p "$path/src/github.com/xtaci/kcp-go"
    ln -sfn "$directory" "$path/src/github.com/xtaci/kcp-go/v5"
    cd "$here/kcp-go-peer"
    GO111MODULE=off GOPATH=$path:${directory%/src/*} go build -buildvcs=false -o "$out/kcp-go-peer" .
}

build_rust() {
    have rust-peer cargo || return 0
    cd "$here/rust-peer"
    thrice cargo fetch --locked -q || { leave_out rust-peer "its crates cannot be fetched (tried three times)"; return 0; }
    CARGO_TARGET_DIR=$out/rust-target cargo build --release --locked -q
    cp "$out/rust-target/release/rust-peer" "$out/rust-peer"
}

make -s -C "$here/../.." BUILD="$build" all interop
build_go_newest
build_go_debian
build_kcp_go
build_rust
