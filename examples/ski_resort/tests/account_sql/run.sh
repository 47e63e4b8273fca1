#!/usr/bin/env bash
# Runs the account's reports in DuckDB and compares them with the fixture and with the embedded reports:
# bash examples/ski_resort/tests/account_sql/run.sh [--without-embedded]
set -euo pipefail
cd "$(dirname "$0")/../../../.."

sqlglot=30.30.0
duckdb=2.0.0
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/account_sql/$sqlglot-$duckdb

if ! "$venv/bin/python" -c 'import duckdb, sqlglot' >/dev/null 2>&1; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "sqlglot==$sqlglot" "duckdb==$duckdb"
fi
exec "$venv/bin/python" -B examples/ski_resort/tests/account_sql/check.py "$@"
