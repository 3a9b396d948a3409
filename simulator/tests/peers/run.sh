#!/usr/bin/env bash
# Runs clients that nobody here wrote against the simulator: boto3 and the AWS SDK for
# JavaScript. Their packages are kept in $TAIWA_TOOLS, or .tools beside the workspace.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
tools=${TAIWA_TOOLS:-$root/.tools}
cache=$tools/simulator-peers
boto3_version=1.44.5

mkdir -p "$cache"
work=$(mktemp -d)
simulator=
trap '[ -z "$simulator" ] || kill "$simulator" 2>/dev/null || true; rm -rf "$work"' EXIT

if ! "$cache/venv/bin/python" -c "import boto3; assert boto3.__version__ == '$boto3_version'" 2>/dev/null; then
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check "boto3==$boto3_version"
fi
if ! cmp -s "$here/package-lock.json" "$cache/package-lock.json"; then
  cp "$here/package.json" "$here/package-lock.json" "$cache/"
  (cd "$cache" && npm ci --no-audit --no-fund --silent) || { rm -f "$cache/package-lock.json"; exit 1; }
fi

cargo build --quiet --manifest-path "$root/Cargo.toml" --bin bedrock-simulator
binary=${CARGO_TARGET_DIR:-$root/target}/debug/bedrock-simulator
"$binary" --listen 127.0.0.1:0 --scenario "$here/peers.toml" --speed max >"$work/out" &
simulator=$!
# The first line of its output is the endpoint.
for _ in $(seq 200); do
  [ -s "$work/out" ] && break
  sleep 0.05
done
endpoint=$(head -n 1 "$work/out")
[ -n "$endpoint" ] || { echo "the simulator did not start" >&2; exit 1; }

export AWS_ENDPOINT_URL_BEDROCK_RUNTIME=$endpoint AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=simulator AWS_SECRET_ACCESS_KEY=simulator AWS_EC2_METADATA_DISABLED=true
"$cache/venv/bin/python" "$here/peer.py"
# Modules are looked up beside the script, so it runs where they are installed.
cp "$here/peer.mjs" "$cache/peer.mjs"
NODE_NO_WARNINGS=1 node "$cache/peer.mjs"
