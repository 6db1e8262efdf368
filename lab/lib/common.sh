# Names and small helpers that every part of the lab uses. Sourced, never run.

CACHE=${KDEPLOY_LAB:-/var/tmp/kdeploy-lab}
LAB=${KDEPLOY_LAB_NAME:-main}
NET_PREFIX=${KDEPLOY_LAB_NET:-10.98}
RUN=$CACHE/run/$LAB            # this lab: nodes/, ssh_config, known_hosts, net
NODES=$RUN/nodes
IMAGES=$CACHE/images           # base-HASH and layer-NAME-HASH; shared by all labs, never changed once built
SUITE=bookworm

say() { printf 'lab: %s\n' "$*" >&2; }
die() { printf 'lab: %s\n' "$*" >&2; exit 1; }

case $LAB in '' | *[!A-Za-z0-9_-]*) die "KDEPLOY_LAB_NAME may hold letters, digits, - and _ only: '$LAB'" ;; esac

# locked LOCKFILE FUNCTION ARGS...: one at a time, also between processes. What FUNCTION starts in the background must close
# descriptor 9 (`9>&-`), or it would hold the lock for as long as it lives.
locked() {
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  # One lock is enough for nested calls.
  if [ "${LOCK_HELD:-}" = "$file" ]; then "$@"; return; fi
  local LOCK_HELD=$file
  { flock 9; "$@"; } 9>"$file"
}

need_lab() { [ -s "$RUN/net" ] || die "there is no lab '$LAB' (lab up NAME makes one)"; }
need_node() { [ -d "$NODES/$1" ] || die "there is no node '$1' in lab '$LAB'$(ls "$NODES" 2>/dev/null | sed '1s/^/; there are: /' | paste -sd' ')"; }
need_root() { [ "$(id -u)" = 0 ] || die "must run as root: nodes are containers with their own network, mounts and cgroups"; }
