#!/usr/bin/env bash
# Builds Rust's standard library for wasm32-unknown-unknown and puts it into a compiler's own
# folder, for a compiler that comes without one (Debian's). Once a compiler version, about a minute.
#
#   scripts/build-wasm-std.sh SYSROOT      the prefix of bin/rustc, for example /usr
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh" --toolchain-later

sysroot=${1:?usage: build-wasm-std.sh SYSROOT}
libraries=$sysroot/lib/rustlib/$WASM_TARGET/lib
source_folder=$sysroot/lib/rustlib/src/rust/library

[[ -d $source_folder ]] || die "no library source of Rust in $source_folder" "Install the package with Rust's source."

say "Building Rust's standard library for $WASM_TARGET (once, about a minute)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
touch "$work/src/lib.rs"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "wasm-std"
version = "0.0.0"
edition = "2021"
[profile.release]
panic = "abort"
[workspace]
TOML

# RUSTC_BOOTSTRAP lets this one command use -Zbuild-std on a release compiler.
(
  cd "$work"
  unset RUSTUP_TOOLCHAIN CARGO_BUILD_TARGET
  CARGO_TARGET_DIR=$work/target RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
    RUSTC=$sysroot/bin/rustc RUSTC_BOOTSTRAP=1 "$sysroot/bin/cargo" build --release -Zbuild-std=std,panic_abort --target "$WASM_TARGET" </dev/null
)

mkdir -p "$libraries"
rm -f "$libraries"/*.rlib
for library in "$work/target/$WASM_TARGET/release/deps"/*.rlib; do
  [[ $library == */libwasm_std-* ]] || cp "$library" "$libraries/"
done
say "Put into $libraries"
