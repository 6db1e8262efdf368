# One bridge and one /24 per lab: NET_PREFIX.N.0/24 on kdlabN, the machine at .1, nodes from .11 on.

# The lab's network (`10.98.3`), taken on first use.
lab_net() { echo "$NET_PREFIX.$(cat "$RUN/net")"; }
lab_bridge() { echo "kdlab$(cat "$RUN/net")"; }
gateway() { echo "$(lab_net).1"; }

# The first third octet that no lab holds and no bridge uses. $CACHE/nets/N holds the lab's name.
take_net() {
  local n holder
  [ ! -s "$RUN/net" ] || return 0
  mkdir -p "$CACHE/nets" "$RUN"
  for n in $(seq 0 250); do
    holder=$(cat "$CACHE/nets/$n" 2>/dev/null || true)
    [ -z "$holder" ] || [ ! -d "$CACHE/run/$holder" ] || continue
    [ ! -e "/sys/class/net/kdlab$n" ] || continue
    echo "$LAB" >"$CACHE/nets/$n"
    echo "$n" >"$RUN/net"
    return 0
  done
  die "all 250 networks below $NET_PREFIX are taken: lab down --all"
}

bridge_up() {
  local b
  b=$(lab_bridge)
  # The default of 128 inotify instances is enough for about 16 nodes; the setting is the machine's, not a node's.
  [ "$(cat /proc/sys/fs/inotify/max_user_instances)" -ge 8192 ] || echo 8192 >/proc/sys/fs/inotify/max_user_instances
  if [ ! -e "/sys/class/net/$b" ]; then
    ip link add "$b" type bridge
    ip addr add "$(gateway)/24" dev "$b"
    ip link set "$b" up
  fi
}

bridge_down() {
  [ -s "$RUN/net" ] || return 0
  ip link del "$(lab_bridge)" 2>/dev/null || true
  rm -f "$CACHE/nets/$(cat "$RUN/net")"
}
