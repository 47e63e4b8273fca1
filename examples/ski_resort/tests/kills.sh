#!/usr/bin/env bash
# Kills the ski resort's generator, its streamer and the emulator, N times in all, at moments drawn from a seed, restarts
# each at once, and compares the tables row by row with those of a run without kills.
#
#   examples/ski_resort/tests/kills.sh [N] [SEED]
#
# The emulator holds the answers to appends back for a while after it has accepted their rows, and most kills of streamer and
# emulator wait for that: at least a third of all kills happen while a request is unanswered.
set -euo pipefail
cd "$(dirname "$0")/../../.."

kills=${1:-20}
seed=${2:-$(((RANDOM * 32768 + RANDOM) % 1073741823 + 1))}
# Outside these bounds two seeds may be the same one to bash.
if ! [[ $kills =~ ^[1-9][0-9]{0,3}$ && $seed =~ ^[1-9][0-9]{0,9}$ ]] || ((seed > 1073741823)); then
  echo "usage: $0 [kills from 1 to 9999] [seed from 1 to 1073741823]" >&2
  exit 2
fi
. examples/kills/common.sh

cargo build --quiet -p snowpipe-streaming-emulator -p snowpipe-streaming --features snowpipe-streaming-emulator/server --bin snowpipe-emulator --example ski_resort
bin=${CARGO_TARGET_DIR:-target}/debug

work=$(mktemp -d)
declare -A pids=()
watchdog=

finish() {
  local code=$?
  trap - EXIT
  for role in "${!pids[@]}"; do
    kill -KILL "${pids[$role]}" 2>/dev/null || true
    wait "${pids[$role]}" 2>/dev/null || true
  done
  [[ -z $watchdog ]] || kill "$watchdog" 2>/dev/null || true
  if ((code == 0)); then
    rm -rf "$work"
  else
    for log in "$work"/*.log; do
      echo "--- ${log##*/}"
      tail -n 20 "$log"
    done >&2
    echo "failed with: $0 $kills $seed; its files are in $work" >&2
  fi
  exit "$code"
}
trap finish EXIT

# The day is long enough for all the kills: the pace does not make up for the time a generator was dead.
days=1
speed=$((48000 / kills))

listen=127.0.0.1:0
start_emulator() {
  [[ -p $work/url ]] || mkfifo "$work/url"
  RUST_LOG=$held_log_filter "$bin/snowpipe-emulator" --listen "$listen" \
    --ddl examples/ski_resort/sql/setup.sql --data "$work/landing.db" --write-profile "$work/profile.json" \
    --delay-answers "${held_ms}ms" >"$work/url" 2>>"$work/emulator.log" &
  pids[emulator]=$!
  local url=
  # The line comes when it listens, and the end of the file if it died.
  read -r url <"$work/url" || fail "the emulator did not start"
  listen=${url#http://}
}

start_generator() {
  "$bin/examples/ski_resort" --only generator --queue "$work/queue.db" --days "$days" --speed "$speed" \
    2>>"$work/generator.log" &
  pids[generator]=$!
}

start_streamer() {
  "$bin/examples/ski_resort" --only streamer --queue "$work/queue.db" --days "$days" --profile "$work/profile.json" \
    --landing "$work/landing.db" --max-client-lag 200ms --summary-json "$work/summary.json" \
    >"$work/table.txt" 2>>"$work/streamer.log" &
  pids[streamer]=$!
}

watch_for $((600 + 20 * kills))
run_undisturbed "$bin/examples/ski_resort" "$work/undisturbed" --days "$days"

echo "seed $seed, $kills kills"
RANDOM=$seed
roles=(generator streamer emulator)
declare -A killed=([generator]=0 [streamer]=0 [emulator]=0)
start_emulator
start_generator
start_streamer

for ((i = 1; i <= kills; i++)); do
  # Each role in turn, so that none is spared; when, is left to chance.
  role=${roles[$((i % 3))]}
  delay=$((50 + RANDOM % 600))
  nap "$delay"
  log=$work/emulator.log
  [[ $role != generator ]] || log=/dev/null
  ((i % 4 == 0)) || await_unanswered "$log"
  strike "$log" "${pids[$role]}" || fail "the $role had ended before kill $i"
  code=0
  wait "${pids[$role]}" 2>/dev/null || code=$?
  ((code == 137)) || fail "the $role had ended with code $code before kill $i"
  killed[$role]=$((killed[$role] + 1))
  echo "kill $i: the $role, after $delay ms$during"
  "start_$role"
done

# No kill comes any more: the generator makes the rest of the day as fast as it can.
kill -TERM "${pids[generator]}" || fail "the generator had ended before the last kill"
wait "${pids[generator]}" || true
speed=max
start_generator
wait "${pids[generator]}" || fail "the generator ended with code $?"
unset 'pids[generator]'
wait "${pids[streamer]}" || fail "the streamer ended with code $?"
unset 'pids[streamer]'
cat "$work/table.txt"

# Each table's object in the summary has these keys, one to a line.
expect() {
  local table=$1 rows=$2 found
  found=$(grep -A 8 "\"$table\": {" "$work/summary.json" | tr -d ' \n')
  [[ $found == *"\"generated\":$rows,\"committed_offset_token\":\"$rows\",\"rows_inserted\":$rows,\"rejected\":0,\"landed\":$rows,\"distinct_txid\":$rows,\"left_in_queue\":0"* ]] ||
    fail "$table is not $rows rows, each once: $found"
}
grep -q '"balanced": true' "$work/summary.json" || fail "not balanced"
grep -q '"interrupted": false' "$work/summary.json" || fail "interrupted"
expect RESORT_TICKET 16000
expect SEASON_PASS 799
expect LIFT_RIDE 84143
compare_ski_resort "$work/undisturbed/landing.db" "$work/landing.db"
echo "kills: generator ${killed[generator]}, streamer ${killed[streamer]}, emulator ${killed[emulator]}"
judge_strikes
echo "every row landed exactly once, as without the $kills kills"
