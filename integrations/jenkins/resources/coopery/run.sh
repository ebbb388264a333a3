#!/bin/sh
# Finds Coopery, or installs it once for this agent, and becomes it: so that an aborted job's signal reaches it.
# All that varies comes in variables: COOPERY_COMMAND, COOPERY_DRY_RUN, and COOPERY_INSTALL, which is what pip is to
# install (empty: nothing). No name is installed unasked: whoever owns it would own the build.
set -eu

fail() {
  printf 'Coopery: %s\n' "$1" >&2
  exit 10
}

case ${COOPERY_COMMAND:-} in
build | merge) ;;
*) fail 'the step says neither build nor merge' ;;
esac
set -- ci "$COOPERY_COMMAND"
[ -z "${COOPERY_DRY_RUN:-}" ] || set -- "$@" --dry-run

wanted=${COOPERY_INSTALL:-}
case $wanted in
'')
  if command -v coopery >/dev/null 2>&1; then exec coopery "$@"; fi
  fail "there is no coopery on PATH: use an image or agent that has it, or give the step install: 'WHAT PIP INSTALLS'"
  ;;
-*) fail "install: can't begin with -" ;;
esac

python=
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail 'this agent has neither coopery nor Python 3.11: use the image of Coopery, or install either'

tools=${XDG_CACHE_HOME:-${HOME:?}/.cache}/coopery-jenkins/tools
key=$(printf '%s\n' "$wanted" "$("$python" -c 'import sys; print(sys.executable, sys.version)')" | cksum | tr ' ' -)
if [ ! -x "$tools/$key/bin/coopery" ]; then
  mkdir -p "$tools"
  # An environment can't be moved, so each is made under a name of its own and found by a link, which the first one
  # to be ready sets.
  made=$(mktemp -d "$tools/$key.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  trap 'exit 130' INT TERM
  printf 'Coopery: installing %s for this agent\n' "$wanted" >&2
  "$python" -m venv "$made" || fail "$python can't make environments: install its package venv (python3-venv)"
  "$made/bin/python" -m pip install --quiet --disable-pip-version-check -- "$wanted"
  [ -x "$made/bin/coopery" ] || fail "$wanted brings no coopery"
  # The link may be there by now, of another job, or be left of an environment that is gone.
  ln -s "${made##*/}" "$tools/$key" 2>/dev/null ||
    { [ -x "$tools/$key/bin/coopery" ] || ln -sfn "${made##*/}" "$tools/$key"; }
  [ "$(readlink "$tools/$key")" = "${made##*/}" ] || rm -rf "$made"
  trap - EXIT INT TERM
fi
exec "$tools/$key/bin/coopery" "$@"
