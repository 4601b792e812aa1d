# Sourced by the commands of this folder: sets $root and $node, and installs the programs that a bench compares with.
PATH=$PATH:/usr/sbin:/sbin
root=$(CDPATH='' cd -- "${0%/*}/.." && pwd -P)

node=$root/.node/bin/node
if [ ! -x "$node" ]; then
  node=$(command -v node || true)
  version=$([ -z "$node" ] || "$node" --version)
  major=${version#v}
  [ "${major%%.*}" -ge 24 ] 2>/dev/null || node=''
fi
if [ -z "$node" ] || [ ! -d "$root/node_modules" ]; then
  echo "bench: this checkout is not set up; run ./quickstart or ./test once in $root" >&2
  exit 1
fi

# need_programs PROGRAM=PACKAGE...: installs the packages of the programs that are missing.
need_programs() {
  missing=''
  for pair; do
    # `command -v time` answers for the shell's keyword, so look for the file.
    found=$(IFS=:; for dir in $PATH; do [ -x "$dir/${pair%%=*}" ] && echo yes && break; done) || true
    [ -n "$found" ] || missing="$missing ${pair#*=}"
  done
  [ -n "$missing" ] || return 0
  echo "bench: installing$missing" >&2
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of package names
  { apt-get update && apt-get install -y --no-install-recommends $missing; } >&2
}
