#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# [socks], [forward NAME] and the preloaded library beside `ssh -D` and `ssh -L`: the same commands
# print the same by each.

load lib

setup_file() {
    direct && return
    start_nginx
    start_redis
    start_postgres
    start_sshd
    make_repository
}

teardown_file() { stop_all; }

setup() {
    direct && skip "there is no proxy without the helper"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

# A repository that a plain web server can hand out, with a file of some megabytes.
make_repository() {
    git init -q -b main "$BATS_FILE_TMPDIR/work"
    cp "$www/medium" "$www/small1" "$BATS_FILE_TMPDIR/work"
    git -C "$BATS_FILE_TMPDIR/work" add .
    git -C "$BATS_FILE_TMPDIR/work" -c user.name=x -c user.email=x@x commit -qm "two files"
    git clone -q --bare "$BATS_FILE_TMPDIR/work" "$www/repo.git"
    git -C "$www/repo.git" update-server-info
}

ssh_with() { # shellcheck disable=SC2086 # options are several words
    $exec ssh -N $ssh_options -o ExitOnForwardFailure=yes -p "$ssh_port" "$@" 127.0.0.1
}

# ---- As a SOCKS proxy ----------------------------------------------------------------------------

# What the clients of a SOCKS proxy get; git and curl name the host, and the far end looks it up.
by_socks() { # PORT FOLDER
    local proxy=127.0.0.1:$1 path
    mkdir "$2"
    for path in index.html medium large none; do
        curl -sS -x "socks5h://$proxy" -o "$2/$path" -w '%{http_code} %{size_download}\n' "http://localhost:$web_port/$path"
    done
    curl -sS -x "socks4a://$proxy" -o "$2/tls" -w '%{http_version} %{size_download}\n' --cacert "$cert" \
        "https://localhost:$tls_port/medium"
    curl -sS -x "socks5://$proxy" -o "$2/six" -w '%{http_code} %{size_download}\n' "http://[::1]:$web_port/large"
    curl -sS -x "socks5h://$proxy" -T "$www/medium" -w '%{http_code} %{size_upload}\n' "http://localhost:$web_port/put/$2"
    cat "$www/put/$2" >"$2/uploaded"
    curl -sS -x "socks5h://$proxy" -Z --parallel-max 20 "http://localhost:$web_port/small[1-200]" -o "$2/part#1" 2>/dev/null ||
        echo "status $?"
    git -c http.proxy="socks5h://$proxy" clone -q "http://localhost:$web_port/repo.git" "$2/clone" 2>&1
    git -C "$2/clone" log --format='%H %s'
    printf 'SET %s %s\r\nGET %s\r\nNONSENSE\r\nQUIT\r\n' key word key |
        nc -X 5 -x "$proxy" 127.0.0.1 "$redis_port"
    (cd "$2" && find . -path ./clone/.git -prune -o -type f -exec sha256sum {} + | sort -k 2)
}

@test "curl, git and redis get by [socks] what they get by ssh -D" {
    local ours theirs
    ours=$(free_port) theirs=$(free_port)
    helper_lines="[socks]\\nlisten = 127.0.0.1:$ours" start_both "127.0.0.1:*, [::1]:*, localhost"
    serve dynamic "$theirs" ssh_with -D "127.0.0.1:$theirs"
    by_socks "$theirs" ssh >by_ssh
    by_socks "$ours" smux >by_smux
    run diff by_ssh by_smux
    assert_output ""
    assert grep -q '^200 33554432$' by_smux
    assert grep -q 'ERR unknown command' by_smux
    assert_carried 20
}

@test "a connect that is refused is told the client by [socks]; ssh -D closes" {
    local ours theirs closed
    ours=$(free_port) theirs=$(free_port) closed=$(free_port)
    helper_lines="[socks]\\nlisten = 127.0.0.1:$ours" start_both "127.0.0.1:*, localhost"
    serve dynamic "$theirs" ssh_with -D "127.0.0.1:$theirs"
    run ! curl -sS -x "socks5h://127.0.0.1:$theirs" "http://localhost:$closed/"
    run -97 curl -sS -x "socks5h://127.0.0.1:$ours" "http://localhost:$closed/"
    assert_output --partial "(5)"
}

# ---- As a port, or a unix socket, that leads to one place -----------------------------------------

psql_there() { $exec "${way[@]}" psql -X -q -A -t -h "$1" -p "$2" -U postgres postgres "${@:3}"; }

# A statement that psql is told to end, by a second connection to the same place.
cancelled() { # HOST PORT
    spawn cancelled psql_there "$1" "$2" -c "select pg_sleep(600) as $mark"
    wait_until "the statement" bash -c "psql -X -A -t -h 127.0.0.1 -p $postgres_port -U postgres postgres \
        -c \"select 1 from pg_stat_activity where state = 'active' and query like 'select pg_sleep(600) as $mark'\" | grep -q 1"
    kill -INT "$spawned"
    wait "$spawned" || echo "status $?"
    cat cancelled.log
    : >cancelled.log
}

by_psql() { # HOST PORT
    psql_there "$1" "$2" -c 'select inet_server_port(), 6 * 7' 2>&1
    psql_there "$1" "$2" -c 'create table t (id int, body text)' 2>&1
    psql_there "$1" "$2" -c '\copy t from rows' 2>&1
    psql_there "$1" "$2" -c '\copy (select * from t order by id) to stdout' | sha256sum
    psql_there "$1" "$2" -c 'select * from nowhere' 2>&1 || echo "status $?"
    psql_there "$1" "$2" -c 'do $$ begin raise notice $a$told$a$; end $$' 2>&1
    psql_there "$1" "$2" -c 'set statement_timeout = 1; select pg_sleep(600)' 2>&1 || echo "status $?"
    psql_there "$1" "$2" -c 'select pg_terminate_backend(pg_backend_pid())' 2>&1 | sed 's/ at .*port.*//'
    cancelled "$1" "$2" 2>&1
    psql_there "$1" "$2" -c 'drop table t' 2>&1
}

by_redis() { # PORT
    $exec "${way[@]}" redis-cli -h 127.0.0.1 -p "$1" flushall
    "${way[@]}" redis-cli -h 127.0.0.1 -p "$1" -x set big <"$www/medium"
    "${way[@]}" redis-cli -h 127.0.0.1 -p "$1" --raw get big | sha256sum
    awk 'BEGIN { for (i = 1; i <= 5000; i++) printf "RPUSH list value%d\r\n", i }' |
        "${way[@]}" redis-cli -h 127.0.0.1 -p "$1" --pipe
    "${way[@]}" redis-cli -h 127.0.0.1 -p "$1" lrange list 0 -1 | sha256sum
    "${way[@]}" redis-cli -h 127.0.0.1 -p "$1" incr list 2>&1
}

# forwards_to PORT NAME: sets $ours and $theirs, ports that lead there, and starts both ways; $PWD/NAME and
# $PWD/NAME.ssh are folders with a unix socket as libpq names it.
forwards_to() {
    ours=$(free_port) theirs=$(free_port)
    mkdir -p "$2" "$2.ssh"
    helper_lines="[forward $2]\\nlisten = 127.0.0.1:$ours, $PWD/$2/.s.PGSQL.$1\\ndestination = 127.0.0.1:$1" \
        start_both "127.0.0.1:*"
    serve forward "$theirs" ssh_with -L "127.0.0.1:$theirs:127.0.0.1:$1" -L "$PWD/$2.ssh/.s.PGSQL.$1:127.0.0.1:$1"
    wait_until "the socket of ssh" test -S "$PWD/$2.ssh/.s.PGSQL.$1"
    way=(env)
}

@test "psql prints the same by [forward NAME] and preloaded as by ssh -L, by port and by unix socket" {
    forwards_to "$postgres_port" pg
    seq 50000 | awk '{ print $1 "\tline number " $1 " of the table" }' >rows
    mark=a
    by_psql 127.0.0.1 "$theirs" >expected
    by_psql "$PWD/pg.ssh" "$postgres_port" >ssh_socket
    by_psql 127.0.0.1 "$ours" >forward
    by_psql "$PWD/pg" "$postgres_port" >forward_socket
    way=("$BUILD/smuxshim" -c "$smuxshim_conf")
    by_psql 127.0.0.1 "$postgres_port" >preloaded
    run -0 cat expected
    assert_line "$postgres_port|42"
    assert_line --partial 'canceling statement due to user request'
    assert_line --partial 'relation "nowhere" does not exist'
    assert_line --partial 'terminating connection due to administrator command'
    for got in ssh_socket forward forward_socket preloaded; do
        run diff expected "$got"
        assert_output ""
    done
    assert_carried 27
}

@test "redis-cli prints the same by [forward NAME] and preloaded as by ssh -L" {
    forwards_to "$redis_port" redis
    by_redis "$theirs" >expected
    by_redis "$ours" >forward
    way=("$BUILD/smuxshim" -c "$smuxshim_conf")
    by_redis "$redis_port" >preloaded
    run -0 cat expected
    assert_line --partial 'errors: 0, replies: 5000'
    assert_line --partial 'WRONGTYPE'
    for got in forward preloaded; do
        run diff expected "$got"
        assert_output ""
    done
    assert_carried 12
}
