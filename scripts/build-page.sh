#!/usr/bin/env bash
# Builds the wasm and, with it, the page that the server serves: web/dist.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

bash scripts/build-wasm.sh
say "Building the page"
vite build --logLevel warn
