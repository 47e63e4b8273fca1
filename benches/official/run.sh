#!/usr/bin/env bash
# Measures this crate and the official SDK in turn: bash benches/official/run.sh [--rows N] [--pairs N] [--json FILE]
# PROFILE=dev does not wait for an optimised build: enough to see that it runs, and for nothing else.
set -euo pipefail
# The caller's directory is where FILE is.
root=$(cd "$(dirname "$0")/../.." && pwd)

version=1.9.1
target=${CARGO_TARGET_DIR:-$root/target}
venv=$target/official_sdk/$version

if ! "$venv/bin/python" -c 'import snowflake.ingest.streaming' >/dev/null 2>&1; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "snowpipe-streaming==$version"
fi
exe=$(
  cargo bench --locked --quiet --manifest-path "$root/Cargo.toml" --profile "${PROFILE:-bench}" --bench end_to_end --no-run \
    --message-format json-render-diagnostics | python3 -c '
import json, sys

for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "end_to_end":
        print(message["executable"])
'
)
exec "$exe" official --python "$venv/bin/python" --script "$root/benches/official/sdk.py" "$@"
