#!/usr/bin/env bash
# pynapple 0.11.4: without time_support= a neuron's only spike is dropped, and times given in ms are rounded to 1e-9 s.
#
# A TsGroup of the trains [0.9] and [0.25, 0.75] s without a time support: the first one's epoch is from 0.9 to 0.9 s,
# which has no duration and is dropped with the spike, so that nothing is left of that neuron (a warning speaks of
# epochs). With time_support=IntervalSet(0, 1) both are there. Besides, the same times given as
# time_units="ms" come out rounded to nine digits behind the point; given in s, with all their bits.
#
# Seen on 2026-11-28 (Python 3.11, pynapple 0.11.4, numpy 2.4.6):
#   0 and 2 spikes without, 1 and 2 with time_support; 123.45678901234567 ms is 0.123456789 s
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q pynapple==0.11.4 numpy==2.4.6
env/bin/python - <<'PY'
import warnings

import numpy as np
import pynapple as nap

warnings.simplefilter("ignore")
trains = {0: np.array([0.9]), 1: np.array([0.25, 0.75])}
support = nap.IntervalSet(0.0, 1.0)
found = {}
for given in (None, support):
    group = nap.TsGroup({k: nap.Ts(t) if given is None else nap.Ts(t, time_support=given) for k, t in trains.items()},
                        time_support=given)
    found[given is support] = [len(group[k]) for k in trains]
t = 123.45678901234567
ms, s = nap.Ts(np.array([t]), time_units="ms", time_support=support).t[0], nap.Ts(np.array([t / 1e3])).t[0]
print(f"pynapple {nap.__version__}: spikes {found[False]} without and {found[True]} with time_support; {t} ms is {ms} s")
assert found == {False: [0, 2], True: [1, 2]}, "the behaviour has changed"
assert ms == 0.123456789 and s == t / 1e3, "the behaviour has changed"
PY
