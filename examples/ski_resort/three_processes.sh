#!/usr/bin/env bash
# The ski resort as three processes without a container engine: an emulator, a generator and a streamer.
#
#   examples/ski_resort/three_processes.sh [DIRECTORY] [-- GENERATOR FLAGS]
#
# Files, logs and process ids are in DIRECTORY, ski_resort_data/three_processes without one. A process that fails is
# started again, until the generator and the streamer have finished. Ctrl-C stops the three in order; the same command
# continues.
set -euo pipefail

usage() {
  echo "usage: $0 [DIRECTORY] [-- GENERATOR FLAGS]" >&2
  exit 2
}
directory=ski_resort_data/three_processes
if (($# > 0)) && [[ $1 != -* ]]; then
  directory=$1
  shift
fi
if (($# > 0)); then
  [[ $1 == -- ]] || usage
  shift
fi
generator_flags=("$@")

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/debug

# A process that fails this many times in a row, this soon after its start, will fail again.
most_failures=5
soon=5

# The indexes of the arrays below: older shells have no associative arrays.
emulator=0 generator=1 streamer=2
pids=('' '' '')
began=(0 0 0)
due=(0 0 0)
failures=(0 0 0)
complete=('' '' '')
stopping=
# The code of a generator or streamer that failed after the signal.
failed=0

say() { echo "$*" >&2; }

die() {
  local code=$1
  shift
  say "error: $*"
  exit "$code"
}

# Starts a process in its own process group, so that Ctrl-C in a terminal reaches only this script.
launch() {
  local role=$1
  shift
  set -m
  "$@" </dev/null 2>>"$directory/$role.log" &
  set +m
  pids[$role]=$!
  began[$role]=$SECONDS
  echo "${pids[$role]}" >"$directory/$role.pid.new"
  mv "$directory/$role.pid.new" "$directory/$role.pid"
  # The signal may have arrived before this process was registered.
  [[ -z $stopping || $role == emulator ]] || terminate "$role"
}

start_emulator() {
  local listen=127.0.0.1:0
  # A profile is valid for one port.
  if [[ -e $directory/profile.json ]]; then
    listen=$(sed -n 's|.*"url": "http://\([^"]*\)".*|\1|p' "$directory/profile.json")
  fi
  launch emulator "$bin/snowpipe-emulator" \
    --listen "$listen" \
    --ddl "$root/examples/ski_resort/sql/setup.sql" \
    --data "$directory/landing.db" \
    --write-profile "$directory/profile.json" \
    >"$directory/emulator.url"
}

start_generator() {
  launch generator "$bin/examples/ski_resort" \
    --only generator \
    --queue "$directory/queue.db" \
    ${generator_flags[@]+"${generator_flags[@]}"} \
    >>"$directory/generator.log"
}

start_streamer() {
  # The profile and the landing exist once the emulator has printed its address.
  [[ -s $directory/emulator.url ]] || return 0
  launch streamer "$bin/examples/ski_resort" \
    --only streamer \
    --queue "$directory/queue.db" \
    --profile "$directory/profile.json" \
    --landing "$directory/landing.db" \
    --summary-json "$directory/summary.json" \
    >"$directory/table.txt"
}

# Decides what to do after a process has ended.
ended() {
  local role=$1 code=$2
  pids[$role]=
  rm -f "$directory/$role.pid"
  if [[ $role != emulator && -n $stopping ]]; then
    if ((code == 0)); then
      complete[$role]=yes
    # From 128 on it was interrupted, and the same command continues.
    elif ((code < 128)); then
      tail -n 5 "$directory/$role.log" >&2
      say "error: the $role ended with code $code: $directory/$role.log"
      failed=$code
    fi
    return 0
  fi
  case $role in
  generator) ((code == 0)) && complete[$role]=yes ;;
  # A finished streamer runs again if the generator adds rows.
  streamer) ((code == 0)) && complete[$role]=${complete[generator]} ;;
  esac
  [[ -z ${complete[$role]} ]] || return 0
  if ((code == 2)); then
    tail -n 5 "$directory/$role.log" >&2
    die 2 "the $role cannot work like this"
  fi
  # From 128 on the cause was a signal and not the process itself.
  if ((code > 0 && code < 128 && SECONDS - began[$role] <= soon)); then
    failures[$role]=$((failures[$role] + 1))
  else
    failures[$role]=0
  fi
  if ((failures[$role] >= most_failures)); then
    tail -n 5 "$directory/$role.log" >&2
    die 1 "the $role fails again and again: $directory/$role.log"
  fi
  say "the $role ended with code $code: it is started again"
  due[$role]=$((SECONDS + 1))
}

look_after() {
  local role=$1 code=0
  if [[ -n ${pids[$role]} ]]; then
    if ! kill -0 "${pids[$role]}" 2>/dev/null; then
      wait "${pids[$role]}" 2>/dev/null || code=$?
      ended "$role" "$code"
    fi
  elif [[ -z ${complete[$role]} && (-z $stopping || $role == emulator) ]] && ((SECONDS >= due[$role])); then
    "start_$role"
  fi
}

terminate() {
  local role
  for role in "$@"; do
    [[ -z ${pids[$role]} ]] || kill -TERM "${pids[$role]}" 2>/dev/null || true
  done
}

# A second signal is passed on as well: the processes exit at once.
stop() {
  stopping=yes
  terminate generator streamer
}

# Whether all work is done.
is_over() {
  if [[ -n $stopping ]]; then
    [[ -z ${pids[generator]} && -z ${pids[streamer]} ]]
  else
    [[ -n ${complete[generator]} && -n ${complete[streamer]} ]]
  fi
}

await() {
  local role
  for role in "$@"; do
    [[ -n ${pids[$role]} ]] || continue
    wait "${pids[$role]}" 2>/dev/null || true
    rm -f "$directory/$role.pid"
  done
}

finish() {
  local code=$? role
  trap - EXIT
  trap '' INT TERM HUP
  terminate generator streamer
  await generator streamer
  # Last, because the streamer waits for its commits.
  terminate emulator
  await emulator
  exit "$code"
}

cargo build --locked --quiet --manifest-path "$root/Cargo.toml" \
  -p snowpipe-streaming-emulator -p snowpipe-streaming --features snowpipe-streaming-emulator/server --bin snowpipe-emulator --example ski_resort
mkdir -p "$directory"
left=
for file in "$directory"/*.pid; do
  if [[ -s $file ]] && kill -0 "$(cat "$file")" 2>/dev/null; then
    left+=" $(cat "$file")"
  fi
done
[[ -z $left ]] || die 2 "these may be processes of an earlier start:$left; end them if they are, then remove $directory/*.pid"
# Removes the files of an earlier start.
rm -f "$directory/emulator.url" "$directory/table.txt"

trap finish EXIT
trap stop INT TERM HUP
say "files and logs: $directory"
until is_over; do
  for role in emulator generator streamer; do
    look_after "$role"
  done
  # Ctrl-C ends the sleep as well. The shell's message about a killed process is not needed: it is reported above.
  { sleep 0.2 || true; } 2>/dev/null
done
# The file is missing if the signal came before the first streamer.
[[ ! -e $directory/table.txt ]] || cat "$directory/table.txt"
((failed == 0)) || exit "$failed"
[[ -n ${complete[streamer]} ]] || exit 130
