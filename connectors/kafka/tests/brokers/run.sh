#!/usr/bin/env bash
# Members on a real broker: two brokers of nisshi, which share PostgreSQL and one address, and the emulator, all as processes
# that are killed. Compares the table with the log by partition and offset.
#
#   bash connectors/kafka/tests/brokers/run.sh [KILLS] [SEED]
#
# It needs PostgreSQL, and compiles nisshi, which takes a quarter of an hour and a newer compiler than the connector: a toolchain
# of rustup called nightly, or another one that TOOLCHAIN names. NISSHI=PATH uses a program that is installed already.
set -euo pipefail
cd "$(dirname "$0")/../../../.."

version=0.8.1
work=$(mktemp -d)
data=$work/postgres
finish() {
  local code=$?
  trap - EXIT
  [[ ! -e $data/data/postmaster.pid ]] || as_owner "$bin/pg_ctl" -D "$data/data" -m immediate stop >/dev/null || true
  if ((code == 0)); then rm -rf "$work"; else echo "failed; its files are in $work" >&2; fi
  exit "$code"
}
trap finish EXIT

# PostgreSQL refuses to run as root.
as_owner() { if ((EUID == 0)); then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi; }

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
if [[ -z $bin ]]; then
  command -v initdb >/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends postgresql; }
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || dirname "$(command -v initdb)")
fi

if [[ -z ${NISSHI:-} ]]; then
  target=${CARGO_TARGET_DIR:-$PWD/target}/nisshi
  CARGO_TARGET_DIR=$target cargo "+${TOOLCHAIN:-nightly}" install nisshi --version "$version" --locked --debug \
    --no-default-features --features postgres,dynostore --root "$target"
  NISSHI=$target/bin/nisshi
fi

mkdir "$data"
chmod 711 "$work"
((EUID != 0)) || chown postgres "$data"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_owner "$bin/initdb" -D "$data/data" -U postgres -A trust -E UTF8 >"$work/initdb.log"
as_owner "$bin/pg_ctl" -D "$data/data" -l "$data/log" -w start \
  -o "-p $port -k $data -c listen_addresses=127.0.0.1" >/dev/null

cargo build --locked --quiet -p snowpipe-streaming-emulator --features server
export NISSHI STORAGE=postgres://postgres@127.0.0.1:$port/postgres
export EMULATOR=${CARGO_TARGET_DIR:-$PWD/target}/debug/snowpipe-emulator
cargo test --locked --manifest-path connectors/kafka/Cargo.toml --test brokers -- "$@"
