# Finds the Rust toolchain that builds Holdfast, by `source` after lib.sh.
#
# Wanted: at least the `rust-version` of Cargo.toml, with the standard library of
# wasm32-unknown-unknown. The answer is the environment: RUSTUP_TOOLCHAIN, and the wasm linker
# where the toolchain brings none.

RUST_VERSION=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
WASM_TARGET=wasm32-unknown-unknown
# The name under which the system's own Rust is linked into rustup.
LINKED_TOOLCHAIN=debian

rustc_version() { RUSTUP_TOOLCHAIN=$1 rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\) .*/\1/p'; }

# Nightlies and betas print "1.97.0-nightly" and give no version above: never picked by itself.
rust_is_new_enough() {
  local version
  version=$(rustc_version "$1")
  [[ -n $version ]] && version_at_least "$version" "$RUST_VERSION"
}

# Compiles nothing for wasm: that fails when the library is missing, and when it was built by
# another compiler than this one (the system's Rust was updated since).
wasm_std_works() {
  local folder status=0
  folder=$(mktemp -d)
  # Never to /dev/null: rustc renames its output into place, which as root replaces the device.
  RUSTUP_TOOLCHAIN=$1 rustc --target "$WASM_TARGET" --crate-type lib --crate-name probe \
    --emit metadata --out-dir "$folder" - </dev/null >/dev/null 2>&1 || status=$?
  rm -rf "$folder"
  return "$status"
}

# The toolchain asked for first, then the exact version (its lints are the ones the code is held
# to), the linked one, the active one and whatever else is installed.
toolchain_candidates() {
  printf '%s\n' "${RUSTUP_TOOLCHAIN:-}"
  if has rustup; then
    local installed
    installed=$(rustup toolchain list 2>/dev/null)
    { grep "^${RUST_VERSION//./\\.}[.-]" <<<"$installed"; grep "^$LINKED_TOOLCHAIN\b" <<<"$installed"; \
      grep '(.*active' <<<"$installed"; printf '%s\n' "$installed"; } | sed 's/ .*//'
  fi
}

# Prints the first candidate that passes every test given by name.
find_toolchain() {
  local candidate test
  while read -r candidate; do
    for test in "$@"; do "$test" "$candidate" || continue 2; done
    printf '%s\n' "$candidate"
    return 0
  done < <(toolchain_candidates | awk '!seen[$0]++')
  return 1
}

# The newest wasm-ld of LLVM 19 or later; rustup's toolchains bring a linker of their own.
system_wasm_linker() {
  compgen -c wasm-ld- | sed -n 's/^wasm-ld-\([0-9]\{1,\}\)$/\1/p' | sort -rnu |
    awk '$1 >= 19 { print "wasm-ld-" $1; exit }'
}

brings_wasm_linker() {
  compgen -G "$(RUSTUP_TOOLCHAIN=$1 rustc --print sysroot)/lib/rustlib/*/bin/rust-lld" >/dev/null
}

# Sets the environment for `cargo`; fails when there is no fitting toolchain yet.
use_toolchain() {
  local toolchain linker
  toolchain=$(find_toolchain rust_is_new_enough wasm_std_works) || return 1
  if [[ -n $toolchain ]]; then export RUSTUP_TOOLCHAIN=$toolchain; else unset RUSTUP_TOOLCHAIN; fi
  if ! brings_wasm_linker "$toolchain"; then
    linker=$(system_wasm_linker)
    [[ -n $linker ]] || return 1
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker
  fi
}
