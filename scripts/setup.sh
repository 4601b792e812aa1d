#!/usr/bin/env bash
# Makes a checkout ready; sourced by ./quickstart and ./test, then called as `setup`. Afterwards $NODE is a Node that is
# new enough and the npm packages are installed. Safe to repeat: with everything in place it takes about 0.1 s.
#
# Starts from a Debian 12 with npm (of Node 18 or later) and nothing else; on other systems it says what is missing.

NODE_VERSION=24.21.0
# Integrity of the npm packages that carry the binary, as the registry publishes it for this version.
NODE_SHA512_x64='3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q=='
NODE_SHA512_arm64='FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g=='

# Run time: qemu-img and qemu-nbd; qemu-storage-daemon, which reads qcow2 images; nproc, sync, setpriv, flock;
# openssl, which makes the certificate authority of the server.
packages_run='qemu-utils qemu-system-common util-linux coreutils openssl'
# Guests for tests and the quickstart (fixtures/make-guest.sh data, disk-tiny) and QEMU to boot them.
packages_guest='qemu-system-x86 e2fsprogs fdisk grub-pc-bin grub-common cpio kmod gzip'
# Guests under libvirt for tests (packages/testing/guests): the daemon is started by the tests, systemd is not needed; the
# guest's writer is compiled, its agent runs on libraries of this machine, its journals are checked by python.
packages_libvirt='libvirt-daemon-system libvirt-clients swtpm swtpm-tools ovmf gcc libc6-dev libglib2.0-0 libnuma1 liburing2 libudev1 python3'
# A PostgreSQL of somebody else's for tests of DATABASE_URL; the default one comes from npm.
packages_database='postgresql-15'
# A real Debian as a guest of long tests (fixtures/make-debian-guest.sh).
packages_debian='mmdebstrap'
# The models of the protocols (packages/engine/collect/model) become C programs.
packages_model='spin gcc libc6-dev'

setup_say() { echo "setup: $*" >&2; }
setup_fail() {
  setup_say "$*"
  exit 1
}

# Registries and mirrors fail now and then; a third failure is taken as an answer.
setup_retry() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return 0
    [ "$attempt" = 3 ] || { setup_say "failed, trying again: $*"; sleep $((attempt * 3)); }
  done
  return 1
}

setup_apt() {
  local as_root=''
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || return 1
    as_root='sudo'
  fi
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >&2
}

setup_apt_update() {
  [ -z "${setup_apt_updated:-}" ] || return 0
  setup_retry setup_apt update || return 1
  setup_apt_updated=1
}

setup_debian() {
  local wanted=$1 missing='' name
  if ! command -v dpkg-query >/dev/null; then
    for name in qemu-img qemu-storage-daemon qemu-system-x86_64 mke2fs sfdisk grub-mkimage cpio depmod virsh libvirtd spin gcc; do
      command -v "$name" >/dev/null || missing="$missing $name"
    done
    [ -z "$missing" ] || setup_say "not a Debian system, and these programs are missing:$missing"
    return 0
  fi
  local installed
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $wanted 2>/dev/null) || true
  for name in $wanted; do
    grep -qx "$name installed" <<<"$installed" || missing="$missing $name"
  done
  [ -n "$missing" ] || return 0
  setup_say "installing Debian packages:$missing"
  setup_apt_update && setup_retry setup_apt install -y --no-install-recommends $missing ||
    setup_fail "could not install them; as root: apt-get install$missing"
}

# The fixture takes its kernel and busybox from the mirror, so the package lists must be there and not stale.
setup_guest_packages() {
  compgen -G "$root/.cache/guests/linux-image-*.deb" >/dev/null && return 0
  command -v apt-get >/dev/null || return 0
  setup_apt_update || setup_say 'apt-get update failed; building the guest may fail too'
}

setup_node_is_new() { # PATH
  local version
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  [ "${version%%.*}" -ge 24 ]
}

setup_fetch_node() {
  local arch sha512 sum work
  case $(uname -m) in
    x86_64) arch=x64 sha512=$NODE_SHA512_x64 ;;
    aarch64) arch=arm64 sha512=$NODE_SHA512_arm64 ;;
    *) setup_fail "no Node $NODE_VERSION for $(uname -m) is known here; install Node 24 yourself" ;;
  esac
  command -v npm >/dev/null || setup_fail 'npm is missing; install it (Debian: apt-get install npm) or Node 24 itself'
  setup_say "fetching Node $NODE_VERSION (node-linux-$arch, about 60 MB) from npm"
  mkdir -p "$root/.node/bin"
  rm -rf "$root"/.node/fetch.*
  work=$(mktemp -d "$root/.node/fetch.XXXXXX")
  setup_retry npm pack --silent --ignore-scripts --pack-destination "$work" "node-linux-$arch@$NODE_VERSION" >/dev/null ||
    setup_fail "npm could not fetch node-linux-$arch@$NODE_VERSION"
  sum=$(sha512sum "$work"/node-linux-*.tgz | cut -d' ' -f1)
  [ "$sum" = "$(base64 -d <<<"$sha512" | od -An -v -tx1 | tr -d ' \n')" ] ||
    setup_fail "node-linux-$arch@$NODE_VERSION has the wrong checksum; nothing was installed"
  tar -xzf "$work"/node-linux-*.tgz -C "$work" package/bin/node
  mv "$work/package/bin/node" "$root/.node/bin/node"
  rm -rf "$work"
}

setup_node() {
  NODE=$root/.node/bin/node
  [ "$("$NODE" --version 2>/dev/null)" != "v$NODE_VERSION" ] || return 0
  if NODE=$(command -v node) && setup_node_is_new "$NODE"; then return 0; fi
  setup_fetch_node
  NODE=$root/.node/bin/node
}

# node_modules/.holdfast-lock is the lockfile that node_modules was made from.
#
# `npm install --no-save`, not `npm ci`: versions and integrity come from the lockfile just the same, but `npm ci` refuses
# a lockfile that was made where the registry mirror does not hold the optional packages of other platforms.
setup_npm() {
  local stamp=$root/node_modules/.holdfast-lock
  cmp -s "$root/package-lock.json" "$stamp" && return 0
  command -v npm >/dev/null || setup_fail 'npm is missing; install it (Debian: apt-get install npm)'
  setup_say 'installing npm packages'
  (cd "$root" && PATH="$(dirname "$NODE"):$PATH" setup_retry npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
    setup_fail 'npm install failed'
  cp "$root/package-lock.json" "$stamp"
}

# setup: expects $root, the absolute path of the checkout; sets and exports $NODE.
setup() {
  setup_debian "$packages_run $packages_guest $packages_libvirt $packages_database $packages_debian $packages_model"
  setup_guest_packages
  setup_node
  setup_npm
  export NODE
}
