#!/bin/sh
# What the official image's entrypoint does: a cluster with one user and one database, then the server.
set -e
export PATH="$(echo /usr/lib/postgresql/*/bin):$PATH" PGDATA=/var/lib/postgresql/data
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  echo "$POSTGRES_PASSWORD" > /tmp/password
  initdb -U "$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust > /dev/null
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl -w -o "-k /tmp -c listen_addresses=" start > /dev/null
  createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB" 2> /dev/null || true
  pg_ctl -w stop > /dev/null
fi
exec postgres -k /tmp -c listen_addresses='*'
