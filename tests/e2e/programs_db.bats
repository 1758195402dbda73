#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Redis and PostgreSQL clients, unmodified, against real servers over one carrier.

load lib

setup_file() {
    start_redis
    start_postgres
}

teardown_file() { stop_all; }

setup() {
    start_both "127.0.0.1:$redis_port, 127.0.0.1:$postgres_port"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
    stop_all
    show_logs
}

redis_cli() { via redis-cli -h 127.0.0.1 -p "$redis_port" "$@"; }
psql_here() { via psql -X -q -A -t -v ON_ERROR_STOP=1 "$@" postgres; }

@test "redis-cli stores and reads a large value" {
    head -c 8000000 /dev/urandom | base64 -w 0 >value
    redis_cli -x set big <value
    redis_cli --raw get big | head -c -1 >got
    cmp got value
    assert_carried 2
}

@test "redis-cli --pipe loads 20000 keys" {
    for i in $(seq 20000); do printf 'SET key%d value%d\r\n' "$i" "$i"; done >commands
    run --separate-stderr redis_cli --pipe <commands
    assert_success
    assert_output --partial 'errors: 0, replies: 20000'
    assert_equal "$(redis_cli get key19999)" value19999
    assert_carried 2
}

@test "redis-cli receives what another client publishes" {
    via redis-cli -h 127.0.0.1 -p "$redis_port" --csv subscribe news >heard 3>&- &
    echo "$! TERM" >>spawned
    wait_until "a subscriber" bash -c "redis-cli -p $redis_port pubsub numsub news | grep -qx 1"
    assert_equal "$(redis_cli publish news extra)" 1
    wait_until "the message" grep -q extra heard
    assert_carried 2
}

@test "redis-benchmark runs with 50 connections" {
    run --separate-stderr via redis-benchmark -h 127.0.0.1 -p "$redis_port" -q -n 10000 -c 50 -t ping,set,get,lpush,mset
    assert_success
    assert_output --partial 'GET:'
    assert_output --partial 'MSET'
    refute_output --partial rror
    assert_carried 250
}

@test "redis-benchmark runs with threads and pipelining" {
    run --separate-stderr via redis-benchmark -h 127.0.0.1 -p "$redis_port" -q -n 40000 -c 40 --threads 4 -P 16 -d 512 -t set,get
    assert_success
    assert_output --partial 'GET:'
    refute_output --partial rror
    assert_carried 80
}

@test "psql runs statements and sees the server's address" {
    run psql_here -c 'select inet_server_port(), 6 * 7'
    assert_success
    assert_output "$postgres_port|42"
    assert_carried 1
}

@test "psql copies a large table in and out" {
    psql_here -c 'drop table if exists t; create table t (id int, body text)'
    seq 200000 | awk '{ print $1 "\tline number " $1 " of the table" }' >rows
    psql_here -c '\copy t from rows'
    psql_here -c '\copy (select * from t order by id) to got'
    cmp got rows
    assert_carried 3
}

@test "psql reports an error and a cancelled statement" {
    run psql_here -c 'select 1 / 0'
    assert_failure
    assert_output --partial 'division by zero'
    run psql_here -c "set statement_timeout = 100; select pg_sleep(60)"
    assert_failure
    assert_output --partial 'canceling statement'
    assert_carried 2
}

@test "pgbench keeps 20 connections busy in two threads" {
    via pgbench -q -i -s 1 postgres
    run --separate-stderr via pgbench -n -c 20 -j 2 -t 50 postgres
    assert_success
    assert_output --partial 'number of transactions actually processed: 1000/1000'
    assert_carried 21
}

@test "pgbench makes a connection for each transaction" {
    psql_here -c 'create table if not exists one (n int)'
    echo 'select 1;' >script
    run --separate-stderr via pgbench -n -C -c 10 -j 2 -t 30 -f script postgres
    assert_success
    assert_output --partial 'number of transactions actually processed: 300/300'
    assert_carried 301
}
