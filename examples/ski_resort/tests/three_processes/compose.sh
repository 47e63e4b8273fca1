#!/usr/bin/env bash
# Checks examples/ski_resort/compose.yaml without a container engine: against the schema of the Compose specification, that
# its parts fit each other and the programs, and that its commands do what they are there for when they are run as they
# stand: bash examples/ski_resort/tests/three_processes/compose.sh
set -euo pipefail
cd "$(dirname "$0")/../../../.."

version=0.39.0
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/check-jsonschema/$version

if ! "$venv/bin/python" -c 'import check_jsonschema, ruamel.yaml' >/dev/null 2>&1; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "check-jsonschema==$version"
fi
"$venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec examples/ski_resort/compose.yaml
cargo build --locked --quiet -p snowpipe-streaming-emulator -p snowpipe-streaming --features snowpipe-streaming-emulator/server --bin snowpipe-emulator --example ski_resort
exec "$venv/bin/python" examples/ski_resort/tests/three_processes/compose.py "$target/debug"
