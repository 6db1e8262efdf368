# The nodes' disks: a base root built once by mmdebstrap, and layers on it, each the difference that a script in layers/ makes in a
# chroot. An image's name carries a digest of all that goes into it, so a changed script means a new image, old ones stay valid for
# whoever still runs on them, and several checkouts share one cache.

BASE_PACKAGES=systemd,systemd-sysv,dbus,openssh-server,sudo,iproute2,procps,kmod,iptables,ca-certificates,passwd

digest() { sha256sum | cut -c1-12; }
base_image() { echo "$IMAGES/base-$(echo "${1:-$SUITE} $BASE_PACKAGES" | digest)"; }

layer_exists() { [ -f "$HERE/layers/$1.sh" ]; }
layer_names() { find "$HERE/layers" -name '*.sh' -printf '%f\n' | sed 's/\.sh$//' | sort; }
# Lines of a layer's script that are for the lab: `# parent: NAME` (none for the lowest), `# like: NAME` (that layer's script goes before
# its own, on another base), `# base: SUITE` (of the lowest, if it is not Debian's).
layer_word() { sed -n "s/^# $2: //p" "$HERE/layers/$1.sh"; }
layer_parent() { layer_word "$1" parent; }
layer_base() { base_image "$(layer_word "$1" base)"; }
layer_script() {
  local like
  like=$(layer_word "$1" like)
  [ -z "$like" ] || layer_script "$like"
  cat "$HERE/layers/$1.sh"
}
layer_recipe() {
  local parent
  parent=$(layer_parent "$1")
  if [ -n "$parent" ]; then layer_recipe "$parent"; else layer_base "$1"; fi
  layer_script "$1"
}
layer_image() { echo "$IMAGES/layer-$1-$(layer_recipe "$1" | digest)"; }
# The overlay's lower directories, topmost first.
layer_stack() {
  local parent
  parent=$(layer_parent "$1")
  layer_image "$1" | tr '\n' ':'
  if [ -n "$parent" ]; then layer_stack "$parent"; else layer_base "$1"; fi
}

# Where a suite's packages are, in sources.list's form or as its file.
apt_sources() {
  case $1 in
  noble)
    local from=http://archive.ubuntu.com/ubuntu main="main universe"
    printf "deb [signed-by=$(ubuntu_keys)] $from %s $main\n" $1 $1-updates $1-security
    ;;
  *)
    if [ -f /etc/apt/sources.list.d/debian.sources ]; then cat /etc/apt/sources.list.d/debian.sources
    else echo "deb http://deb.debian.org/debian $1 main"; fi
    ;;
  esac
}

# Ubuntu's keys are no package of Debian's: taken from Ubuntu's own, known by its checksum.
ubuntu_keys() {
  local keys=$CACHE/ubuntu-archive-keyring.gpg package
  if [ ! -f "$keys" ]; then
    package=$(mktemp -d)
    curl -fsSL --retry 3 -o "$package/deb" http://archive.ubuntu.com/ubuntu/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb &&
      echo "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8  $package/deb" | sha256sum -c --quiet - >&2 &&
      dpkg-deb -x "$package/deb" "$package/x" && cp "$package/x/usr/share/keyrings/ubuntu-archive-keyring.gpg" "$keys.new" && mv "$keys.new" "$keys"
    rm -rf "$package"
  fi
  [ -f "$keys" ] || die "Ubuntu's archive keys could not be had"
  echo "$keys"
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
  for layer; do build_layer "$layer"; done
}

# build_base SUITE
build_base() {
  local image
  image=$(base_image "$1")
  [ ! -d "$image" ] || return 0
  say "building the base root of $1 (once, about half a minute)"
  apt_sources "$1" >"$image.sources"
  # Ubuntu's smallest root has no apt.
  mmdebstrap --quiet --variant=minbase --include="apt,$BASE_PACKAGES" --aptopt='Acquire::Check-Valid-Until "false"' \
    "$1" "$image.new" - <"$image.sources" >"$image.log" 2>&1 9>&- || { tail -20 "$image.log" >&2; die "mmdebstrap failed (all of it: $image.log)"; }
  : >"$image.new/etc/machine-id"
  sed -i 's/\[signed-by=[^]]*\] //' "$image.new/etc/apt/sources.list" 2>/dev/null || true # its own keys are in the root
  rm -f "$image.new"/var/cache/apt/archives/*.deb
  mv "$image.new" "$image"
  rm -f "$image.log" "$image.sources"
}

build_layer() {
  local layer=$1 parent image lower lower_suite
  parent=$(layer_parent "$layer")
  [ -z "$parent" ] || build_layer "$parent"
  image=$(layer_image "$layer")
  [ ! -d "$image" ] || return 0
  if [ -n "$parent" ]; then lower=$(layer_stack "$parent")
  else
    lower=$(layer_base "$layer")
    lower_suite=$(layer_word "$layer" base)
    build_base "${lower_suite:-$SUITE}"
  fi
  say "building layer $layer"
  mkdir -p "$image.new" "$image.work" "$image.mnt"
  # In a mount namespace of its own: whatever kills the build, the kernel unmounts.
  if ! unshare --mount --propagation private bash "$HERE/lib/build-layer" "$image" "$lower" <(layer_script "$layer") >"$image.log" 2>&1 9>&-; then
    tail -20 "$image.log" >&2
    die "layer $layer could not be built (all of it: $image.log)"
  fi
  rm -rf "$image.work" "$image.mnt" "$image.new"/{dev,proc,run,tmp} "$image.new"/var/cache/apt/archives/*.deb "$image.new"/var/lib/apt/lists/*
  rm -f "$image.new/usr/sbin/policy-rc.d" "$image.log"
  mv "$image.new" "$image"
}
