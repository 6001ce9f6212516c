#!/usr/bin/env bash
# libsonata 0.2.2: with one spike before 0 ms, as after an alignment to a stimulus, get() of a population raises.
#
# SONATA does not say that times begin at 0, HDF5 holds the numbers as well, and the population opens. But what asks for
# all spikes, get(), or for a window that begins before 0, raises "Times cannot be negative"; get(tstart=0) returns the
# others without a word. Spikes before 0 cannot be had: shift times before they are written.
#
# Seen on 2026-11-28 (Python 3.11, libsonata 0.2.2, h5py 3.16.0, numpy 2.4.6), of spikes at -5, 1 and 2 ms:
#   get(): SonataError; get(tstart=-10, tstop=10): SonataError; get(tstart=0, tstop=10): 2 spikes
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q libsonata==0.2.2 h5py==3.16.0 numpy==2.4.6
env/bin/python - <<'PY'
import h5py, libsonata, numpy as np

with h5py.File("spikes.h5", "w") as f:
    f.attrs["magic"], f.attrs["version"] = np.uint32(0x0A7A), np.array([0, 1], np.uint32)
    group = f.create_group("spikes/E")
    group.attrs.create("sorting", 2, dtype=h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, basetype="u1"))
    group["timestamps"], group["node_ids"] = np.array([-5.0, 1.0, 2.0]), np.arange(3, dtype=np.uint64)
    group["timestamps"].attrs["units"] = "ms"
spikes = libsonata.SpikeReader("spikes.h5")["E"]
messages = []
for window in ({}, {"tstart": -10.0, "tstop": 10.0}, {"tstart": 0.0, "tstop": 10.0}):
    try:
        messages.append(f"{len(spikes.get(**window))} spikes")
    except Exception as error:
        messages.append(f"{type(error).__name__}: {error}")
print(f"libsonata {libsonata.version}: {messages}")
refused = ["Times cannot be negative" in message for message in messages]
assert refused == [True, True, False] and messages[2] == "2 spikes", "the behaviour has changed"
PY
