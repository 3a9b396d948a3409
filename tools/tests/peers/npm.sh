#!/usr/bin/env bash
# Installs the MCP servers that tools/tests/mcp/peers.rs starts: the reference servers, from npm.
# They are kept in $TAIWA_TOOLS, or .tools beside the workspace.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${TAIWA_TOOLS:-$root/.tools}/tools-peers

if ! cmp -s "$here/package-lock.json" "$cache/package-lock.json"; then
  mkdir -p "$cache"
  cp "$here/package.json" "$here/package-lock.json" "$cache/"
  (cd "$cache" && npm ci --no-audit --no-fund --silent) || { rm -f "$cache/package-lock.json"; exit 1; }
fi
