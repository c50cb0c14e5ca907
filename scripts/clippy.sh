#!/usr/bin/env bash
# Lints all Rust code, for this machine and for the browser.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

# The code is held to the lints of one version; a newer compiler's new ones are shown, not enforced.
lints=(-D warnings)
version=$(rustc_version "${RUSTUP_TOOLCHAIN:-}")
if [[ $version != "$RUST_VERSION".* ]]; then
  say "Rust $version is not $RUST_VERSION: its warnings do not fail this check"
  lints=(-A unknown-lints)
fi
cargo clippy --locked --workspace --all-targets -- "${lints[@]}"
cargo clippy --locked -p uploader-wasm --lib --target "$WASM_TARGET" -- "${lints[@]}"
