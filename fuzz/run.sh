#!/usr/bin/env bash
# Fuzzes one target, or each in its turn, with coverage as the guide, on stable Rust.
#
#   fuzz/run.sh [TARGET|all] [SECONDS for each]
#
# What it learns stays in fuzz/corpus, what breaks the crate in fuzz/artifacts; neither is in the tree. The seeds are.
set -euo pipefail
cd "$(dirname "$0")"

all=(answers ddl emulator_request profile_and_key rows)
seconds=${2:-60}
if [[ ${1:-all} == all ]]; then
  targets=("${all[@]}")
else
  targets=("$1")
fi
if ! [[ " ${all[*]} " == *" ${targets[0]} "* && $seconds =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: $0 [all|${all[*]}] [seconds]" >&2
  exit 2
fi

# The flags must not reach build scripts, which have no fuzzer in them: a named target keeps them apart.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code --cfg fuzzing" \
  cargo build --release --target "$host" --target-dir target/coverage

for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  "target/coverage/$host/release/$target" "corpus/$target" "seeds/$target" -artifact_prefix="artifacts/$target/" \
    -max_len=8192 -timeout=20 -rss_limit_mb=1024 -max_total_time="$seconds" -print_final_stats=1
done
