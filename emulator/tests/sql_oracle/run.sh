#!/usr/bin/env bash
# Compares the emulator's SQL with DuckDB's on generated queries: bash emulator/tests/sql_oracle/run.sh [--queries N] [--seed N]
set -euo pipefail
cd "$(dirname "$0")/../../.."

duckdb=2.0.0 sqlglot=30.30.0
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/sql_oracle/$duckdb-$sqlglot

if ! "$venv/bin/python" -c 'import duckdb, sqlglot' >/dev/null 2>&1; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "duckdb==$duckdb" "sqlglot==$sqlglot"
fi
cargo build --locked --quiet -p snowpipe-streaming-emulator --features server
RUST_LOG=error exec "$venv/bin/python" emulator/tests/sql_oracle/oracle.py "$target/debug/snowpipe-emulator" "$@"
