# The environment of every build: `source scripts/env.sh`, then `cargo` is the right one.
# Installs nothing: scripts/setup.sh does.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$ROOT/scripts/toolchain.sh"

for folder in "$HOME/.cargo/bin" "$ROOT/node_modules/.bin"; do
  [[ :$PATH: == *:$folder:* ]] || PATH=$folder:$PATH
done
export PATH HOLDFAST_CACHE_DIR

# Absolute, because wasm and native builds start in different folders.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOLDFAST_CACHE_DIR/target}
mkdir -p "$CARGO_TARGET_DIR"
CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd)
export CARGO_TARGET_DIR

use_toolchain || [[ ${1:-} == --toolchain-later ]] ||
  die "no Rust $RUST_VERSION or newer with the $WASM_TARGET target" "Run: bash scripts/setup.sh"
