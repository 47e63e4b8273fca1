#!/usr/bin/env bash
# Runs the programs on kinesalite and moto, which are installed into the target directory: bash connectors/kinesis/tests/servers/run.sh
# Needs Node.js and Python. KINESIS_SEEDS says how often programs are killed at random.
set -euo pipefail
cd "$(dirname "$0")/../.."

kinesalite=3.3.3
moto=5.2.5
target=${CARGO_TARGET_DIR:-$PWD/target}
servers=$target/kinesis_servers
mkdir -p "$servers"

for program in npm node python3; do
  command -v "$program" >/dev/null || { echo "install $program" >&2; exit 1; }
done
if [[ ! -f $servers/kinesalite-$kinesalite/node_modules/kinesalite/cli.js ]]; then
  npm install --silent --no-fund --no-audit --prefix "$servers/kinesalite-$kinesalite" "kinesalite@$kinesalite"
fi
if ! "$servers/moto-$moto/bin/python" -c 'import moto.server' >/dev/null 2>&1; then
  rm -rf "$servers/moto-$moto"
  python3 -m venv "$servers/moto-$moto"
  "$servers/moto-$moto/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$moto"
fi
cargo test --locked --features s3 --test servers --no-run

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
pids=()
stop() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
}
trap stop EXIT
kinesis_port=$(free_port)
node "$servers/kinesalite-$kinesalite/node_modules/kinesalite/cli.js" --port "$kinesis_port" \
  --createStreamMs 50 --deleteStreamMs 50 --updateStreamMs 50 --shardLimit 20 >"$servers/kinesalite.log" 2>&1 &
pids+=($!)
s3_port=$(free_port)
"$servers/moto-$moto/bin/moto_server" -H 127.0.0.1 -p "$s3_port" >"$servers/moto.log" 2>&1 &
pids+=($!)
for port in "$kinesis_port" "$s3_port"; do
  for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
    sleep 0.1
  done
  echo "no server listens on port $port; see $servers" >&2
  exit 1
done
export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$s3_port AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
cargo test --locked --features s3 --test servers -- "http://127.0.0.1:$kinesis_port" "$AWS_ENDPOINT_URL_S3"
