#!/usr/bin/env bash
# Builds Longshore and the benchmarks and runs one of them, or all.
#
# Usage: bench/run.sh [run-task | services | services-scale | api | contention | crowd | held | pull | registry | start |
#                      lists | placements | policy | edge | fleet | million | coldstart | writes | etcd | overload |
#                      failover | exec | balancer] [OPTION]...
# The figures go to standard output, and as JSON to target/bench/NAME.json.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
if [ "${1:-}" = failover ]; then
  cargo build --release --package longshore
  [ -x "$target/aws/bin/python3" ] || { python3 -m venv "$target/aws"
    "$target/aws/bin/pip" install --quiet --requirement crates/longshore/tests/requirements.txt; }
  mkdir -p "$target/bench"
  exec "$target/aws/bin/python3" bench/failover.py "$target/release/longshore" \
    --json "$target/bench/failover.json" "${@:2}"
fi

if [ "${1:-}" = exec ]; then
  cargo build --release --package longshore
  examples/images/build.sh busybox >&2
  [ -x "$target/aws/bin/python3" ] || { python3 -m venv "$target/aws"
    "$target/aws/bin/pip" install --quiet --requirement crates/longshore/tests/requirements.txt; }
  mkdir -p "$target/bench"
  exec "$target/aws/bin/python3" bench/exec.py "$target/release/longshore" \
    --json "$target/bench/exec.json" "${@:2}"
fi

if [ "${1:-}" = balancer ]; then
  cargo build --release --package longshore
  for program in wrk h2load haproxy nginx openssl; do
    command -v "$program" > /dev/null || apt-get install -y --no-install-recommends \
      wrk nghttp2-client haproxy nginx-light openssl >&2
  done
  [ -x "$target/aws/bin/python3" ] || { python3 -m venv "$target/aws"
    "$target/aws/bin/pip" install --quiet --requirement crates/longshore/tests/requirements.txt; }
  mkdir -p "$target/bench"
  exec "$target/aws/bin/python3" bench/balancer.py "$target/release/longshore" \
    --json "$target/bench/balancer.json" "${@:2}"
fi

names=(run-task services services-scale api contention crowd held pull registry start lists placements policy edge overload writes etcd coldstart fleet million)
case "${1:-}" in
  '') ;;
  run-task | services | services-scale | api | contention | crowd | held | pull | registry | start | lists | placements | policy | edge | overload | writes | etcd | coldstart | fleet | million) names=("$1"); shift ;;
  *) echo "bench: no benchmark '$1'; there are: ${names[*]}" >&2; exit 2 ;;
esac

case "${names[*]}" in
  placements | policy | writes | etcd) cargo build --release --package bench ;;
  registry | services-scale | edge | fleet | million | coldstart) cargo build --release --package longshore --package bench ;;
  *)
    cargo build --release --package longshore --package bench
    examples/images/build.sh busybox >&2
    ;;
esac
for name in "${names[@]}"; do
  "$target/release/longshore-bench" "$name" --longshore "$target/release/longshore" \
    --work "$target/bench" --json "$target/bench/$name.json" "$@"
done
