# What the scripts that kill processes have in common. They source this file in the repository's root.

# How long the emulator holds back the answer to an append whose rows it has accepted.
held_ms=300
# Makes the emulator log when it begins and when it ceases to hold an answer back.
held_log_filter=info,snowpipe_streaming_emulator::server::serve=debug

strikes=0
while_unanswered=0

fail() {
  echo "error: $*" >&2
  exit 1
}

# Sleeps for so many milliseconds.
nap() {
  sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"
}

# Ends the script with an error after so many seconds. The caller ends the process `watchdog` when it is done.
watch_for() {
  (
    sleep "$1" &
    nap=$!
    trap 'kill $nap; exit' TERM
    wait $nap
    kill -ALRM $$
  ) &
  watchdog=$!
  trap 'fail "it takes too long"' ALRM
}

# How many requests the last emulator that writes this log has carried out and not answered. It writes the first line before
# it holds an answer back and the second before it sends it.
unanswered() {
  awk '/the emulator is ready/ { held = 0 }
    /an answer is held back/ { held++ }
    /answer is no longer held back/ { held-- }
    END { print held + 0 }' "$1"
}

# Waits until a request is unanswered, for eight seconds at most: a run that follows a killed one first waits five seconds for
# counters that may be late, and there may be nothing to send.
await_unanswered() {
  local look
  [[ $1 != /dev/null ]] || return 0
  for ((look = 0; look < 300; look++)); do
    [[ $(unanswered "$1") == 0 ]] || return 0
    sleep 0.02
  done
}

# Kills processes at the same moment: strike LOG PID... Sets `during` to words for a kill while a request is unanswered. The
# log is the emulator's, or /dev/null for a process that has nothing to do with requests.
strike() {
  local log=$1
  shift
  # A stopped client reads no answer and a stopped emulator sends none: what is unanswered now is so when they die.
  kill -STOP "$@" 2>/dev/null || return 1
  during=
  if (($(unanswered "$log") > 0)); then
    while_unanswered=$((while_unanswered + 1))
    during=", while a request is unanswered"
  fi
  strikes=$((strikes + 1))
  kill -KILL "$@"
}

# At least a third of all kills have to happen while a request is unanswered.
judge_strikes() {
  echo "$while_unanswered of $strikes kills happened while a request was unanswered"
  ((3 * while_unanswered >= strikes)) || fail "those are fewer than a third"
}

# Runs the ski resort without a kill, with its landing in a directory: run_undisturbed PROGRAM DIRECTORY FLAGS...
run_undisturbed() {
  local program=$1 directory=$2
  shift 2
  mkdir -p "$directory"
  "$program" --no-dashboard --queue "$directory/queue.db" --landing "$directory/landing.db" "$@" \
    >"$directory/table.txt" 2>"$directory/undisturbed.log" || {
    cat "$directory/undisturbed.log" >&2
    fail "the ski resort fails without a kill"
  }
}

# Compares the ski resort's tables with those of another landing. Each has one channel, so the order is compared as well.
compare_ski_resort() {
  python3 -B examples/kills/tables.py "$1" "$2" "SELECT * FROM RESORT_TICKET ORDER BY rowid" \
    "SELECT * FROM SEASON_PASS ORDER BY rowid" "SELECT * FROM LIFT_RIDE ORDER BY rowid"
}
