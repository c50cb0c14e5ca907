#!/usr/bin/env bash
# `npm run bench -- browser [--quick]`: builds release binaries and measures Holdfast beside others.
# Prints a table; the numbers are in test-results/bench. --quick takes small sizes and one round.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

usage() { die "bench.sh does not know '$1'" "Try: npm run bench -- browser [--quick]"; }

[[ ${1:-} == browser ]] || usage "${1:-}"
shift
for argument in "$@"; do
  case $argument in
    --quick) export HOLDFAST_BENCH_QUICK=1 ;;
    *) usage "$argument" ;;
  esac
done

bash scripts/setup.sh --for-tests
source scripts/env.sh
bash scripts/build-page.sh
say "Building release binaries"
cargo build --locked --release -p presign-server -p embedded-s3 -p upload-testkit
export HOLDFAST_TEST_PROFILE=release
exec playwright test --config web/bench/playwright.config.ts --reporter=line browser
