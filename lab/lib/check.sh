# What this machine must have before a lab can stand on it.

# command:package
TOOLS="mmdebstrap:mmdebstrap systemd-nspawn:systemd-container ip:iproute2 ssh:openssh-client ssh-keygen:openssh-client
  flock:util-linux setsid:util-linux unshare:util-linux nsenter:util-linux mount:mount dpkg-deb:dpkg python3:python3 md5sum:coreutils curl:curl"

missing_packages() {
  local pair
  for pair in $TOOLS; do command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"; done | sort -u
}

# check_machine report|quiet: prints each obstacle to stderr; 1 if there is any. Missing packages count with `report` only:
# setup installs them.
check_machine() {
  local how=$1 bad=0 lacks dir
  lack() { bad=1; say "$*"; }
  [ "$(id -u)" = 0 ] || lack "must run as root: nodes are containers with their own network, mounts and cgroups"
  [ "$(uname -s)" = Linux ] || lack "must run on Linux"
  if ! grep -qsE '^ID(_LIKE)?=.*debian' /etc/os-release; then
    lack "must run on Debian (or a relative of it): the nodes' root is built from Debian packages with apt and mmdebstrap"
  fi
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || lack "the kernel has no overlayfs: each node's root is an overlay"
  dir=$CACHE
  while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
  case $(stat -f -c %T "$dir") in
  overlayfs | tmpfs | nfs) lack "$CACHE lies on $(stat -f -c %T "$dir"), which cannot carry overlays and containers' files: set KDEPLOY_LAB to a folder on a disk" ;;
  esac
  if [ "$(df -Pk "$dir" | awk 'NR == 2 { print $4 }')" -lt 3000000 ]; then
    lack "less than 3 GB free where $CACHE lies: set KDEPLOY_LAB to a roomier folder"
  fi
  if [ -z "$(hierarchies)" ]; then lack "no cgroup hierarchy is mounted below /sys/fs/cgroup"
  elif [ "$(id -u)" = 0 ] && ! can_cgroup; then lack "cgroups cannot be made below /sys/fs/cgroup (is it read-only?)"; fi
  lacks=$(missing_packages | paste -sd' ')
  if [ -n "$lacks" ] && [ "$how" = report ]; then
    lack "packages are missing: $lacks (\`lab setup\` installs them, or: apt-get install $lacks)"
  fi
  if [ "$(id -u)" = 0 ] && command -v ip >/dev/null && ! can_bridge; then
    lack "bridges and veth pairs cannot be made (missing kernel support or CAP_NET_ADMIN)"
  fi
  if [ $bad = 0 ] && [ "$how" = report ]; then say "this machine can run the lab"; fi
  return $bad
}

can_bridge() {
  local b=kdlabchk$((BASHPID % 10000)) rc=0
  ip link add "$b" type bridge 2>/dev/null || return 1
  ip link add "v$b" type veth peer name "w$b" 2>/dev/null || rc=1
  ip link del "v$b" 2>/dev/null || true
  ip link del "$b"
  return $rc
}

can_cgroup() {
  local h d
  for h in $(hierarchies); do
    d=$h/kdlab-check-$BASHPID
    mkdir "$d" 2>/dev/null || return 1
    rmdir "$d"
  done
}
