#!/usr/bin/env bash
# Draws mutants out of those that cargo-mutants makes of the client, and says how many of them the tests catch. Fails on a
# survivor that survivors.txt gives no reason for, and if less than 92 % of those that compile are caught.
#
#   tests/drawn_mutants/run.sh [--count 240] [--seed 1] [--limit SECONDS] [--again]
#
# cargo-mutants finds the mutants. They are not built one by one: all go into one copy of the code, each behind a switch, and
# each is tried by the tests that come by it, the quickest first. --limit leaves slow tests out, --again tries only what the
# run before missed.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v cargo-mutants >/dev/null || cargo install --locked --version 27.1.0 cargo-mutants
exec python3 -u tests/drawn_mutants/run.py "$@"
