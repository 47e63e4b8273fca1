#!/usr/bin/env bash
# The tests of the connector: bash connectors/kafka/tests/run.sh
#
# The tests run librdkafka's mock cluster in their process. It aborts the process by an assertion of its own when a member joins a
# second time before the first join is answered. The tests are run again after this abort, at most twice, and after no other failure.
set -euo pipefail
manifest=$(dirname "$0")/../Cargo.toml
log=$(mktemp)
tests=
# In a process group of their own, because an aborted process leaves its members behind.
end() { [[ -z $tests ]] || kill -KILL -- -"$tests" 2>/dev/null || true; }
trap 'end; rm -f "$log"' EXIT
for attempt in 1 2 3; do
  set -m
  cargo test --locked --manifest-path "$manifest" "$@" </dev/null >"$log" 2>&1 &
  tests=$!
  set +m
  status=0
  wait "$tests" || status=$?
  # Members that were left behind would keep a pipe open, so that the log comes in one piece.
  end
  cat "$log"
  ((status)) || exit 0
  grep -q "rdkafka_mock_cgrp.c.*Assertion .!member->resp' failed" "$log" || exit "$status"
  ! grep -qE '\.\.\. FAILED|panicked at' "$log" || exit "$status"
  ((attempt == 3)) || echo "the mock cluster has aborted the tests: they are run again"
done
exit "$status"
