#!/usr/bin/env bash
# elephant 1.2.1: the window of the spike time tiling coefficient grows with the time, by 1e-5 of it.
#
# spike_time_tiling_coefficient(a, b, dt) asks which spikes are at most dt apart by numpy.isclose(..., atol=dt), whose
# relative tolerance of 1e-5 it does not set to 0: at 100 s spikes 5.5 ms apart are within dt = 5 ms of each other, at
# 1000 s such as are 15 ms apart. The fraction of time that is covered keeps to dt. So the coefficient depends on where
# time begins, and is too high late in a recording. Shift the trains to begin at 0, and cut long ones.
#
# Seen on 2026-11-28 (Python 3.11, elephant 1.2.1, neo 0.14.6, numpy 2.4.6, scipy 1.17.1): the same two spikes, 5.5 ms
# apart, in 1 s from 0 and from 100 s: -0.01 and 1.0.
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
from elephant.spike_train_correlation import spike_time_tiling_coefficient

found = []
for start in (0.0, 1e5):
    ends = {"units": "ms", "t_start": start, "t_stop": start + 1000.0}
    a, b = (neo.SpikeTrain([start + t], **ends) for t in (100.0, 105.5))
    found.append(float(spike_time_tiling_coefficient(a, b, dt=5.0 * pq.ms)))
print(f"elephant {elephant.__version__}: {found[0]:g} from 0 ms, {found[1]:g} from 100 s")
assert abs(found[0] + 0.01) < 1e-9 and found[1] == 1.0, "the behaviour has changed"
PY
