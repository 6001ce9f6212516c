#!/usr/bin/env bash
# libsonata 0.2.2: a window of spikes, get(tstart, tstop), is closed at both ends and wider than asked by 1e-6 ms.
#
# A guess is that [tstart, tstop) is what comes back, or [tstart, tstop] to the last bit. In fact every spike from
# tstart - 1e-6 to tstop + 1e-6 does, so that whoever reads a long file window by window gets a spike at a border twice,
# and so one that is 9e-7 ms away from it. Read everything and cut it yourself, or drop doubles at borders.
#
# Seen on 2026-11-28 (Python 3.11, libsonata 0.2.2, h5py 3.16.0, numpy 2.4.6):
#   windows [0, 10] and [10, 20] of spikes at 10 - 9e-7, 10, 10 + 9e-7 and 10 + 2e-6 ms: 3 and 4 of the 4
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q libsonata==0.2.2 h5py==3.16.0 numpy==2.4.6
env/bin/python - <<'PY'
import h5py, libsonata, numpy as np

times = np.array([10.0 - 9e-7, 10.0, 10.0 + 9e-7, 10.0 + 2e-6])
with h5py.File("spikes.h5", "w") as f:
    f.attrs["magic"], f.attrs["version"] = np.uint32(0x0A7A), np.array([0, 1], np.uint32)
    group = f.create_group("spikes/E")
    group.attrs.create("sorting", 2, dtype=h5py.enum_dtype({"none": 0, "by_id": 1, "by_time": 2}, basetype="u1"))
    group["timestamps"], group["node_ids"] = times, np.arange(4, dtype=np.uint64)
    group["timestamps"].attrs["units"] = "ms"
spikes = libsonata.SpikeReader("spikes.h5")["E"]
first, second = spikes.get(tstart=0.0, tstop=10.0), spikes.get(tstart=10.0, tstop=20.0)
print(f"libsonata {libsonata.version}: {len(first)} and {len(second)} of {len(times)} spikes")
assert [i for i, _ in first] == [0, 1, 2] and [i for i, _ in second] == [0, 1, 2, 3], "the behaviour has changed"
PY
