# Shared by the scripts beside it, by `source`: where things are, how to say and ask for things.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Whatever is slow to build or fetch lives here, so that a fresh checkout starts warm.
HOLDFAST_CACHE_DIR=${HOLDFAST_CACHE_DIR:-$HOME/.cache/holdfast}

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }

# die WHAT [WHAT TO DO]...: one line each, then the end.
die() {
  printf '\033[1;31merror:\033[0m %s\n' "$1" >&2
  shift
  if (($#)); then printf '       %s\n' "$@" >&2; fi
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Whether version $1 is at least $2, by the first two numbers ("1.99.1" and "1.96").
version_at_least() {
  local have_major have_minor want_major want_minor
  IFS=. read -r have_major have_minor _ <<<"$1"
  IFS=. read -r want_major want_minor _ <<<"$2"
  ((have_major > want_major || (have_major == want_major && have_minor >= want_minor)))
}

can_apt() { has apt-get && [[ $(id -u) == 0 ]]; }

# Whether apt knows the package and it is at least that version, if one is given.
apt_offers() {
  local candidate
  candidate=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p')
  [[ -n $candidate ]] && version_at_least "$candidate" "${2:-0.0}"
}

# The lists of a fresh machine are empty or old: refreshed once a run, and only when needed.
apt_refresh() {
  if [[ -z ${APT_REFRESHED:-} ]]; then
    say "Refreshing apt's package lists"
    apt-get update -q || die "apt-get update failed" "Check the network and /etc/apt, then run this again."
    export APT_REFRESHED=1
  fi
}

apt_install() {
  apt_refresh
  say "Installing by apt: $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null ||
    die "apt-get could not install: $*" "Install them by hand, then run this again."
}
