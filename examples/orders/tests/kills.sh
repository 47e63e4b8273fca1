#!/usr/bin/env bash
# Kills the orders example, and every third time the emulator it streams to, N times in all, at moments drawn from a seed,
# restarts what was killed at once, and compares customers, orders and items row by row with those of a run without kills.
#
#   examples/orders/tests/kills.sh [N] [SEED] [ORDERS] [INSTANCES]
#
# The emulator holds the answers to appends back for a while after it has accepted their rows, and most kills wait for that: at
# least a third of all kills happen while a request is unanswered.
set -euo pipefail
cd "$(dirname "$0")/../../.."

kills=${1:-10}
seed=${2:-$(((RANDOM * 32768 + RANDOM) % 1073741823 + 1))}
orders=${3:-20000}
instances=${4:-5}
# Outside these bounds two seeds may be the same one to bash.
if ! [[ $kills =~ ^[1-9][0-9]{0,3}$ && $seed =~ ^[1-9][0-9]{0,9}$ && $orders =~ ^[1-9][0-9]{0,8}$ &&
  $instances =~ ^[1-9][0-9]{0,2}$ ]] || ((seed > 1073741823)); then
  echo "usage: $0 [kills from 1 to 9999] [seed from 1 to 1073741823] [orders] [instances up to 999]" >&2
  exit 2
fi

longest=1600
interval=250
# Orders come in for longer than the kills take, so that the last one finds it at work as well; the first of each start come
# at once.
batches=$((kills * (longest / interval + 3)))
batch=$((orders / instances / batches))
if ((batch < 1)); then
  echo "error: $orders orders are too few for $kills kills and $instances instances: give $((batches * instances)) or more" >&2
  exit 2
fi

. examples/kills/common.sh

cargo build --quiet -p snowpipe-streaming-emulator -p snowpipe-streaming --features snowpipe-streaming-emulator/server --bin snowpipe-emulator --example orders
bin=${CARGO_TARGET_DIR:-target}/debug

work=$(mktemp -d)
declare -A pids=()
finish() {
  local code=$?
  trap - EXIT
  for role in "${!pids[@]}"; do
    kill -KILL "${pids[$role]}" 2>/dev/null || true
    wait "${pids[$role]}" 2>/dev/null || true
  done
  if ((code == 0)); then
    rm -rf "$work"
  else
    for log in "$work"/*.log; do
      echo "--- ${log##*/}"
      tail -n 20 "$log"
    done >&2
    echo "failed with: $0 $kills $seed $orders $instances; its files are in $work" >&2
  fi
  exit "$code"
}
trap finish EXIT

listen=127.0.0.1:0
start_emulator() {
  [[ -p $work/url ]] || mkfifo "$work/url"
  RUST_LOG=$held_log_filter "$bin/snowpipe-emulator" --listen "$listen" --ddl examples/orders/sql/setup.sql \
    --data "$work/landing.db" --write-profile "$work/profile.json" --delay-answers "${held_ms}ms" \
    >"$work/url" 2>>"$work/emulator.log" &
  pids[emulator]=$!
  local url=
  # The line comes when it listens, and the end of the file if it died.
  read -r url <"$work/url" || fail "the emulator did not start"
  listen=${url#http://}
}

{
  cat examples/orders/config.properties
  echo "max.client.lag=0"
  echo "orders.batch.size=$batch"
  echo "generation.interval.ms=$interval"
} >"$work/live.properties"
now=2026-01-17T14:00:00Z
customers=20000
start_orders() {
  "$bin/examples/orders" "$orders" "$instances" "$work/live.properties" "$work/profile.json" \
    --landing "$work/landing.db" --now "$now" --customers "$customers" >"$work/table.txt" 2>>"$work/orders.log" &
  pids[orders]=$!
}

mkdir "$work/undisturbed"
"$bin/examples/orders" "$orders" "$instances" --landing "$work/undisturbed/landing.db" --now "$now" \
  --customers "$customers" >"$work/undisturbed/table.txt" 2>"$work/undisturbed.log" || fail "the orders fail without a kill"

echo "seed $seed, $kills kills"
RANDOM=$seed
declare -A killed=([orders]=0 [emulator]=0)
start_emulator
start_orders
for ((i = 1; i <= kills; i++)); do
  role=orders
  ((i % 3)) || role=emulator
  delay=$((100 + RANDOM % (longest - 100)))
  nap "$delay"
  ((i % 4 == 0)) || await_unanswered "$work/emulator.log"
  strike "$work/emulator.log" "${pids[$role]}" || fail "$role had ended before kill $i"
  code=0
  wait "${pids[$role]}" 2>/dev/null || code=$?
  ((code == 137)) || fail "$role had ended with code $code before kill $i"
  killed[$role]=$((killed[$role] + 1))
  echo "kill $i: $role, after $delay ms$during; $(grep Progress "$work/table.txt" | tail -n 1)"
  "start_$role"
done

wait "${pids[orders]}" || fail "not exact: the orders ended with code $?"
unset 'pids[orders]'
cat "$work/table.txt"
# Each instance has its own customers, and a channel in each table.
channel="min((CUSTOMER_ID - 1) / ($customers / $instances), $instances - 1)"
python3 -B examples/kills/tables.py "$work/undisturbed/landing.db" "$work/landing.db" \
  "SELECT * FROM CUSTOMERS ORDER BY CUSTOMER_ID, rowid" \
  "SELECT * FROM ORDERS ORDER BY $channel, rowid" \
  "SELECT i.* FROM ORDER_ITEMS i LEFT JOIN ORDERS o ON o.ORDER_ID = i.ORDER_ID ORDER BY $channel, i.rowid"
echo "kills: orders ${killed[orders]}, emulator ${killed[emulator]}"
judge_strikes
