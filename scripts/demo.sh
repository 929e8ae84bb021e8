#!/usr/bin/env bash
# The main job on real input: brings Longshore up, runs examples/hello, fetches its page.
# Usage: scripts/demo.sh BINARY [--once] [--listen ADDRESS:PORT]
set -euo pipefail
cd "$(dirname "$0")/.."

longshore=$1; shift
once= listen=127.0.0.1:4566
while (($#)); do
  case "$1" in
    --once) once=1 ;;
    --listen) listen=$2; shift ;;
    *) echo "demo: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done

data=$(mktemp -d /tmp/longshore-demo.XXXXXX)
server=
finish() {
  status=$?
  trap - EXIT INT TERM
  if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
    echo; echo "==> stopping"
    kill -TERM "$server"; wait "$server" || true
  fi
  "$longshore" down --data-dir "$data" >/dev/null || true
  rm -rf "$data"
  exit "$status"
}
trap finish EXIT
trap 'exit 0' INT TERM

export LONGSHORE_DATA_DIR=$data
echo "==> longshore up --listen $listen"
# A session of its own: Ctrl-C reaches this script, which then stops the server in order.
setsid "$longshore" up --listen "$listen" --data-dir "$data" &
server=$!
until [ -e "$data/server.json" ]; do
  kill -0 "$server" 2>/dev/null || { wait "$server" || exit $?; }
  sleep 0.05
done

"$longshore" image load examples/images/out/nginx.tar --data-dir "$data"
echo "==> longshore run examples/hello/task-definition.json"
task=$("$longshore" run examples/hello/task-definition.json --output json)
arn=$(printf '%s' "$task" | python3 -c 'import json,sys; print(json.load(sys.stdin)["taskArn"])')
address=$(printf '%s' "$task" | python3 -c 'import json,sys; print(json.load(sys.stdin)["addresses"][0])')
echo "    task     $arn"
echo "    address  http://$address"
echo "==> curl http://$address"
curl --silent --show-error --fail --retry 10 --retry-connrefused --retry-delay 1 "http://$address"
echo "==> longshore logs ${arn##*/}"
"$longshore" logs "${arn##*/}"
"$longshore" status
[ -z "$once" ] || exit 0
echo "==> running until Ctrl-C"
wait "$server"
