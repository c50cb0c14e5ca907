#!/usr/bin/env bash
# `npm test [-- --only STEP[,STEP...]]`: installs what is missing and runs everything there is to
# check. The steps stand in scripts/runner/steps.mjs; the last line printed is `N passed, N failed`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

bash scripts/setup.sh --for-tests
source scripts/env.sh
exec node scripts/runner/run.mjs "$@"
