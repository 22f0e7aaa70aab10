# shellcheck shell=sh
# Start Redis with an ACL file that holds hashes of the mounted passwords; reload it when they
# change. Passwords in plain text are only in the Secret; the ACL file is in memory.
set -eu
umask 077

hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }
random() { head -c 32 /dev/urandom | sha256sum | cut -d ' ' -f 1; }

# Create the exporter's password once: the exporter does not read it again when Redis restarts.
exporter=
if [ -n "${EXPORTER_URL:-}" ]; then
  [ -s /run/exporter/password ] || random >/run/exporter/password
  exporter=$(cat /run/exporter/password)
  printf '{"%s": "%s"}' "$EXPORTER_URL" "$exporter" >/run/exporter/passwords.json
  chmod 440 /run/exporter/passwords.json
fi
# The user `reloader` can only load the ACL file.
reloader=$(random)

hashes() {
  for file in /run/secrets/redis/password /run/secrets/redis/previous-password; do
    # $(cat) strips a trailing newline, which is never part of a password.
    if [ -s "$file" ]; then printf '#%s ' "$(hash "$(cat "$file")")"; fi
  done
}

write() { # HASHES
  {
    sed -e "s/@HASHES@/$1/" -e "s/@EXPORTER@/#$(hash "$exporter")/" /etc/redis/users.acl
    echo "user reloader on #$(hash "$reloader") -@all +acl|load"
  } >/run/redis/users.acl.new
  mv /run/redis/users.acl.new /run/redis/users.acl
}

reload() {
  REDISCLI_AUTH=$reloader timeout 4 "$(command -v redis-cli || command -v valkey-cli)" \
    --no-auth-warning ${REDIS_TLS:+--tls --cacert /run/secrets/tls/ca.crt} \
    --user reloader acl load 2>&1
}

watch() {
  set +e
  while sleep 2; do
    current=$(hashes)
    [ "$current" = "$loaded" ] && continue
    write "$current"
    reply=$(reload)
    if [ "$reply" = OK ]; then
      loaded=$current
      echo "loaded the changed passwords"
    else
      echo "cannot load the changed passwords, will retry: $reply"
    fi
  done
}

loaded=$(hashes)
if [ -z "$loaded" ]; then
  echo "the Secret has no password: set its key 'password'"
  exit 1
fi
write "$loaded"
watch &
exec "$(command -v redis-server || command -v valkey-server)" /etc/redis/redis.conf
