#!/usr/bin/env bash
# Compares the official SDK, as it is on PyPI, with this crate: bash tests/official_sdk/run.sh [NAME]
set -euo pipefail
cd "$(dirname "$0")/../.."

version=1.9.1
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/official_sdk/$version

if ! "$venv/bin/python" -c 'import snowflake.ingest.streaming' >/dev/null 2>&1; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "snowpipe-streaming==$version"
fi
cargo build --locked --quiet --example official_sdk
exec "$target/debug/examples/official_sdk" --python "$venv/bin/python" "$@"
