#!/bin/sh
# Starts one of the two Redis of a watched line: behind the one that the sentinels call master, or as that one.
# The arguments are its other options. From the environment:
#   SELF, FIRST     host:port of this one, and of the one that is master while no sentinel knows of any; the
#                   host must lead somewhere while its server is dead too, or the sentinels cannot vote
#   SENTINELS       host:port of each, with spaces between
#   DATA            where its append-only file lies
#   REDIS_PASSWORD  of both, if they have one
set -eu

ask() { # sentinel, question
  timeout 1 redis-cli -h "${1%:*}" -p "${1#*:}" --raw sentinel "$2" hippocamp 2>/dev/null || true
}

has_data() { [ -e "$DATA/appendonlydir" ] || [ -e "$DATA/appendonly.aof" ]; }

master= followers=
while :; do
  for sentinel in $SENTINELS; do
    master=$(ask "$sentinel" get-master-addr-by-name | paste -s -d : -)
    if [ -n "$master" ]; then
      followers=$(ask "$sentinel" replicas)
      break 2
    fi
  done
  # Who ran before may have been overtaken since: only the very first start needs no sentinel.
  has_data || break
  echo "no sentinel says who is master: waiting for one" >&2
  sleep 1
done

# A master that comes back without its disk would make its replica as empty as itself.
if [ "$master" = "$SELF" ] && [ -n "$followers" ] && ! has_data; then
  echo "my data is gone and another has it: not started before the sentinels have chosen that one" >&2
  sleep 1
  exit 1
fi

if [ "${master:-$FIRST}" != "$SELF" ]; then
  master=${master:-$FIRST}
  set -- "$@" --replicaof "${master%:*}" "${master#*:}"
fi
if [ -n "${REDIS_PASSWORD:-}" ]; then
  set -- "$@" --requirepass "$REDIS_PASSWORD" --masterauth "$REDIS_PASSWORD"
fi
set -- redis-server "$@" --dir "$DATA" --replica-announce-ip "${SELF%:*}" --replica-announce-port "${SELF#*:}"
# The image's entry point leaves root behind.
if command -v docker-entrypoint.sh >/dev/null; then set -- docker-entrypoint.sh "$@"; fi
exec "$@"
