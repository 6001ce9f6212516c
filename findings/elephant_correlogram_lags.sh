#!/usr/bin/env bash
# elephant 1.2.1: correlograms of a window of lags that is not symmetric are of other lags than they say.
#
# cross_correlation_histogram(a, b, window=[2, 10]) returns the lags 2 to 10, and a signal of one value, that of lag 0,
# whose t_start says that it is of lag 2; window=[-5, 10] returns 16 lags and 11 values. Nothing is said. It is the
# default method="speed", which pads by the shorter side of the window. method="memory" is right, and so are windows
# [-n, n] and "full".
#
# Seen on 2026-11-28 (Python 3.11, elephant 1.2.1, neo 0.14.6, numpy 2.4.6, scipy 1.17.1): 9 lags, 1 value by "speed"
# and 9 by "memory"; the one is that of lag 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q elephant==1.2.1 neo==0.14.6 numpy==2.4.6 scipy==1.17.1
env/bin/python - <<'PY'
import elephant
import neo
import quantities as pq
from elephant.conversion import BinnedSpikeTrain
from elephant.spike_train_correlation import cross_correlation_histogram

ends = {"units": "ms", "t_start": 0.0, "t_stop": 100.0}
# Spikes of b come 3 ms after those of a, and never at the same time.
a, b = (neo.SpikeTrain([t + shift for t in (10.5, 30.5, 60.5)], **ends) for shift in (0.0, 3.0))
a, b = (BinnedSpikeTrain(train, bin_size=1.0 * pq.ms) for train in (a, b))
found = {}
for method in ("speed", "memory"):
    values, lags = cross_correlation_histogram(a, b, window=[2, 10], method=method)
    found[method] = values.magnitude.ravel().tolist()
    print(f"elephant {elephant.__version__}, {method}: lags {lags.tolist()}, values {found[method]}")
assert found == {"speed": [0.0], "memory": [0.0, 3.0] + 7 * [0.0]}, "the behaviour has changed"
PY
