#!/usr/bin/env bash
# The tests of the pipeline: bash examples/kafka/tests/run.sh
#
# The tests run librdkafka's mock cluster in their process. It aborts the process by an assertion of its own when a member joins a
# second time before the first join is answered. The tests are run again after this abort, and after nothing else.
set -euo pipefail
manifest=$(dirname "$0")/../Cargo.toml
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for _ in 1 2 3; do
  # In a process group of their own, because an aborted process leaves its members behind.
  set -m
  cargo test --locked --manifest-path "$manifest" "$@" >"$log" 2>&1 &
  tests=$!
  set +m
  status=0
  wait "$tests" || status=$?
  cat "$log"
  ((status)) || exit 0
  kill -KILL -- -"$tests" 2>/dev/null || true
  grep -q "rdkafka_mock_cgrp.c.*Assertion .!member->resp' failed" "$log" || exit "$status"
  echo "the mock cluster has aborted the tests: they are run again"
done
exit "$status"
