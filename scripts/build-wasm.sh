#!/usr/bin/env bash
# Compiles uploader-wasm and writes what the page imports to web/src/wasm: holdfast.js, its types,
# and holdfast_bg.wasm. Needs scripts/setup.sh to have run.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

output=web/src/wasm
name=holdfast
module=$CARGO_TARGET_DIR/$WASM_TARGET/wasm/uploader_wasm.wasm
tool=$CARGO_TARGET_DIR/debug/wasm-bindgen-tool

say "Compiling the browser's module"
# A panic's message names its source file: keep the builder's home folder out of what is shipped.
rustflags=("--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" "--remap-path-prefix=$ROOT=/holdfast")
# SHA-256 hashes one short name at the start: small beats fast, by 2 KB gzipped.
rustflags+=('--cfg=sha2_backend_soft="compact"')
CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=${rustflags[*]} \
  cargo build --locked -p uploader-wasm --lib --profile wasm --target "$WASM_TARGET"
cargo build --locked -p wasm-bindgen-tool

if [[ $output/${name}_bg.wasm -nt $module && $output/${name}_bg.wasm -nt $tool ]]; then
  say "$output is up to date"
  exit 0
fi

# Written beside, then moved: whoever watches the folder never sees half of it.
rm -rf "$output.new"
"$tool" "$module" "$output.new" "$name"
say "Optimising the browser's module"
# For the size on the wire. What -Os and -Oz do more makes the module smaller and its gzip a tenth
# larger: equal code no longer looks equal. Ordered by name, the variants of one generic function lie
# side by side, where gzip finds them (Binaryen 132, November 2026).
wasm-opt -O1 --dae-optimizing --reorder-functions-by-name --strip-debug --strip-producers \
  "$output.new/${name}_bg.wasm" -o "$output.new/optimised.wasm"
mv "$output.new/optimised.wasm" "$output.new/${name}_bg.wasm"
rm -rf "$output"
mv "$output.new" "$output"
say "$output: $(wc -c <"$output/${name}_bg.wasm") bytes of wasm, $(gzip -9 <"$output/${name}_bg.wasm" | wc -c) gzipped"
