#!/usr/bin/env bash
# Looks at the ski resort's dashboard in a real browser: bash examples/ski_resort/tests/browser/run.sh [--screenshots DIRECTORY | --readme]
#
# Compares each number on the page with its SQL, switches by mouse and keyboard, lets the program die and come back, and
# looks for errors, overflow and obstacles. --screenshots keeps a picture of each view, --readme only renews those
# that the example's README shows.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../../../.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
venv=$target/dashboard_test
uplot=1.6.32

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

browser=
for name in chromium chromium-browser google-chrome; do
  browser=$(command -v "$name") && break
done
if [[ -z $browser ]]; then
  command -v apt-get >/dev/null || die "install Chromium"
  apt-get update -q && apt-get install -qy --no-install-recommends chromium
  browser=$(command -v chromium)
fi

# The requirements a venv was made for are in it.
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/"
fi

if command -v npm >/dev/null; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  (cd "$scratch" && npm pack --silent "uplot@$uplot" >/dev/null && tar -xzf "uplot-$uplot.tgz")
  for file in LICENSE dist/uPlot.iife.min.js dist/uPlot.min.css; do
    cmp "$scratch/package/$file" "$repository/examples/ski_resort/dashboard/page/vendor/${file##*/}" ||
      die "a vendored file is not that of uplot $uplot"
  done
else
  echo "no npm here: the vendored files are not compared with their package"
fi

(cd "$repository" && cargo build --locked --quiet -p snowpipe-streaming-emulator -p snowpipe-streaming --features snowpipe-streaming-emulator/server --bin snowpipe-emulator --example ski_resort)
"$venv/bin/python" -B "$here/check.py" --program "$target/debug/examples/ski_resort" \
  --emulator "$target/debug/snowpipe-emulator" --browser "$browser" "$@"
