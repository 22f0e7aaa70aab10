# shellcheck shell=sh
# Probe Redis: `ping.sh ready` succeeds on PONG only. `ping.sh live` also succeeds while Redis loads
# its data, runs a long script or still has the previous password. redis-cli exits with 0 on an
# error reply too, so the reply decides.
REDISCLI_AUTH=$(cat /run/secrets/redis/password)
export REDISCLI_AUTH
reply=$(timeout 4 "$(command -v redis-cli || command -v valkey-cli)" \
  --no-auth-warning ${REDIS_TLS:+--tls --cacert /run/secrets/tls/ca.crt} \
  --user "$REDIS_USERNAME" ping 2>&1)
case "$1:$reply" in
  *:PONG | live:*LOADING* | live:*BUSY* | live:*WRONGPASS*) ;;
  *) echo "expected PONG, got: $reply"; exit 1 ;;
esac
