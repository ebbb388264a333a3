# Finds a Python that Coopery runs on, and puts the node action that only works by a path in the workspace there.
# Runs in a composite action's step: writes the output `python`, empty if there is none.
set -euo pipefail

if [ "${RUNNER_OS:-Linux}" != Linux ]; then
  echo "::error title=Coopery::Coopery builds on Linux runners; this one is $RUNNER_OS."
  exit 1
fi

copy=$GITHUB_WORKSPACE/.coopery-cache-env
rm -rf -- "$copy" # whatever a checkout has put there, a link to elsewhere included
mkdir -p -- "$copy"
cp -- "$GITHUB_ACTION_PATH"/cache-env/* "$copy/"

# In isolated mode nothing in the current directory is taken for a module.
usable='import pip, sys, venv; sys.exit(sys.version_info < (3, 11))'
for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
  if path=$(command -v "$name") && "$path" -I -c "$usable" >/dev/null 2>&1; then
    echo "python=$path" >>"$GITHUB_OUTPUT"
    exit 0
  fi
done
echo "python=" >>"$GITHUB_OUTPUT"
