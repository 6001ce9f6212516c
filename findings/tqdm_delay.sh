#!/usr/bin/env bash
# tqdm 4.70.1: `delay` holds back update(), but not refresh(), set_postfix() and set_description(): these draw at once.
#
# delay=5 is "do not show a bar before 5 s", for work that is mostly short. A loop that also says how it goes, by
# set_postfix(loss=...), shows its bar from the first call on. Give refresh=False to these and leave drawing to update().
#
# Seen on 2026-11-28 (Python 3.11, tqdm 4.70.1): characters written by update, refresh, set_postfix, set_postfix with
# refresh=False: 0, > 0, > 0, 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q tqdm==4.70.1
env/bin/python - <<'PY'
import io
import tqdm

calls = {
    "update": lambda bar: bar.update(1),
    "refresh": lambda bar: bar.refresh(),
    "set_postfix": lambda bar: bar.set_postfix(loss=1.0),
    "set_postfix, refresh=False": lambda bar: bar.set_postfix(loss=1.0, refresh=False),
}
written = {}
for name, call in calls.items():
    out = io.StringIO()
    bar = tqdm.tqdm(total=10, delay=5.0, file=out, mininterval=0.0)
    call(bar)
    written[name] = len(out.getvalue())
print(f"tqdm {tqdm.__version__}: {written}")
assert [n > 0 for n in written.values()] == [False, True, True, False], "the behaviour has changed"
PY
