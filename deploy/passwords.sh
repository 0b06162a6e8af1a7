#!/bin/sh
# Write a .env with a random password for each part of the compose stack. Values that a .env already has are kept.
set -eu
cd "$(dirname "$0")/.."
umask 077
touch .env
for name in POSTGRES REDIS GRAFANA \
  KAFKA_ADMIN KAFKA_GATEWAY KAFKA_ROUTER KAFKA_WORKER KAFKA_CONTROL KAFKA_RECORDER KAFKA_CLIENT KAFKA_OPERATOR; do
  name="${name}_PASSWORD"
  if ! grep -q "^$name=" .env; then
    echo "$name=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >> .env
  fi
done
echo "the passwords are in .env"
