#!/bin/sh
# Starts one of three sentinels, with what it learned before or else from nothing; the arguments are its options.
#   FIRST           host:port of the Redis that is master at the very beginning
#   DATA            where it keeps what it learns
#   REDIS_PASSWORD  of the Redis that it watches, if they have one
#   DOWN_AFTER_MS, FAILOVER_MS   silence that counts as death; time after which a fail-over is tried anew
set -eu

config=$DATA/sentinel.conf
if [ ! -s "$config" ]; then
  {
    echo "sentinel resolve-hostnames yes"
    echo "sentinel announce-hostnames yes"
    echo "sentinel monitor hippocamp ${FIRST%:*} ${FIRST#*:} 2"
    echo "sentinel down-after-milliseconds hippocamp ${DOWN_AFTER_MS:-5000}"
    echo "sentinel failover-timeout hippocamp ${FAILOVER_MS:-30000}"
    if [ -n "${REDIS_PASSWORD:-}" ]; then echo "sentinel auth-pass hippocamp $REDIS_PASSWORD"; fi
  } > "$config.part"
  mv "$config.part" "$config"
fi
set -- redis-server "$config" --sentinel "$@" --dir "$DATA"
if command -v docker-entrypoint.sh >/dev/null; then set -- docker-entrypoint.sh "$@"; fi
exec "$@"
