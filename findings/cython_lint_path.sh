#!/usr/bin/env bash
# cython-lint 0.22.1: works in an activated environment only: it starts `pycodestyle` by name, through PATH.
#
# Other linters of an environment run by their path, env/bin/ruff, without activation. This one ends with a bare
# FileNotFoundError there ("No such file or directory: 'pycodestyle'"), although pycodestyle is installed beside it; or
# it takes another environment's pycodestyle, if PATH has one. Put env/bin onto PATH.
#
# Seen on 2026-11-28 (Python 3.11, cython-lint 0.22.1, pycodestyle 2.14.0): as said.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q cython-lint==0.22.1 pycodestyle==2.14.0
printf 'def f(x):\n    return x\n' > module.pyx
status=0
PATH=/usr/bin:/bin env/bin/cython-lint module.pyx > log 2>&1 || status=$?
tail -n 1 log
PATH="$PWD/env/bin:/usr/bin:/bin" env/bin/cython-lint module.pyx
grep -q "FileNotFoundError.*pycodestyle" log && [ "$status" != 0 ] || { echo "the behaviour has changed"; exit 1; }
