#!/usr/bin/env bash
# Runs Snowflake's connector for Python, as it is on PyPI, against the emulator: bash emulator/tests/connector/run.sh
#
# Version 4 is written in Python, and version 5 has a native core: each has a separate virtual environment.
set -euo pipefail
cd "$(dirname "$0")/../../.."

target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --locked --quiet -p snowpipe-streaming-emulator --features server
for version in 4.8.1 5.2.0; do
  venv=$target/connector/$version
  if ! "$venv/bin/python" -c 'import snowflake.connector' >/dev/null 2>&1; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "snowflake-connector-python==$version"
  fi
  NO_PROXY=127.0.0.1 "$venv/bin/python" -W ignore::FutureWarning emulator/tests/connector/suite.py "$target/debug/snowpipe-emulator"
done
