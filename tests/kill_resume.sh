#!/usr/bin/env bash
# Kills the ski resort's generator, its streamer and the emulator, N times in all, at moments drawn from a seed, restarts
# each at once, and checks that every row landed exactly once.
#
#   tests/kill_resume.sh [N] [SEED]
#
# From 100 kills on the emulator holds the answers to appends back for a while after it has accepted their rows, and every
# other kill of streamer or emulator waits for that. Each process is then killed at least ten times, and at least ten
# kills happen while a request is unanswered.
set -euo pipefail
cd "$(dirname "$0")/.."

kills=${1:-20}
seed=${2:-$(((RANDOM * 32768 + RANDOM) % 1073741823 + 1))}
# Outside these bounds two seeds may be the same one to bash.
if ! [[ $kills =~ ^[1-9][0-9]{0,3}$ && $seed =~ ^[1-9][0-9]{0,9}$ ]] || ((seed > 1073741823)); then
  echo "usage: $0 [kills from 1 to 9999] [seed from 1 to 1073741823]" >&2
  exit 2
fi
many=$((kills >= 100))
least=10

cargo build --quiet --features emulator-server --bin snowpipe-emulator --example ski_resort
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

fail() {
  echo "error: $*" >&2
  exit 1
}

# The day is long enough for all the kills: the pace does not make up for the time a generator was dead.
speed=$((96000 / kills))
days=1

listen=127.0.0.1:0
held_log=$work/held.log
options=()
filter=${RUST_LOG:-info}
if ((many)); then
  options=(--delay-answers 300ms)
  filter=info,snowpipe_streaming::emulator::serve=debug
fi
start_emulator() {
  [[ -p $work/url ]] || mkfifo "$work/url"
  cat "$held_log" >>"$work/emulator.log" 2>/dev/null || true
  : >"$held_log"
  RUST_LOG=$filter "$bin/snowpipe-emulator" --listen "$listen" --ddl examples/ski_resort/sql/setup.sql --data "$work/landing.db" \
    --write-profile "$work/profile.json" "${options[@]}" >"$work/url" 2>>"$held_log" &
  pids[emulator]=$!
  local url=
  # The line comes when it listens, and the end of the file if it died.
  read -r url <"$work/url" || fail "the emulator did not start"
  listen=${url#http://}
}

# How many requests the emulator that runs, or was just killed, has carried out and not answered. It writes the first line
# before it holds an answer back and the second before it lets go of it.
unanswered() {
  awk '/an answer is held back/ { held++ } /answer is no longer held back/ { held-- } END { print held + 0 }' "$held_log"
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

(
  sleep $((600 + 20 * kills)) &
  nap=$!
  trap 'kill $nap; exit' TERM
  wait $nap
  kill -ALRM $$
) &
watchdog=$!
trap 'fail "it takes too long"' ALRM

echo "seed $seed, $kills kills"
RANDOM=$seed
roles=(generator streamer emulator)
declare -A killed=([generator]=0 [streamer]=0 [emulator]=0)
while_unanswered=0
start_emulator
start_generator
start_streamer

for ((i = 1; i <= kills; i++)); do
  # Each role in turn, so that none is spared; when, is left to chance.
  role=${roles[$((i % 3))]}
  delay=$((50 + RANDOM % 600))
  sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
  if ((many && i % 2)) && [[ $role != generator ]]; then
    # Not for ever: there may be nothing to send just now.
    for ((look = 0; look < 100; look++)); do
      [[ $(unanswered) == 0 ]] || break
      sleep 0.02
    done
  fi
  pid=${pids[$role]}
  # Stopped, a streamer reads no answer and an emulator sends none: what is unanswered now is so when it dies.
  kill -STOP "$pid" 2>/dev/null || fail "the $role had ended before kill $i"
  open=0
  [[ $role == generator ]] || open=$(unanswered)
  kill -KILL "$pid"
  code=0
  wait "$pid" 2>/dev/null || code=$?
  ((code == 137)) || fail "the $role had ended with code $code before kill $i"
  killed[$role]=$((killed[$role] + 1))
  during=
  if ((open > 0)); then
    while_unanswered=$((while_unanswered + 1))
    during=", while a request was unanswered"
  fi
  echo "kill $i: the $role, after $delay ms$during"
  "start_$role"
done

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
sum="kills: generator ${killed[generator]}, streamer ${killed[streamer]}, emulator ${killed[emulator]}"
if ((many)); then
  sum+="; while a request was unanswered $while_unanswered"
fi
echo "$sum"
if ((many)); then
  for role in "${roles[@]}"; do
    ((killed[$role] >= least)) || fail "the $role was killed fewer than $least times"
  done
  ((while_unanswered >= least)) || fail "fewer than $least kills happened while a request was unanswered"
fi
echo "every row landed exactly once, $kills kills notwithstanding"
