#!/usr/bin/env bash
# Checks how examples/ski_resort/three_processes.sh ends when it is stopped: with the code of what failed, with 130 if
# nothing did, and with 0 if the streamer had done all there is. The three programs are stand-ins that end as they are asked
# to, so nothing is compiled and nothing is streamed.
#
#   bash examples/ski_resort/tests/three_processes/codes.sh
set -euo pipefail
cd "$(dirname "$0")/../../../.."

work=$(mktemp -d)
script=
finish() {
  local code=$? file
  trap - EXIT
  [[ -z $script ]] || kill -KILL "$script" 2>/dev/null || true
  for file in "$work"/run/*.pid; do
    kill -KILL "$(cat "$file" 2>/dev/null)" 2>/dev/null || true
  done
  if ((code)); then
    cat "$work"/*.log "$work"/run/*.log >&2 || true
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT

fail() {
  echo "error: $*" >&2
  exit 1
}

mkdir -p "$work/path" "$work/target/debug/examples"
cat >"$work/path/cargo" <<'SH'
#!/usr/bin/env bash
SH
# Prints its URL once the file may_say is there, and runs until it is ended.
cat >"$work/target/debug/snowpipe-emulator" <<'SH'
#!/usr/bin/env bash
trap 'exit 0' TERM
until [[ -e $WORK/may_say ]]; do sleep 0.05; done
echo http://127.0.0.1:1
while :; do sleep 0.05; done
SH
# Ends with the code in the file of its role; the streamer prints its table first.
cat >"$work/target/debug/examples/ski_resort" <<'SH'
#!/usr/bin/env bash
role=$2
trap 'if [[ $role == streamer ]]; then echo "the table"; fi; exit "$(cat "$WORK/$role.code")"' TERM
echo started >"$WORK/$role"
while :; do sleep 0.05; done
SH
chmod +x "$work/path/cargo" "$work/target/debug/snowpipe-emulator" "$work/target/debug/examples/ski_resort"
export WORK=$work PATH=$work/path:$PATH CARGO_TARGET_DIR=$work/target

# Waits until a stand-in has written to its pipe.
started() {
  read -r -t 60 _ <>"$work/$1" || fail "the $1 does not start"
}

# Ends the script when `$1` has started, and checks its code and what it printed.
expect() {
  local when=$1 generator=$2 streamer=$3 expected=$4 table=$5 code=0
  rm -f "$work/may_say" "$work/generator" "$work/streamer"
  mkfifo "$work/generator" "$work/streamer"
  echo "$generator" >"$work/generator.code"
  echo "$streamer" >"$work/streamer.code"
  bash examples/ski_resort/three_processes.sh "$work/run" >"$work/table.txt" 2>"$work/script.log" &
  script=$!
  started generator
  if [[ $when == streamer ]]; then
    : >"$work/may_say"
    started streamer
  fi
  kill -TERM "$script"
  wait "$script" || code=$?
  script=
  ((code == expected)) || fail "stopped after the $when, with $generator and $streamer: $code and not $expected"
  [[ $(cat "$work/table.txt") == "$table" ]] || fail "stopped after the $when: another table"
  echo "stopped after the $when, generator $generator, streamer $streamer: $code"
}

expect generator 130 - 130 ''
expect streamer 130 130 130 'the table'
expect streamer 130 0 0 'the table'
expect streamer 130 1 1 'the table'
expect streamer 130 2 2 'the table'
expect streamer 1 130 1 'the table'
expect streamer 1 0 1 'the table'
# The table of an earlier start is not printed again.
expect generator 130 - 130 ''
