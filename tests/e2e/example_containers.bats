#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# examples/containers: what its files say is run here in namespaces; images are not built. For this,
# the root of containers is this machine's, with the programs.

load pods

example=$root/examples/containers

# packages STAGE: what a stage of the Containerfile installs.
packages() {
    sed ':a; /\\$/ { N; s/\\\n//; ta }' "$example/Containerfile" | awk -v stage="$1" '
        $1 == "FROM" { on = $NF == stage }
        on && /apt-get install/' | sed 's/.*--no-install-recommends//; s/&&.*//' | xargs -n 1
}

# Prints the package of a file; where /lib is a link to /usr/lib, dpkg may know it by the other path.
package_of() { { dpkg-query -S "$1" || dpkg-query -S "${1#/usr}"; } 2>/dev/null | cut -d: -f1; }

# provided PACKAGE: a package of run.list is this one, or one that it provides: its name in an older release.
provided() { dpkg-query -W -f '${Package}, ${Provides}\n' "$1" | sed 's/ ([^)]*)//g; s/, */\n/g' | grep -qxFf run.list; }

@test "the images install what is needed to build the programs, and to run them" {
    local program library package
    packages build >build.list
    # A container needs no manual pages, and has bash.
    awk '$2 ~ /(^|,)build(,|$)/ && $1 !~ /^(bash|scdoc)$/ { print $1 }' "$root/.ci/packages" | sort | diff - <(sort build.list)
    { packages programs && echo libc6; } >run.list
    for program in smux-gateway smux-helper smuxctl smuxshim libsmuxshim.so; do
        ldd "$BUILD/$program" | awk '$3 ~ /^\// { print $3 }'
    done | sort -u | xargs realpath >libraries
    assert [ "$(wc -l <libraries)" -ge 4 ]
    # What these packages depend on is installed with them: libz, for example, with libssl of Debian 13.
    while read -r library; do
        package_of "$library"
    done <libraries >needed
    while read -r package; do
        provided "$package" && dpkg-query -W -f '${Depends}\n' "$package"
    done <needed | sed 's/ ([^)]*)//g; s/, */\n/g' >with_them
    while read -r package; do
        provided "$package" || grep -qxF "$package" with_them || fail "the images lack $package"
    done <needed
    # The library that is loaded at run time.
    grep -qx "$(strings "$BUILD/smux-gateway" | sed -n 's/^\(libmicrohttpd\)\.so\.\([0-9]*\)$/\1\2/p' | head -n 1)" run.list
}

@test "compose: a program of another image reaches redis over helper and gateway, by its name" {
    python3 "$fixtures/compose.py" "$example/compose.yaml" "$example/Containerfile" >pods.yaml
    mkdir -p work/secrets/compose work/host
    "$BUILD/smuxctl" genpsk compose work/secrets/compose/psk
    # As the Containerfile makes it, for the volume named socket.
    sh -c "$(sed -n 's/^RUN \(install -d .*\) \/run\/smuxshim$/\1 work\/host\/socket/p' "$example/Containerfile")"
    plug_in redis 192.0.2.200/24
    plug_in gateway 192.0.2.20/24
    plug_in front 192.0.2.30/24
    in_network redis nft 'table ip back { chain input { type filter hook input priority 0;
        ip saddr 192.0.2.30 reject; }; }'
    echo 192.0.2.200 redis >hosts
    pod redis Pod/redis pods.yaml
    pod gateway Pod/gateway pods.yaml
    echo 192.0.2.20 gateway >hosts.front # names of the other network are not known there
    hosts=hosts.front network=front pod helper Pod/helper pods.yaml
    hosts=hosts.front network=front once library Pod/library pods.yaml
    hosts=hosts.front network=front once app Pod/app pods.yaml
    assert grep -qx PONG app.log
}
