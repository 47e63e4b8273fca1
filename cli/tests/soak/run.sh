#!/usr/bin/env bash
# A soak against the emulator over HTTPS, through the soak's proxy, with rows in a file and tokens that live for 20 seconds:
# bash cli/tests/soak/run.sh [DURATION [ROWS A SECOND]]
set -euo pipefail
cd "$(dirname "$0")/../../.."
duration=${1:-2m} rate=${2:-300}
cargo build --quiet --locked -p snowpipe-streaming-emulator -p snowpipe-cli \
  --features snowpipe-streaming-emulator/server --bins
target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
work=$(mktemp -d)
server=
end() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap end EXIT
mkfifo "$work/ready"
"$target/debug/snowpipe-emulator" --tls --token-life 20s --data "$work/soak.db" --write-profile "$work/profile.json" \
  > "$work/ready" 2> "$work/emulator.log" &
server=$!
# The emulator prints a line when it is ready.
read -r line < "$work/ready"
echo "emulator: ${line%% *}"
env RUST_LOG=off "$target/debug/snowpipe" conformance --profile "$work/profile.json" --ca "$work/profile.ca.pem" \
  --database SOAK --soak "$duration" --rate "$rate" --yes
