#!/usr/bin/env bash
# The ski resort as three processes, where no container engine is: an emulator, a generator and a streamer.
#
#   examples/ski_resort/three_processes.sh [DIRECTORY] [-- GENERATOR FLAGS]
#
# Files, logs and process ids are in DIRECTORY, ski_resort_data/three_processes without one. Whichever process ends badly is
# started again, until the generator and the streamer have done all there is. Ctrl-C ends the three in order; the same
# command goes on.
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

# A process that fails by itself this often in a row, so soon after its start, will fail again.
most_failures=5
soon=5

# The indexes of the arrays below: older shells have no others.
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

# Has its own process group, for Ctrl-C in a terminal is for this script alone.
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
  # The signal may have come while nobody knew of this process yet.
  [[ -z $stopping || $role == emulator ]] || terminate "$role"
}

start_emulator() {
  local listen=127.0.0.1:0
  # A profile is good for one port.
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
  # Before the emulator says where it is, there is neither profile nor landing.
  [[ -s $directory/emulator.url ]] || return 0
  launch streamer "$bin/examples/ski_resort" \
    --only streamer \
    --queue "$directory/queue.db" \
    --profile "$directory/profile.json" \
    --landing "$directory/landing.db" \
    --summary-json "$directory/summary.json" \
    >"$directory/table.txt"
}

# What is to be done about a process that ended.
ended() {
  local role=$1 code=$2
  pids[$role]=
  rm -f "$directory/$role.pid"
  if [[ $role != emulator && -n $stopping ]]; then
    if ((code == 0)); then
      complete[$role]=yes
    # From 128 on it was interrupted, and the same command goes on.
    elif ((code < 128)); then
      tail -n 5 "$directory/$role.log" >&2
      say "error: the $role ended with code $code: $directory/$role.log"
      failed=$code
    fi
    return 0
  fi
  case $role in
  generator) ((code == 0)) && complete[$role]=yes ;;
  # A run that was finished may be one again once the generator has more to do.
  streamer) ((code == 0)) && complete[$role]=${complete[generator]} ;;
  esac
  [[ -z ${complete[$role]} ]] || return 0
  if ((code == 2)); then
    tail -n 5 "$directory/$role.log" >&2
    die 2 "the $role cannot work like this"
  fi
  # From 128 on it was a signal, and not its own doing.
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

# A second signal is a second signal to them as well: they end at once.
stop() {
  stopping=yes
  terminate generator streamer
}

# Whether all is done that is going to be.
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
  # Last, for the streamer waits for its commits.
  terminate emulator
  await emulator
  exit "$code"
}

cargo build --locked --quiet --manifest-path "$root/Cargo.toml" \
  --features emulator-server --bin snowpipe-emulator --example ski_resort
mkdir -p "$directory"
left=
for file in "$directory"/*.pid; do
  if [[ -s $file ]] && kill -0 "$(cat "$file")" 2>/dev/null; then
    left+=" $(cat "$file")"
  fi
done
[[ -z $left ]] || die 2 "these may be processes of an earlier start:$left; end them if they are, then remove $directory/*.pid"
# What an earlier start left says nothing of this one.
rm -f "$directory/emulator.url" "$directory/table.txt"

trap finish EXIT
trap stop INT TERM HUP
say "files and logs: $directory"
until is_over; do
  for role in emulator generator streamer; do
    look_after "$role"
  done
  # Ctrl-C ends the nap as well, and what the shell says of a process that was killed is said above.
  { sleep 0.2 || true; } 2>/dev/null
done
# There is none if the signal came before the first streamer.
[[ ! -e $directory/table.txt ]] || cat "$directory/table.txt"
((failed == 0)) || exit "$failed"
[[ -n ${complete[streamer]} ]] || exit 130
