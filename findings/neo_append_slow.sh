#!/usr/bin/env bash
# neo 0.14.6: appending spike trains to a segment one by one takes time in proportion to the square of their number.
#
# segment.spiketrains.append(train) compares the train with all that are there. A guess is that extend does the same in
# one call. In fact extend compares with what was there before it, so that one extend of all of them takes linear time:
# 10,000 trains, 1 s instead of 6.
#
# Seen on 2026-11-28 (Python 3.11, neo 0.14.6, quantities 0.16.4, numpy 2.4.6): for twice as many trains, 4 and 2 times
# as many comparisons (counted, not timed).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q neo==0.14.6 quantities==0.16.4 numpy==2.4.6
env/bin/python - <<'PY'
import neo
from neo.core.objectlist import ObjectList

compared = 0
contains = ObjectList._contains


def counted(self, obj):
    global compared
    compared += len(self._items)
    return contains(self, obj)


ObjectList._contains = counted


def comparisons(n, at_once):
    global compared
    compared, segment = 0, neo.Segment()
    trains = [neo.SpikeTrain([1.0], units="ms", t_stop=2.0) for _ in range(n)]
    if at_once:
        segment.spiketrains.extend(trains)
    else:
        for train in trains:
            segment.spiketrains.append(train)
    assert len(segment.spiketrains) == n
    return compared


found = {at_once: [comparisons(n, at_once) for n in (200, 400)] for at_once in (False, True)}
print(f"neo {neo.__version__}: comparisons for 200 and 400 trains: {found[False]} by append, {found[True]} by extend")
assert found == {False: [200 * 199 // 2, 400 * 399 // 2], True: [0, 0]}, "the behaviour has changed"
PY
