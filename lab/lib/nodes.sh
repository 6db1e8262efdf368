# Nodes: made, started, killed, removed. A node is a folder below $NODES:
#   addr layer       its address; its layer
#   up work root     the overlay's writable side, its scratch, where it is mounted
#   var-*            bound over /var/lib/NAME: an overlay cannot lie on an overlay, these are the machine's own file system
#   nspawn.pid console.log exits

BOUND="containerd kubelet docker"

node_addr() { cat "$NODES/$1/addr"; }
# Machine names are the machine's: two labs may both have a worker99.
machine_name() { echo "kd$(cat "$RUN/net")-$1"; }
node_up() {
  local pid
  pid=$(cat "$NODES/$1/nspawn.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd-nspawn ] && cg_procs "$LAB/$1" | grep -qx "$pid"
}
valid_name() { case $1 in '' | -* | *[!a-z0-9-]*) die "a node's name is made of a-z, 0-9 and -: '$1'" ;; esac; }

up() {
  local spec name layer layers=""
  [ $# -gt 0 ] || die "which nodes? lab up NAME[=LAYER]..."
  need_root
  for spec; do
    valid_name "${spec%%=*}"
    layer=node
    [ "$spec" = "${spec#*=}" ] || layer=${spec#*=}
    layer_exists "$layer" || die "there is no layer '$layer'; there are: $(layer_names | paste -sd' ')"
    layers="$layers $layer"
  done
  # shellcheck disable=SC2086 # a list
  setup $layers
  locked "$CACHE/lab.lock" take_net
  watch_owner
  locked "$RUN/lock" up_locked "$@"
  # shellcheck disable=SC2046 # a list
  wait_ready $(for spec; do echo "${spec%%=*}"; done)
}

up_locked() {
  local spec name layer
  bridge_up
  [ -f "$RUN/id" ] || ssh-keygen -q -t ed25519 -N '' -C "lab $LAB" -f "$RUN/id"
  for spec; do
    name=${spec%%=*} layer=node
    [ "$spec" = "$name" ] || layer=${spec#*=}
    if [ -d "$NODES/$name/up" ] && [ "$spec" != "$name" ] && [ "$(cat "$NODES/$name/layer")" != "$layer" ]; then
      die "node $name has layer $(cat "$NODES/$name/layer"), not $layer: lab down $name first"
    fi
    make_node "$name" "$layer"
  done
  write_ssh_config
  for spec; do start_node "${spec%%=*}"; done
}

# The node's own files: name, address, host key, the lab's key.
make_node() {
  local name=$1 layer=$2 d=$NODES/$1 last b
  [ ! -f "$d/made" ] || return 0
  rm -rf "$d/up" "$d/work"
  mkdir -p "$d"/{work,root} "$d"/up/etc/systemd/network "$d"/up/etc/ssh/lab
  for b in $BOUND; do mkdir -p "$d/var-$b"; done
  echo "$layer" >"$d/layer"
  layer_stack "$layer" >"$d/lower"
  if [ ! -f "$d/addr" ]; then
    last=11
    while grep -qsx "$(lab_net).$last" "$NODES"/*/addr; do last=$((last + 1)); done
    echo "$(lab_net).$last" >"$d/addr"
  fi
  [ -f "$d/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$d/host_key"
  install -m 600 "$d/host_key" "$d/up/etc/ssh/ssh_host_ed25519_key"
  install -m 644 "$d/host_key.pub" "$d/up/etc/ssh/ssh_host_ed25519_key.pub"
  install -m 644 "$RUN/id.pub" "$d/up/etc/ssh/lab/authorized_keys"
  echo "$name" >"$d/up/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >"$d/up/etc/hosts"
  echo '# a lab node resolves no names' >"$d/up/etc/resolv.conf"
  echo "$(machine_name "$name") $(cat "$d/host_key.pub")" | md5sum | cut -c1-32 >"$d/up/etc/machine-id"
  cat >"$d/up/etc/systemd/network/80-container-host0.network" <<C
[Match]
Name=host0
[Network]
Address=$(node_addr "$name")/24
Gateway=$(gateway)
LinkLocalAddressing=no
IPv6AcceptRA=no
C
  touch "$d/made"
}

start_node() {
  local name=$1 d=$NODES/$1 b binds=()
  ! node_up "$name" || return 0
  stop_node "$name" # what a dead one left
  for b in $BOUND; do binds+=("--bind=$d/var-$b:/var/lib/$b"); done
  mount -t overlay overlay -o "lowerdir=$(cat "$d/lower"),upperdir=$d/up,workdir=$d/work" "$d/root"
  (
    cg_join "$name"
    export SYSTEMD_NSPAWN_TMPFS_TMP=0
    exec setsid bash "$HERE/lib/supervise" "$d" "$LAB/$name" systemd-nspawn --quiet --directory="$d/root" \
      --machine="$(machine_name "$name")" --hostname="$name" --boot --register=no --keep-unit --network-bridge="$(lab_bridge)" \
      --capability=all --drop-capability=CAP_SYS_TIME --system-call-filter=@known --resolv-conf=off --timezone=off --link-journal=no --console=read-only "${binds[@]}"
  ) >"$d/console.log" 2>&1 </dev/null 9>&- &
  disown
}

# Power cut, and nothing of it left but its disk.
stop_node() {
  local name=$1 d=$NODES/$1
  cg_kill "$LAB/$name" || true
  rm -f "$d/nspawn.pid"
  for _ in $(seq 20); do
    mountpoint -q "$d/root" || break
    umount "$d/root" 2>/dev/null || sleep 0.05
  done
  ! mountpoint -q "$d/root" || umount -l "$d/root"
  cg_remove "$LAB/$name"
}

# each_node FUNCTION NAME...: for all names, at the same time.
each_node() {
  local what=$1 name
  shift
  need_root
  [ $# -gt 0 ] || die "which nodes?"
  for name; do need_node "$name"; done
  locked "$RUN/lock" for_all "$what" "$@"
}

for_all() {
  local what=$1 name pids=() rc=0
  shift
  for name; do
    "$what" "$name" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || rc=1; done
  return $rc
}

power_off() { stop_node "$1"; }
power_on() { start_node "$1"; }
reset_node() {
  local d=$NODES/$1
  stop_node "$1"
  rm -rf "$d"/{up,work,made} "$d"/var-*
  make_node "$1" "$(cat "$d/layer")"
  start_node "$1"
}
unplug_node() { ip link set "vb-$(machine_name "$1")" down; }
plug_node() { ip link set "vb-$(machine_name "$1")" up; }

# Runs a command in the node's namespaces: works when its sshd does not.
node_exec() {
  local name=$1 leader
  shift
  node_up "$name" || die "node $name is down"
  leader=$(cat "/proc/$(cat "$NODES/$name/nspawn.pid")/task"/*/children | tr ' ' '\n' | sed -n '/./{p;q}')
  [ -n "$leader" ] || die "node $name has no process 1"
  exec nsenter -t "$leader" -m -u -i -n -p -C env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" "$@"
}

wait_ready() {
  local name end=$((SECONDS + ${LAB_TIMEOUT:-120})) rc=0
  for name; do
    until banner "$(node_addr "$name")"; do
      if [ $SECONDS -ge $end ]; then
        say "node $name does not answer; its console: $NODES/$name/console.log"
        tail -5 "$NODES/$name/console.log" >&2
        rc=1
        break
      fi
      sleep 0.05
    done
  done
  return $rc
}
# shellcheck disable=SC2016 # expanded by the inner shell
banner() { timeout 0.5 bash -c 'exec 3<>/dev/tcp/$0/22 && read -r -u 3 line && [[ $line == SSH-2.0* ]]' "$1" 2>/dev/null; }

list_nodes() {
  local d name state
  for d in "$NODES"/*/; do
    [ -d "$d" ] || continue
    name=$(basename "$d")
    if node_up "$name"; then state=up; else state=down; fi
    echo "$name $(cat "$d/addr") $(cat "$d/layer") $state"
  done
}

write_ssh_config() {
  local d name
  for d in "$NODES"/*/; do
    name=$(basename "$d")
    echo "$(cat "$d/addr"),$name $(cut -d' ' -f1,2 "$d/host_key.pub")"
  done >"$RUN/known_hosts"
  for d in "$NODES"/*/; do
    name=$(basename "$d")
    cat <<C
Host $name $(cat "$d/addr")
  HostName $(cat "$d/addr")
  HostKeyAlias $name
  User root
  IdentityFile $RUN/id
  IdentitiesOnly yes
  UserKnownHostsFile $RUN/known_hosts
  StrictHostKeyChecking yes
  KexAlgorithms curve25519-sha256
C
  done >"$RUN/ssh_config"
}

inventory() {
  local d name
  echo "# Written by \`lab inventory\`: the nodes of lab '$LAB'."
  echo "[$1]"
  for d in "$NODES"/*/; do
    name=$(basename "$d")
    echo "$name ansible_host=$(cat "$d/addr")"
  done
  printf '\n[%s:vars]\nansible_user=root\nansible_ssh_private_key_file=%s/id\n' "$1" "$RUN"
}

# Marked lines in the operator's known_hosts, for programs that are to find the keys where they always look.
trust_mark() { echo "# lab $LAB in $CACHE"; }
trust() {
  local file=${HOME:?}/.ssh/known_hosts
  distrust
  mkdir -p "$HOME/.ssh"
  chmod 700 "$HOME/.ssh"
  sed "s|\$| $(trust_mark)|" "$RUN/known_hosts" >>"$file"
  echo "$file" >"$RUN/trusted"
}
distrust() {
  local file
  [ -s "$RUN/trusted" ] || return 0
  file=$(cat "$RUN/trusted")
  if [ -f "$file" ]; then
    grep -vF "$(trust_mark)" "$file" >"$file.lab" || true
    cat "$file.lab" >"$file" # in place: owner and mode stay
    rm -f "$file.lab"
    [ -s "$file" ] || rm -f "$file"
  fi
  rm -f "$RUN/trusted"
}

# Takes the lab down when its owner is gone.
watch_owner() {
  [ -n "${KDEPLOY_LAB_OWNER:-}" ] || return 0
  [ "$(cat "$RUN/owner" 2>/dev/null)" != "$KDEPLOY_LAB_OWNER" ] || return 0
  echo "$KDEPLOY_LAB_OWNER" >"$RUN/owner"
  setsid bash "$HERE/lib/watch-owner" "$HERE/lab" "$KDEPLOY_LAB_OWNER" >/dev/null 2>&1 </dev/null 9>&- &
  disown
}

down() {
  local name lab
  need_root
  if [ "${1:-}" = --all ]; then
    for lab in "$CACHE"/run/*/; do
      [ ! -d "$lab" ] || KDEPLOY_LAB_NAME=$(basename "$lab") "$HERE/lab" down
    done
    return
  fi
  [ -d "$RUN" ] || return 0
  if [ $# -gt 0 ]; then
    for name; do need_node "$name"; done
    locked "$RUN/lock" for_all remove_node "$@"
    write_ssh_config
    return
  fi
  locked "$RUN/lock" down_locked
  locked "$CACHE/lab.lock" bridge_down
  rm -rf --one-file-system "$RUN"
}

down_locked() {
  local names
  rm -f "$RUN/owner"
  [ ! -s "$RUN/mirror.pid" ] || "$HERE/mirror" stop
  distrust
  names=$(ls "$NODES" 2>/dev/null || true)
  # shellcheck disable=SC2086 # a list
  [ -z "$names" ] || for_all remove_node $names
  cg_kill "$LAB" || true
  cg_remove "$LAB"
}

remove_node() {
  stop_node "$1"
  ! mountpoint -q "$NODES/$1/root" || die "still mounted: $NODES/$1/root"
  rm -rf --one-file-system "${NODES:?}/$1"
}
