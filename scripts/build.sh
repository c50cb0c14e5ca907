#!/usr/bin/env bash
# `npm run build`: the release binaries, in target/release.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

bash scripts/setup.sh
source scripts/env.sh
bash scripts/build-page.sh
say "Compiling the release binaries (some minutes the first time)"

# Each package that the release consists of, by the name of its binary.
binaries=(presign-server)
cargo build --locked --release "${binaries[@]/#/--bin=}"

mkdir -p target/release
for binary in "${binaries[@]}"; do
  built=$CARGO_TARGET_DIR/release/$binary
  [[ $built -ef target/release/$binary ]] || ln -sf "$built" "target/release/$binary"
  say "target/release/$binary: $(wc -c <"$built") bytes"
done
