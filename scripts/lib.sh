# What scripts/test and scripts/quickstart share; sourced by bash, never run.

say() { printf '\n== %s\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Runs a command as root: itself, or by sudo where that asks for no password or there is a terminal to ask at.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo "$@"
  else
    return 1
  fi
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# install_packages NAME…: installs what is missing and leaves daemons stopped. Returns 1 where it can't install, and
# when this release lacks some of the names, after installing the others.
install_packages() {
  local name missing=() known=() policy=/usr/sbin/policy-rc.d status=0
  if ! command -v apt-get >/dev/null; then
    say "no apt-get here; needed: $*"
    return 1
  fi
  for name in "$@"; do
    installed "$name" || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing ${missing[*]}"
  if ! as_root true; then
    say "neither root nor sudo: install them yourself"
    return 1
  fi
  as_root apt-get update -qq || return 1
  for name in "${missing[@]}"; do
    if [ -n "$(apt-cache show --no-all-versions "$name" 2>/dev/null)" ]; then
      known+=("$name")
    else
      say "this release has no package $name"
      status=1
    fi
  done
  [ ${#known[@]} = 0 ] && return "$status"
  # Debian starts a package's daemon when it is installed; ours are started when needed, on ports of their own.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
  else
    policy=
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${known[@]}" >&2 || status=$?
  [ -z "$policy" ] || as_root rm -f "$policy"
  return "$status"
}

# Prints a Python of at least 3.11 that can make virtual environments; returns 1 without one.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

# The same, after installing one from the distribution's packages if need be.
need_python() {
  find_python && return 0
  install_packages python3 python3-venv >&2 || true
  find_python && return 0
  install_packages python3.11 python3.11-venv >&2 || true # Ubuntu 22.04: 3.10 by default, 3.11 in universe
  find_python && return 0
  die "needs Python 3.11 or newer with venv; this machine has $(python3 --version 2>/dev/null || echo none)." \
    "On Ubuntu 22.04: add-apt-repository universe && apt-get install python3.11-venv." \
    "Any other python3.11 or newer will do: PYTHON=/path/to/python3.12 $0"
}
