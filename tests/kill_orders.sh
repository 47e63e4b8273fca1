#!/usr/bin/env bash
# Kills the orders example N times at moments drawn from a seed, while it streams to an emulator in a process of its own, and
# checks that in the end every order and every item is there exactly once.
#
#   tests/kill_orders.sh [N] [SEED] [ORDERS] [INSTANCES]
set -euo pipefail
cd "$(dirname "$0")/.."

kills=${1:-10}
seed=${2:-$((RANDOM * 32768 + RANDOM))}
orders=${3:-20000}
instances=${4:-5}

cargo build --quiet --features emulator-server --bin snowpipe-emulator --example orders
bin=${CARGO_TARGET_DIR:-target}/debug

work=$(mktemp -d)
emulator=
finish() {
  local code=$?
  if [[ -n $emulator ]]; then
    kill "$emulator" 2>/dev/null || true
    wait "$emulator" 2>/dev/null || true
  fi
  if ((code == 0)); then
    rm -rf "$work"
  else
    echo "failed with: $0 $kills $seed $orders $instances; its files are in $work" >&2
  fi
}
trap finish EXIT

mkfifo "$work/url"
"$bin/snowpipe-emulator" --ddl examples/orders/sql/setup.sql --data "$work/landing.db" \
  --write-profile "$work/profile.json" >"$work/url" 2>"$work/emulator.log" &
emulator=$!
# The line comes when it listens.
read -r _ <"$work/url"

# A few orders at once, and more of them four times a second, so that every kill finds it at work.
{
  cat examples/orders/config.properties
  echo "max.client.lag=0"
  echo "orders.batch.size=$((orders / instances / (4 * kills) + 1))"
  echo "generation.interval.ms=250"
} >"$work/live.properties"
stream() {
  exec "$bin/examples/orders" "$orders" "$instances" "$work/live.properties" "$work/profile.json" \
    --landing "$work/landing.db" --now 2026-01-17T14:00:00Z
}

echo "seed $seed, $kills kills"
RANDOM=$((seed % 32768))
for ((i = 1; i <= kills; i++)); do
  (stream) >>"$work/orders.log" 2>&1 &
  pid=$!
  delay=$((100 + RANDOM % 2900))
  sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
  kill -KILL "$pid" 2>/dev/null || echo "it had ended before kill $i" >&2
  wait "$pid" 2>/dev/null || true
  echo "kill $i, after $delay ms: $(grep Progress "$work/orders.log" | tail -n 1)"
done
(stream) || { echo "error: not exact" >&2; exit 1; }
