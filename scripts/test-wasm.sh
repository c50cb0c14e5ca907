#!/usr/bin/env bash
# Runs the engine's tests and the simulator's compiled to wasm, as the browser runs the engine: there
# `usize` has 32 bits, and the random numbers and floats must come out the same.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

cargo build --locked -p wasm-bindgen-tool
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$CARGO_TARGET_DIR/debug/wasm-test-runner

status=0
cargo test --locked --no-fail-fast -p upload-engine --tests --target "$WASM_TARGET" || status=$?
# Its binaries need an operating system: the library alone.
cargo test --locked --no-fail-fast -p upload-testkit --lib --target "$WASM_TARGET" || status=$?
exit "$status"
