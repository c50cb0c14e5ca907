#!/usr/bin/env bash
# Builds release binaries and measures. Prints tables; the numbers are in test-results/bench.
#
#   npm run bench -- browser [--quick]                 uploads of a page beside raw PUTs and Uppy
#   npm run bench -- server [--quick] [--stores LIST]  the server's signer beside AWS's SDK for JavaScript,
#                                                      and its answers to 500 sessions at once
#
# --quick measures small sizes or short, once. LIST names session stores: memory,sqlite.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

usage() {
  die "bench.sh does not know '$1'" "Try: npm run bench -- browser [--quick]" \
    "or:  npm run bench -- server [--quick] [--stores memory,sqlite]"
}

what=${1:-}
[[ $what == browser || $what == server ]] || usage "$what"
shift
while (($#)); do
  case $what:$1 in
    *:--quick) export HOLDFAST_BENCH_QUICK=1 ;;
    server:--stores) export HOLDFAST_BENCH_STORES=${2:?--stores needs a list} && shift ;;
    *) usage "$1" ;;
  esac
  shift
done

bash scripts/setup.sh --for-tests
source scripts/env.sh
case $what in
  browser)
    bash scripts/build-page.sh
    say "Building release binaries"
    cargo build --locked --release -p presign-server -p embedded-s3 -p upload-testkit
    ;;
  server)
    say "Building release binaries"
    cargo build --locked --release -p upload-storage --example signing_rate
    cargo build --locked --release -p presign-server -p upload-testkit --features upload-testkit/session-load \
      --bin presign-server --bin s3-sink --bin session-load
    ;;
esac
export HOLDFAST_TEST_PROFILE=release
exec playwright test --config web/bench/playwright.config.ts --reporter=line "$what.bench"
