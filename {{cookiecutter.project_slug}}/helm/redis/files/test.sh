# shellcheck shell=sh
# `helm test`: the service's user can run the commands that it needs on its own keys, and no others.
set -eu

redis() {
  "$(command -v redis-cli || command -v valkey-cli)" --no-auth-warning \
    ${REDIS_TLS:+--tls --cacert /run/secrets/tls/ca.crt} -h "$REDIS_HOST" -p "$REDIS_PORT" "$@" 2>&1
}

expect() { # TEXT COMMAND...
  text=$1
  shift
  reply=$(redis --user "$REDIS_USERNAME" "$@")
  case $reply in
    *"$text"*) echo "ok: $* -> $text" ;;
    *) echo "$*: expected $text, got $reply"; exit 1 ;;
  esac
}

deny() { # COMMAND...
  expect NOPERM "$@"
}

key=$KEY_PREFIX:helm-test
expect PONG ping
expect OK set "$key" 1 ex 10
expect 1 eval "return redis.call('get', KEYS[1])" 1 "$key"
expect run_id info server
deny set "other:$key" 1 ex 10
deny get "other:$key"
deny eval "return redis.call('get', KEYS[1])" 1 "other:$key"
expect "No permissions" eval "return redis.call('set', 'other', 1)" 0
deny keys '*'
deny flushall
deny flushdb
deny script flush
deny function load "#!lua name=test redis.register_function('test', function() end)"
deny function flush
deny config get maxmemory
deny acl list
deny client list
deny publish channel message
# ABORT is harmless should the ACL allow it.
deny shutdown abort

unset REDISCLI_AUTH
case $(redis ping) in
  *NOAUTH*) echo "ok: no password -> NOAUTH" ;;
  *) echo "served a command without a password"; exit 1 ;;
esac
