# SPDX-License-Identifier: MIT
# Shared by the end-to-end tests: ports, processes, servers, gateway and helper.
#
# Every test has its own ports and its own folder. Whatever is started with `spawn` is stopped by
# its pid in teardown. With E2E_DIRECT=1 the programs run without the shim, which shows that the
# tests themselves are right. With SMUX_TEST_CARRIER=tls gateways and helpers speak TLS, with a secret
# made on the spot, unless the test has said `over_tcp`.
#
# The functions set variables for the tests: ports, pids, paths.
# shellcheck disable=SC2034

root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=$(realpath -m "${BUILD:-$root/build}")
fixtures=$root/tests/e2e/programs
load /usr/lib/bats/bats-support/load
load /usr/lib/bats/bats-assert/load
bats_require_minimum_version 1.5.0
# The machine's and the user's own configuration must not influence a test.
unset SMUXSHIM_CONFIG SMUXSHIM_ROUTES SMUXSHIM_GATEWAY SMUXSHIM_SOCKET SMUXSHIM_LOG SMUXSHIM_STRICT \
    SMUXSHIM_DISABLE http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY
export LC_ALL=C.UTF-8
# Some tests are about fork in a multithreaded program, of which Python 3.12 and later warn.
export PYTHONWARNINGS=ignore::DeprecationWarning
PATH=$PATH:/usr/sbin:/sbin

# ---- Waiting, ports, processes ------------------------------------------------------------------

# The folder of this test or, in setup_file, of the test file.
work() { echo "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}"; }

# wait_until WHAT COMMAND...: polls for a minute, then fails naming WHAT.
wait_until() {
    local what=$1 tries=1200
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "waited in vain for $what" >&2; return 1; }
        sleep 0.05
    done
}

free_port() { "${BASH_SOURCE[0]%/*}/../run/port" "${SMUX_TEST_RUN:-$BATS_RUN_TMPDIR}"; }

listening() { ss -Hltn "sport = :$1" | grep -q .; }

# has_waiting SOCKET: a connection waits for being accepted at the unix socket.
has_waiting() { ss -Hxl | awk -v at="$1" '$5 == at && $3 > 0 { found = 1 } END { exit !found }'; }

alive() { grep -qs '^[0-9]* (.*) [^Z]' "/proc/$1/stat"; }

# spawn NAME COMMAND...: runs COMMAND in the background, with its output in NAME.log and its pid in
# $spawned. TERM, or $spawn_signal, must end it cleanly. A function given as the command must run
# its program by `$exec program`, so that the pid is that of the program.
exec=
spawn() {
    local name=$1 dir
    dir=$(work)
    shift
    run_spawned "$@" >>"$dir/$name.log" 2>&1 </dev/null 3>&- 4>&- &
    spawned=$!
    echo "$spawned ${spawn_signal:-TERM}" >>"$dir/spawned"
}

run_spawned() {
    exec="exec"
    [ "$(type -t "$1")" = function ] || exec "$@"
    "$@"
}

# serve NAME PORT COMMAND...: spawns a server and waits until it listens.
serve() {
    local name=$1 port=$2
    shift 2
    spawn "$name" "$@"
    wait_until "$name on port $port" serves "$spawned" "$port" || { cat "$(work)/$name.log" >&2; return 1; }
}

# A server that died must not be waited for.
serves() { listening "$2" || ! alive "$1"; }

# stop PID [SIGNAL]: ends a process within five seconds.
stop() {
    local tries=100
    kill -s "${2:-TERM}" "$1" 2>/dev/null || return 0
    kill -s CONT "$1" 2>/dev/null || return 0
    while alive "$1"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { kill -s KILL "$1" 2>/dev/null; return 0; }
        sleep 0.05
    done
}

# For teardown and teardown_file: ends everything that was spawned, newest first.
stop_all() {
    local dir pid signal
    dir=$(work)
    [ ! -e "$dir/spawned" ] || while read -r pid signal; do stop "$pid" "$signal"; done < <(tac "$dir/spawned")
    [ ! -e "$dir/public" ] || rm -rf "$(cat "$dir/public")"
}

# For teardown: shows the logs of a failed test's processes.
show_logs() {
    [ -z "${BATS_TEST_COMPLETED:-}" ] || return 0
    local log
    for log in "$BATS_TEST_TMPDIR"/*.log; do
        [ -s "$log" ] || continue
        echo "--- ${log##*/}"
        # In a sanitizer's report the important lines come first, in other logs last.
        grep -A 40 -m 1 -E 'ERROR: .*Sanitizer|runtime error:' "$log" || tail -n 15 "$log"
    done
}

# Makes a folder that other users may enter, and removes it at the end; those of bats admit their
# owner only.
public_dir() {
    local dir
    dir=$(work)
    [ -e "$dir/public" ] || { mktemp -d /tmp/smuxshim-e2e.XXXXXX >"$dir/public"; chmod 755 "$(cat "$dir/public")"; }
    cat "$dir/public"
}

# as_user USER COMMAND...: for programs that refuse to run as root.
as_user() {
    local user=$1
    shift
    if [ "$(id -u)" = 0 ]; then
        $exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
    else
        $exec "$@"
    fi
}

# ---- Servers ------------------------------------------------------------------------------------

# make_files: www/ with files of known content and their sums.
make_files() {
    local dir i
    dir=$(work)/www
    mkdir -p "$dir/put"
    head -c 33554432 /dev/urandom >"$dir/large"
    head -c 102400 /dev/urandom >"$dir/medium"
    for i in $(seq 200); do echo "file $i" >"$dir/small$i"; done
    echo hello >"$dir/index.html"
    (cd "$dir" && sha256sum large medium >sums)
    www=$dir
}

make_certificate() {
    cert=$(work)/cert.pem key=$(work)/key.pem
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 -keyout "$key" -out "$cert" 2>/dev/null
}

# start_nginx: www/ at $web_port (HTTP, IPv4 and IPv6) and $tls_port (HTTPS, HTTP/2); PUT below
# /put; one line per request in access.log: connection number, request, status, bytes.
start_nginx() {
    local dir
    dir=$(work)
    web_port=$(free_port) tls_port=$(free_port)
    [ -n "${www-}" ] || make_files
    make_certificate
    cat >"$dir/nginx.conf" <<END
daemon off;
pid $dir/nginx.pid;
error_log $dir/nginx-error.log;
worker_processes 2;
worker_rlimit_nofile 20000;
$([ "$(id -u)" != 0 ] || echo "user root;")
events { worker_connections 9000; }
http {
    log_format one '\$connection \$request \$status \$body_bytes_sent';
    access_log $dir/access.log one;
    client_max_body_size 100m;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    keepalive_requests 100000;
    server {
        listen 127.0.0.1:$web_port backlog=4096;
        listen [::1]:$web_port;
        listen 127.0.0.1:$tls_port ssl http2;
        ssl_certificate $cert;
        ssl_certificate_key $key;
        root $www;
        location /put/ { dav_methods PUT; }
    }
}
END
    spawn_signal=TERM serve nginx "$web_port" nginx -c "$dir/nginx.conf"
    export web_port tls_port www cert key
}

start_redis() {
    redis_port=$(free_port)
    serve redis "$redis_port" redis-server --port "$redis_port" --bind 127.0.0.1 --save "" --appendonly no \
        --dir "$(work)" --daemonize no
    export redis_port
}

# start_postgres: with trust authentication, and as its own user if we are root.
start_postgres() {
    local bin data
    bin=$(echo /usr/lib/postgresql/*/bin | awk '{ print $NF }')
    data=$(public_dir)/pg
    postgres_port=$(free_port)
    mkdir "$data"
    [ "$(id -u)" != 0 ] || chown postgres "$data"
    (cd / && as_user postgres "$bin/initdb" -D "$data" -U postgres -A trust --no-sync -E UTF8 --locale=C) \
        >"$(work)/initdb.log" 2>&1 || { cat "$(work)/initdb.log" >&2; return 1; }
    spawn_signal=INT serve postgres "$postgres_port" as_user postgres "$bin/postgres" -D "$data" \
        -c listen_addresses=127.0.0.1 -c port="$postgres_port" -c unix_socket_directories= -c fsync=off \
        -c max_connections=120
    wait_until "PostgreSQL to accept" pg_isready -h 127.0.0.1 -p "$postgres_port"
    export postgres_port PGHOST=127.0.0.1 PGPORT=$postgres_port PGUSER=postgres PGSSLMODE=disable
}

# start_sshd: with its own keys; the client's options are in $ssh_options.
start_sshd() {
    local dir
    dir=$(work)
    ssh_port=$(free_port)
    ssh-keygen -q -t ed25519 -N '' -f "$dir/hostkey"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/id"
    cp "$dir/id.pub" "$dir/authorized_keys"
    echo "[127.0.0.1]:$ssh_port $(cut -d' ' -f1,2 "$dir/hostkey.pub")" >"$dir/known_hosts"
    cat >"$dir/sshd_config" <<END
Port $ssh_port
ListenAddress 127.0.0.1
HostKey $dir/hostkey
AuthorizedKeysFile $dir/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
MaxStartups 200
Subsystem sftp internal-sftp
END
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
    serve sshd "$ssh_port" "$(command -v sshd)" -D -e -f "$dir/sshd_config"
    ssh_options="-F none -i $dir/id -o IdentitiesOnly=yes -o UserKnownHostsFile=$dir/known_hosts -o BatchMode=yes -o StrictHostKeyChecking=yes"
    export ssh_port ssh_options
}

start_iperf3() {
    iperf_port=$(free_port)
    serve iperf3 "$iperf_port" iperf3 -s -B 127.0.0.1 -p "$iperf_port"
    export iperf_port
}

# start_peer: starts the test server tests/e2e/programs/peer.py, which describes what it can do.
start_peer() {
    peer_port=$(free_port)
    serve peer "$peer_port" python3 "$fixtures/peer.py" "$peer_port"
    peer_pid=$spawned
    export peer_port peer_pid
}

# ---- Gateway and helper -------------------------------------------------------------------------

direct() { [ -n "${E2E_DIRECT-}" ]; }

# The scheme of carriers; and those that tests go through in turn.
carrier=${SMUX_TEST_CARRIER:-tcp}
carriers=${SMUX_TEST_CARRIER:-tcp tls}
[[ $carrier = tcp || $carrier = tls ]] || { echo "SMUX_TEST_CARRIER=$carrier: expected tcp or tls" >&2; exit 2; }

# over_tcp WHY: what follows runs over plain carriers in any case, and a run over TLS says so. A gateway
# that is running already is started anew.
over_tcp() {
    [ "$carrier" != tcp ] || return 0
    echo "# over TCP: $1" >&3
    carrier=tcp
    [ -z "${gateway_pid-}" ] || { stop "$gateway_pid"; start_gateway; }
}

# Prints the line of a configuration by which gateway and helper know each other over TLS.
carrier_trust() {
    [ "$carrier" = tls ] || return 0
    local psk=$BATS_FILE_TMPDIR/carrier.psk
    [ -e "$psk" ] || "$BUILD/smuxctl" genpsk test "$psk"
    echo "psk = $psk"
}

# secret_for USER: gives the user a copy of the secret, beside $smuxshim_conf, which names it from now on.
secret_for() {
    [ "$carrier" = tls ] || return 0
    local psk=${smuxshim_conf%/*}/$1.psk
    install -m 600 -o "$1" "$BATS_FILE_TMPDIR/carrier.psk" "$psk"
    sed -i "s|^psk = .*|psk = $psk|" "$smuxshim_conf"
}

# Sets $listen_options: what makes a gateway without a configuration listen at the port.
listen_at() {
    listen_options=(--listen "$carrier://127.0.0.1:$1")
    [ "$carrier" = tcp ] || {
        printf '%s\n' '[listen]' "$(carrier_trust)" >"$(work)/listen.conf"
        listen_options+=(-c "$(work)/listen.conf")
    }
}

start_gateway() {
    direct && return
    : "${gateway_port:=$(free_port)}"
    gateway_conf=$(work)/gateway.conf
    cat >"$gateway_conf" <<END
[listen]
address = $carrier://127.0.0.1:$gateway_port$([ "$carrier" = tcp ] || printf '\n%s' "$(carrier_trust)")
allow = ${gateway_allow:-127.0.0.1:*, [::1]:*, localhost:*}
drain-timeout = ${gateway_drain:-0}
${gateway_conf_lines-}
END
    serve gateway "$gateway_port" "$BUILD/smux-gateway" -c "$gateway_conf"
    gateway_pid=$spawned
}

# write_smuxshim_conf DESTINATIONS [ROUTE LINE...]: writes $smuxshim_conf with one route; additional
# lines of the [helper] section come from $helper_lines.
write_smuxshim_conf() {
    local dir destinations=$1 url=${gateway_url:-$carrier://127.0.0.1:$gateway_port} lines=${gateway_lines-}
    dir=${runtime_dir:=$(work)}
    shift
    [[ $carrier = tcp || $url != *tls:* ]] || lines=$(carrier_trust)${lines:+\\n$lines}
    smuxshim_conf=$dir/smuxshim.conf
    {
        printf '[gateway main]\naddress = %s\n%b\n' "$url" "$lines"
        printf '[route test]\ndestinations = %s\ngateway = main\n' "$destinations"
        [ $# = 0 ] || printf '%s\n' "$@"
        printf '\n[helper]\nsocket = %s/smuxshim-helper.sock\nautostart = no\n%b\n' "$dir" "${helper_lines-}"
    } >"$smuxshim_conf"
    chmod 644 "$smuxshim_conf"
}

start_helper() {
    direct && return
    spawn helper "$BUILD/smux-helper" -c "$smuxshim_conf" -f
    helper_pid=$spawned
    wait_until "the helper" helper_answers || { cat "$(work)/helper.log" >&2; return 1; }
}

helper_answers() { alive "$helper_pid" && ctl status; }

ctl() { "$BUILD/smuxctl" -c "$smuxshim_conf" "$@"; }

# start_both DESTINATIONS [ROUTE LINE...]
start_both() {
    direct && return
    start_gateway
    write_smuxshim_conf "$@"
    start_helper
}

# own_mounts COMMAND...: runs the command in a new mount namespace, from which no mount propagates.
# If / is no mount point (in a chroot), the mounts of the namespace's root are made private instead.
own_mounts() {
    $exec unshare --mount --propagation unchanged sh -c '
        mount --make-rprivate / 2>/dev/null || nsenter --mount=/proc/self/ns/mnt mount --make-rprivate / || exit
        exec "$@"' - "$@"
}

# start_network: creates a separate network for the test file, with a loopback device, which exists
# until its processes are stopped.
start_network() {
    [ "$(id -u)" = 0 ] || fail "this needs root, for a network of its own"
    spawn network unshare --net sleep 3600
    network_pid=$spawned
    export network_pid
    wait_until "a network" own_network
    inside ip link set lo up
}

own_network() { [ "$(readlink "/proc/$network_pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

# inside COMMAND...: runs the command in that network.
inside() { $exec nsenter --net="/proc/$network_pid/ns/net" "$@"; }

# Starts the gateway with gateway.conf in that network, reached over the unix socket `carrier`, and
# outside a helper that routes all destinations.
start_helper_outside() {
    local dir
    dir=$(work)
    spawn gateway inside "$BUILD/smux-gateway" -c "$dir/gateway.conf"
    wait_until "the gateway" test -S "$dir/carrier"
    gateway_url=unix://$dir/carrier write_smuxshim_conf "*"
    start_helper
}

# via COMMAND...: runs the command under the shim (for another user: via_launcher).
via() {
    if direct; then $exec "$@"; else $exec "$BUILD/smuxshim" -c "$smuxshim_conf" "$@"; fi
}

# ---- What the kernel and the helper saw ---------------------------------------------------------

# Prints the number of carrier connections, including those in TIME_WAIT and similar states.
carriers() {
    ss -Htan "sport = :$gateway_port or dport = :$gateway_port" | awk '$1 != "LISTEN" {
        pair[$4 < $5 ? $4 " " $5 : $5 " " $4] = 1 } END { n = 0; for (p in pair) n++; print n }'
}

# Prints the total number of streams that the helper has opened.
streams_total() { ctl status --json | jq '[.sessions[].streams_total] | add // 0'; }
streams_now() { ctl status --json | jq '[.sessions[].streams] | add // 0'; }

# assert_carried N [CARRIERS]: there was one carrier (or CARRIERS of them: every user except the
# helper's owner and root has a separate one), and at least N connections were streams on it.
assert_carried() {
    direct && return
    assert_equal "$(carriers)" "${2-1}"
    local total
    total=$(streams_total)
    [ "$total" -ge "$1" ] || fail "$total streams in total, expected at least $1"
}
