#!/usr/bin/env bash
# Builds the emulator's wheel, installs it into a fresh environment and runs pytest there: bash emulator/tests/wheel/run.sh
#
# PROFILE=release builds what a release has; the default is the dev profile, whose dependencies other tests compile as well.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
maturin=1.16.0
tools=$CARGO_TARGET_DIR/emulator_wheel/maturin-$maturin
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! "$tools/bin/maturin" --version >/dev/null 2>&1; then
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check "maturin==$maturin"
fi
started=$SECONDS
(cd emulator/packaging/python && "$tools/bin/maturin" build --quiet --profile "${PROFILE:-dev}" --out "$scratch/wheels")
wheel=$(echo "$scratch"/wheels/snowpipe_emulator-*.whl)
printf '%s: %d bytes, built in %d s\n' "${wheel##*/}" "$(stat -c %s "$wheel")" $((SECONDS - started))
python3 -m zipfile --list "$wheel" >"$scratch/contents"
programs=$(grep -o '\.data/scripts/[^ ]*' "$scratch/contents")
[[ $programs == .data/scripts/snowpipe-emulator ]] || die "the wheel has the programs $programs"

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check "$wheel" -r "$here/requirements.txt"
"$scratch/venv/bin/snowpipe-emulator" --version

# Away from the repository, so that the package is the installed one.
cp "$here"/test_*.py "$scratch"
cd "$scratch"
export SS_LOG_LEVEL=warn
pytest() { "$scratch/venv/bin/python" -m pytest -q -p no:cacheprovider "$@"; }
pytest -n 2 test_fixture.py
# Two suites at the same time.
pytest test_rides.py >"$scratch/second" &
second=$!
pytest test_fixture.py
wait "$second" || die "$(cat "$scratch/second")"

"$scratch/venv/bin/python" "$here/containerfile.py" "$here/../../packaging/Containerfile" "$scratch/venv/bin/snowpipe-emulator"
