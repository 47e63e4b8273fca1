#!/usr/bin/env bash
# Runs the channel's state machines and the byte budget in Miri, which looks for undefined behaviour and leaks: what is ours
# is safe code, what it stands on is not. Frames are stored there and not compressed, for Miri calls no C.
#
#   tests/miri.sh [cases of each property test, 1]
set -euo pipefail
cd "$(dirname "$0")/.."

rustup component list --toolchain nightly | grep -q '^miri.*(installed)' ||
  rustup component add miri rust-src --toolchain nightly

# The clock is read, and proptest looks for its file of failures.
MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}" PROPTEST_CASES=${1:-1} \
  cargo +nightly miri test --locked --lib --target-dir "${CARGO_TARGET_DIR:-target}/miri" -- \
  budget:: channel::batch channel::core channel::ledger channel::tokens elastic::batch elastic::core
