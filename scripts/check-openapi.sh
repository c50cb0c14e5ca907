#!/usr/bin/env bash
# Holds the built server to its own OpenAPI document: schemathesis makes up calls from it, sends them
# to a server of its own with the embedded store, and reads the answers by it. The seed is fixed.
#
#   scripts/check-openapi.sh [SCHEMATHESIS OPTION...]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$ROOT"

SEED=20261124
EXAMPLES_MAX=${HOLDFAST_OPENAPI_EXAMPLES:-60}
START_SECONDS_MAX=30

schemathesis=$HOLDFAST_CACHE_DIR/schemathesis/bin/schemathesis
[[ -x $schemathesis ]] || schemathesis=$(command -v schemathesis) ||
  die "schemathesis is not installed" "Run: bash scripts/setup.sh --for-tests"
server=$CARGO_TARGET_DIR/debug/presign-server
[[ -x $server ]] || die "$server is not built" "Run: cargo build -p presign-server"

work=$(mktemp -d)
server_pid=
stop() {
  if [[ $server_pid ]]; then kill "$server_pid" 2>/dev/null && wait "$server_pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap stop EXIT

# Ports of the system's choice; no settings of whoever runs this.
(cd "$work" && exec env -i PATH="$PATH" RUST_LOG=info "$server" \
  --listen 127.0.0.1:0 --embedded-s3-listen 127.0.0.1:0 --session-store memory --data-dir data) \
  >"$work/out" 2>"$work/log" &
server_pid=$!
for ((waited = 0; waited < START_SECONDS_MAX * 10; waited++)); do
  url=$(sed -n 's/^Holdfast is at //p' "$work/out")
  [[ -z $url ]] || break
  kill -0 "$server_pid" 2>/dev/null || break
  sleep 0.1
done
[[ $url ]] || die "the server did not start" "$(tail -n 5 "$work/log")"

# It leaves a cache where it runs.
cd "$work"
status=0
"$schemathesis" --config-file "$ROOT/scripts/schemathesis.toml" run "$url/openapi.json" \
  --seed "$SEED" --generation-database none --max-examples "$EXAMPLES_MAX" \
  --request-timeout 30 --suppress-health-check all --warnings off --no-color "$@" || status=$?

# What the checks can't see: a failure in the log that some answer papered over.
if grep -E 'ERROR|panicked' "$work/log" >"$work/errors"; then
  say "The server's log has errors:"
  head -n 20 "$work/errors"
  status=1
fi
exit "$status"
