# What building kdeploy takes, for ./demo and ./test. Sourced.

RUST_NEEDED=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../../Cargo.toml")

# need_packages PACKAGE...: installs those that are missing; needs root for that only.
need_packages() {
  local missing=() p
  for p; do dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || { echo "not Debian, and these are missing: ${missing[*]}" >&2; return 1; }
  [ "$(id -u)" = 0 ] || { echo "not root, and these packages are missing: ${missing[*]}" >&2; return 1; }
  echo "installing ${missing[*]}" >&2
  local log
  log=$(mktemp)
  if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "${missing[@]}"; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
  fi
  rm -f "$log"
}

cargo_is_enough() {
  local have
  have=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p')
  command -v cargo >/dev/null && [ -n "$have" ] && [ "$(printf '%s\n' "$RUST_NEEDED" "$have" | sort -V | head -1)" = "$RUST_NEEDED" ]
}

# Rust of at least the version that Cargo.toml asks for: the one that is there, else rustup's, from Debian or from its own site.
need_rust() {
  [ ! -d "$HOME/.cargo/bin" ] || PATH=$HOME/.cargo/bin:$PATH
  ! cargo_is_enough || return 0
  echo "there is no cargo for Rust $RUST_NEEDED: trying rustup" >&2
  if ! command -v rustup >/dev/null; then
    need_packages rustup 2>/dev/null || {
      need_packages curl ca-certificates || true
      curl -fsS --proto '=https' --max-time 60 https://sh.rustup.rs -o /tmp/rustup-init.sh 2>/dev/null &&
        sh /tmp/rustup-init.sh -y --profile minimal --component rustfmt,clippy --no-modify-path >&2 || true
      rm -f /tmp/rustup-init.sh
    }
    PATH=$HOME/.cargo/bin:$PATH
  fi
  if command -v rustup >/dev/null && ! cargo_is_enough; then rustup toolchain install stable --profile minimal --component rustfmt,clippy >&2 || true; fi
  cargo_is_enough || {
    echo "Rust $RUST_NEEDED or newer cannot be had here: neither Debian's rustup package nor https://sh.rustup.rs answered. Install it (https://rustup.rs) and call again." >&2
    return 1
  }
}

# A C compiler for libssh2, OpenSSL to link it with.
need_build() { need_packages gcc libc6-dev make pkg-config libssl-dev zlib1g-dev ca-certificates && need_rust; }
