#!/usr/bin/env bash
# Runs the SQL of the current state in DuckDB on drawn histories: bash connectors/mysql/tests/current_state/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

# As in examples/ski_resort/tests/account_sql/run.sh of the crate, whose environment is used if both share a target directory.
sqlglot=30.30.0
duckdb=2.0.0
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/account_sql/$sqlglot-$duckdb

if ! "$venv/bin/python" -c 'import duckdb, sqlglot' >/dev/null 2>&1; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "sqlglot==$sqlglot" "duckdb==$duckdb"
fi
exec "$venv/bin/python" -B tests/current_state/check.py
