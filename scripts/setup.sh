#!/usr/bin/env bash
# Installs what Holdfast needs and lacks; says what it does; does nothing when all is there.
#
#   scripts/setup.sh               what `npm start` and `npm run build` need
#   scripts/setup.sh --for-tests   also the browsers, Redis, versitygw and schemathesis of `npm test`
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh" --toolchain-later
source "$ROOT/scripts/tools.sh"
cd "$ROOT"

NODE_VERSION=20.19

for argument in "$@"; do
  [[ $argument == --for-tests ]] || die "setup.sh does not know '$argument'" "It takes --for-tests or nothing."
done
for_tests=${1:-}

missing_packages=()
missing_words=()

# need APT_PACKAGE WORDS COMMAND...: notes the package unless one of the commands is there.
need() {
  local package=$1 words=$2 command
  shift 2
  for command in "$@"; do if has "$command"; then return; fi; done
  missing_packages+=("$package")
  missing_words+=("$words")
}

check_node() {
  has node && has npm || die "Node.js is missing" "Install Node.js $NODE_VERSION or newer, with npm."
  local version
  version=$(node --version)
  version_at_least "${version#v}" "$NODE_VERSION" ||
    die "Node.js ${version#v} is too old" "Install Node.js $NODE_VERSION or newer."
}

install_system_packages() {
  need build-essential "a C compiler (cc) with make" cc
  if [[ $for_tests ]]; then
    need chromium "Chromium" chromium chromium-browser google-chrome
    need firefox-esr "Firefox ESR" firefox-esr firefox
    need redis-server "Redis 7 or newer (redis-server)" redis-server
    if ! python_makes_venvs; then
      missing_packages+=(python3-venv)
      missing_words+=("Python 3 with its module venv")
    fi
  fi
  ((${#missing_packages[@]})) || return 0
  can_apt || die "missing: $(printf '%s; ' "${missing_words[@]}")" \
    "Only apt on Debian or Ubuntu, as root, is installed from by itself. Here, install these by hand:" \
    "${missing_packages[*]} (Debian's names), then run this again."
  apt_install "${missing_packages[@]}"
}

install_toolchain() {
  use_toolchain && return
  bash scripts/install-toolchain.sh
  use_toolchain || die "the installed Rust toolchain does not build for $WASM_TARGET" \
    "Try: rustup toolchain install $RUST_VERSION --profile minimal -c clippy -c rustfmt --target $WASM_TARGET"
}

npm_fingerprint() { cat package-lock.json package.json web/package.json web/bench/package.json .npmrc | cksum; node --version; }

install_npm_packages() {
  local stamp=node_modules/.holdfast-installed
  [[ -f $stamp && $(<"$stamp") == "$(npm_fingerprint)" ]] && return
  say "Installing npm packages"
  npm ci --no-audit --no-fund </dev/null ||
    die "npm ci failed" "If package.json was changed, run npm install once to bring package-lock.json up to date."
  npm_fingerprint >"$stamp"
}

check_node
install_system_packages
install_toolchain
install_npm_packages
if [[ $for_tests ]]; then bash scripts/install-test-tools.sh; fi
say "Ready: $(rustc --version), Node $(node --version), cargo target folder $CARGO_TARGET_DIR"
