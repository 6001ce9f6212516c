#!/usr/bin/env bash
# elephant 1.2.1: at their limits, the distances of a spike train from itself are not 0.
#
# victor_purpura_distance with an infinite cost_factor, and van_rossum_distance with time_constant 0, are documented and
# taken as special cases, n_a + n_b and its root. That leaves out that spikes at one time cost nothing: a train of 3
# spikes is 6 and sqrt(6) from itself, also on the diagonal. Take a large finite cost_factor or a short time constant.
#
# Seen on 2026-11-28 (Python 3.11, elephant 1.2.1, neo 0.14.6, numpy 2.4.6, scipy 1.17.1): 6 and 2.449 at the limits, 0
# with 1e9 Hz and 1e-6 ms.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q elephant==1.2.1 neo==0.14.6 numpy==2.4.6 scipy==1.17.1
env/bin/python - <<'PY'
import elephant
import neo
import numpy as np
import quantities as pq
from elephant.spike_train_dissimilarity import van_rossum_distance, victor_purpura_distance

a = neo.SpikeTrain([1.0, 2.0, 3.0], units="ms", t_start=0.0, t_stop=5.0)
costs = [victor_purpura_distance([a, a], cost_factor=q * pq.Hz) for q in (np.inf, 1e9)]
roots = [van_rossum_distance([a, a], time_constant=tau * pq.ms) for tau in (0.0, 1e-6)]
for name, (limit, near) in (("Victor-Purpura", costs), ("van Rossum", roots)):
    print(f"elephant {elephant.__version__}, {name}: {limit.tolist()} at the limit, {near.tolist()} near it")
assert (costs[0] == 6.0).all() and np.allclose(roots[0], np.sqrt(6.0)), "the behaviour has changed"
assert not costs[1].any() and not roots[1].any(), "the behaviour has changed"
PY
