# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Systems of other releases of Debian in a folder, laid by debootstrap from the mirror that this
# machine's apt uses. Needs root. The caller has a function `refuse`, which ends it with a line.

chroot_needs() {
    [ "$(id -u)" = 0 ] || refuse "this needs root"
    command -v debootstrap >/dev/null || refuse "this needs debootstrap (apt-get install debootstrap)"
}

# The mirror and the ways to it are this machine's own.
chroot_mirror() {
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format '$(LABEL)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian|main|//p' | sort -u | sed -n 1p
}
chroot_apt() { apt-config dump | sed -n -E '/^Acquire::(https?|ftp|Check-|Retries|AllowInsecure)/p'; }

# chroot_lay FOLDER RELEASE PACKAGES: lays a system there, unless there is one.
chroot_lay() {
    local system=$1 release=$2 packages=$3 from proxy=
    if [ ! -e "$system/etc/debian_version" ]; then
        from=$(chroot_mirror)
        [ -n "$from" ] || refuse "apt knows no mirror of Debian here"
        eval "$(apt-config shell proxy Acquire::http::Proxy)"
        [ -z "$proxy" ] || export http_proxy=$proxy
        debootstrap --variant=minbase --include="$packages" "$release" "$system" "$from" >"$system.log" 2>&1 || {
            tail -n 20 "$system.log" >&2
            refuse "debootstrap failed, see above and $system.log"
        }
        rm "$system.log"
        mkdir -p "$system/usr/local/share/ca-certificates"
        cp -a /usr/local/share/ca-certificates/. "$system/usr/local/share/ca-certificates"
        chroot_apt >"$system/etc/apt/apt.conf.d/99from-outside"
    fi
    cp -L /etc/resolv.conf /etc/hosts "$system/etc/"
}

# chroot_run FOLDER COMMAND...: in a mount namespace with FOLDER as its root, as in a container.
# Processes that are left end with their PID namespace. Variables NAME=VALUE may come before the
# command.
chroot_run() {
    # shellcheck disable=SC2016 # for the inner shell
    unshare --mount --pid --fork --kill-child bash -ec '
        system=$1
        shift
        mount --bind "$system" "$system"
        cd "$system"
        mount -t proc proc proc
        mount --rbind /sys sys
        mount --rbind /dev dev
        mount -t tmpfs -o mode=1777 tmpfs dev/shm
        mkdir -p mnt/outside
        pivot_root . mnt/outside
        umount --lazy /mnt/outside
        exec /usr/bin/env -i HOME=/root USER=root LC_ALL=C.UTF-8 TERM=dumb CI="${CI-}" \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
    ' - "$@" </dev/null
}

# chroot_boot FOLDER COMMAND...: boots the system by systemd, in namespaces, with a loopback device only,
# runs the command in it and halts it.
chroot_boot() {
    local system=$1 container leader tries=600 status=0
    shift
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --directory "$system" --register=no --keep-unit \
        --private-network --console=pipe --boot </dev/null >"$system.boot" 2>&1 &
    container=$!
    chroot_in() {
        leader=$(pgrep -P "$container") && nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root --wd \
            /usr/bin/env -i HOME=/root USER=root LC_ALL=C.UTF-8 TERM=dumb \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" </dev/null
    }
    chroot_is_up() { [[ $(chroot_in systemctl is-system-running 2>/dev/null) = @(running|degraded) ]]; }
    until chroot_is_up; do
        if ! kill -0 "$container" 2>/dev/null || [ $((tries -= 1)) = 0 ]; then
            cat "$system.boot" >&2
            echo "the system in $system does not boot" >&2
            kill "$container" 2>/dev/null
            return 1
        fi
        sleep 0.2
    done
    chroot_in "$@" || status=$?
    # RTMIN+4 is poweroff for systemd, and needs no bus.
    leader=$(pgrep -P "$container") && kill -s RTMIN+4 "$leader"
    wait "$container"
    rm -f "$system.boot"
    return "$status"
}
