#!/usr/bin/env bash
# Takes the figures anew and puts them where they are quoted: bash benches/official/update.sh [OPTIONS OF run.sh]
# Nothing is changed if the run fails, or if its statistics contradict each other.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
bash "$here/run.sh" --json "$figures" "$@" || {
  code=$?
  kept=${CARGO_TARGET_DIR:-$here/../../target}/official_sdk/figures.json
  [[ ! -s $figures ]] || { cp "$figures" "$kept"; echo "what was measured is in $kept; nothing else was changed" >&2; }
  exit "$code"
}
cp "$figures" "$here/figures.json"
python3 "$here/plot.py" "$here/figures.json" "$here/figures.svg"
python3 "$here/quote.py"
