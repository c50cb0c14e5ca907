#!/usr/bin/env bash
# Installs a Rust toolchain that builds Holdfast: rustup's where its servers answer, otherwise
# Debian's packages with a wasm standard library built from Debian's own source.
# Called by setup.sh when none is there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh" --toolchain-later

RUSTUP_PROBE_SECONDS=20
RUSTUP_INSTALL_SECONDS=900

# `timeout` is missing on some systems; there the command runs unbounded.
within() {
  local seconds=$1
  shift
  if has timeout; then timeout "$seconds" "$@"; else "$@"; fi
}

rustup_answers() {
  local status=0
  within "$RUSTUP_PROBE_SECONDS" rustup check >/dev/null 2>&1 || status=$?
  # rustup 1.28 and newer exits with 100 when an update is available.
  ((status == 0 || status == 100))
}

# The exact version, beside the person's other toolchains: nothing of theirs is updated.
install_by_rustup() {
  has rustup || return 1
  say "Asking rustup for Rust $RUST_VERSION with $WASM_TARGET"
  if ! rustup_answers; then
    say "rustup's servers do not answer"
    return 1
  fi
  within "$RUSTUP_INSTALL_SECONDS" rustup toolchain install "$RUST_VERSION" --profile minimal \
    --component clippy --component rustfmt --target "$WASM_TARGET" --no-self-update </dev/null ||
    { say "rustup could not install it"; return 1; }
}

# Debian's backport for browsers is the newest Rust of a stable release; later releases have it as rustc.
rust_packages() {
  if apt_offers rustc-web "$RUST_VERSION"; then
    echo rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web
  elif apt_offers rustc "$RUST_VERSION"; then
    echo rustc cargo rust-src rust-clippy rustfmt
  else
    return 1
  fi
}

lld_package() {
  apt-cache --names-only search '^lld-[0-9]+$' | sed -n 's/^lld-\([0-9]*\) .*/\1/p' | sort -rn |
    awk '$1 >= 19 { print "lld-" $1; exit }'
}

install_by_apt() {
  can_apt || return 1
  local packages linker
  apt_refresh
  packages=$(rust_packages) || { say "apt offers no Rust $RUST_VERSION or newer"; return 1; }
  linker=$(lld_package)
  [[ -n $linker ]] || { say "apt offers no lld-19 or newer"; return 1; }
  # shellcheck disable=SC2086 # a list of words
  apt_install $packages "$linker"
  if has rustup; then rustup toolchain link "$LINKED_TOOLCHAIN" /usr; fi
  bash "$ROOT/scripts/build-wasm-std.sh" /usr
}

# What is there may lack only the target: added, nothing else is touched.
add_target() {
  local toolchain
  has rustup && toolchain=$(find_toolchain rust_is_new_enough) && [[ -n $toolchain && $toolchain != "$LINKED_TOOLCHAIN" ]] || return 1
  rustup_answers || return 1
  say "Adding $WASM_TARGET to toolchain $toolchain"
  within "$RUSTUP_INSTALL_SECONDS" rustup target add "$WASM_TARGET" --toolchain "$toolchain" </dev/null
}

add_target || install_by_rustup || install_by_apt ||
  die "no Rust $RUST_VERSION or newer with the $WASM_TARGET target" \
    "Install rustup (https://rustup.rs), then run:" \
    "rustup toolchain install $RUST_VERSION --profile minimal -c clippy -c rustfmt --target $WASM_TARGET"
