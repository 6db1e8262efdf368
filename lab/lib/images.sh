# The nodes' disks: a base root built once by mmdebstrap, and layers on it, each the difference that a script in layers/ makes in a
# chroot. An image's name carries a digest of all that goes into it, so a changed script means a new image, old ones stay valid for
# whoever still runs on them, and several checkouts share one cache.

BASE_PACKAGES=systemd,systemd-sysv,dbus,openssh-server,sudo,iproute2,procps,kmod,iptables,ca-certificates,passwd

digest() { sha256sum | cut -c1-12; }
base_image() { echo "$IMAGES/base-$(echo "$SUITE $BASE_PACKAGES" | digest)"; }

layer_exists() { [ -f "$HERE/layers/$1.sh" ]; }
layer_names() { find "$HERE/layers" -name '*.sh' -printf '%f\n' | sed 's/\.sh$//' | sort; }
# `# parent: NAME` in the layer's script; none for the lowest.
layer_parent() { sed -n 's/^# parent: //p' "$HERE/layers/$1.sh"; }
layer_recipe() {
  local parent
  parent=$(layer_parent "$1")
  if [ -n "$parent" ]; then layer_recipe "$parent"; else base_image; fi
  cat "$HERE/layers/$1.sh"
}
layer_image() { echo "$IMAGES/layer-$1-$(layer_recipe "$1" | digest)"; }
# The overlay's lower directories, topmost first.
layer_stack() {
  local parent
  parent=$(layer_parent "$1")
  layer_image "$1" | tr '\n' ':'
  if [ -n "$parent" ]; then layer_stack "$parent"; else base_image; fi
}

apt_sources() {
  if [ -f /etc/apt/sources.list.d/debian.sources ]; then echo /etc/apt/sources.list.d/debian.sources
  else echo "deb http://deb.debian.org/debian $SUITE main"; fi
}

setup() {
  local layer packages
  [ $# -gt 0 ] || set -- node twin
  for layer; do layer_exists "$layer" || die "there is no layer '$layer'; there are: $(layer_names | paste -sd' ')"; done
  check_machine quiet || die "the lab cannot run on this machine"
  packages=$(missing_packages)
  if [ -n "$packages" ]; then
    # shellcheck disable=SC2086 # a list
    install_packages $packages
  fi
  locked "$CACHE/setup.lock" build_images "$@"
}

install_packages() {
  say "installing $*"
  local log
  log=$(mktemp)
  if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "$@"; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    rm -f "$log"
    die "apt-get could not install: $*"
  fi
  rm -f "$log"
}

build_images() {
  local layer
  mkdir -p "$IMAGES"
  rm -rf "$IMAGES"/*.new "$IMAGES"/*.work "$IMAGES"/*.mnt # of killed builds; nothing is mounted there any more, see build_layer
  [ -d "$(base_image)" ] || build_base
  for layer; do build_layer "$layer"; done
}

build_base() {
  local image
  image=$(base_image)
  say "building the base root (once, about half a minute)"
  mmdebstrap --quiet --variant=minbase --include=$BASE_PACKAGES --aptopt='Acquire::Check-Valid-Until "false"' \
    $SUITE "$image.new" "$(apt_sources)" >"$image.log" 2>&1 9>&- || { tail -20 "$image.log" >&2; die "mmdebstrap failed (all of it: $image.log)"; }
  : >"$image.new/etc/machine-id"
  rm -f "$image.new"/var/cache/apt/archives/*.deb
  mv "$image.new" "$image"
  rm -f "$image.log"
}

build_layer() {
  local layer=$1 parent image lower
  parent=$(layer_parent "$layer")
  [ -z "$parent" ] || build_layer "$parent"
  image=$(layer_image "$layer")
  [ ! -d "$image" ] || return 0
  if [ -n "$parent" ]; then lower=$(layer_stack "$parent"); else lower=$(base_image); fi
  say "building layer $layer"
  mkdir -p "$image.new" "$image.work" "$image.mnt"
  # In a mount namespace of its own: whatever kills the build, the kernel unmounts.
  if ! unshare --mount --propagation private bash "$HERE/lib/build-layer" "$image" "$lower" "$HERE/layers/$layer.sh" >"$image.log" 2>&1 9>&-; then
    tail -20 "$image.log" >&2
    die "layer $layer could not be built (all of it: $image.log)"
  fi
  rm -rf "$image.work" "$image.mnt" "$image.new"/{dev,proc,run,tmp} "$image.new"/var/cache/apt/archives/*.deb "$image.new"/var/lib/apt/lists/*
  rm -f "$image.new/usr/sbin/policy-rc.d" "$image.log"
  mv "$image.new" "$image"
}
