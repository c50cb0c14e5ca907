#!/usr/bin/env bash
# `npm start [-- SERVER FLAGS]`: installs what is missing, builds everything, runs the server with
# the embedded store. Opening the URL it prints is all that is left to do.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

bash scripts/setup.sh
source scripts/env.sh
bash scripts/build-page.sh
say "Compiling the server (minutes the first time, seconds after)"
# The page is part of the binary, so it comes first.
cargo build --locked -p presign-server
say "Starting Holdfast; stop it with Ctrl-C"
exec "$CARGO_TARGET_DIR/debug/presign-server" "$@"
