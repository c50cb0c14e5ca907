#!/usr/bin/env bash
# The engine decides from its inputs alone: nothing it links may reach a clock, a source of
# randomness, the network or the browser. Calls into std are refused by clippy.toml beside it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

packages=(upload-protocol upload-engine)
forbidden='tokio|async-std|smol|mio|futures-timer|socket2'
forbidden+='|hyper|reqwest|ureq|h2|rustls|ring|aws-.*|s3s'
forbidden+='|rand|getrandom|oorandom'
# Without std it has no generator but the seeded one.
forbidden+='|fastrand feature "(default|std|js)"'
forbidden+='|time|chrono|jiff|instant|web-time|quanta|coarsetime'
forbidden+='|wasm-bindgen|wasm-bindgen-futures|js-sys|web-sys|gloo(-.*)?'

status=0
for package in "${packages[@]}"; do
  # One line a package, and one a feature of it that is on.
  linked=$(cargo tree --locked -p "$package" -e normal,features --target all --prefix none |
    sed -E 's/ v[0-9].*//; s/ \(.*//' | sort -u)
  found=$(grep -Ex "$forbidden" <<<"$linked" || true)
  if [[ $found ]]; then
    status=1
    while read -r name; do
      printf '%s must not depend on %s; it comes in by:\n' "$package" "$name"
      cargo tree --locked -p "$package" -e normal --target all -i "${name%% *}" | head -20
    done <<<"$found"
  else
    printf '%s: %s packages linked, none forbidden\n' "$package" "$(grep -vc ' feature ' <<<"$linked")"
  fi
done
exit "$status"
