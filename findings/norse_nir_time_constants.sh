#!/usr/bin/env bash
# Norse 1.1.0: to_nir writes time constants that are too short by the factor dt (1000 by default), and loses v_reset.
#
# NIR's time constants are in seconds. A guess is that a LIFCell of tau_mem = 20 ms and tau_syn = 5 ms becomes a CubaLIF
# with tau_mem = 0.02 and tau_syn = 0.005. In fact they are dt / tau_mem_inv, 2e-5 and 5e-6; and w_in is 1, though in
# Norse a spike adds its weight to the current, for which NIR's equations want w_in = tau_syn over the length of a spike.
# v_reset = -0.5 comes out as 0, as nir itself makes zeros of what is missing.
#
# Seen on 2026-11-28 (Python 3.11, torch 2.13.0, norse 1.1.0, nirtorch 2.6, nir 1.0.8, numpy 2.4.6)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q torch==2.13.0 nir==1.0.8 numpy==2.4.6
env/bin/pip install -q --no-deps norse==1.1.0 nirtorch==2.6
env/bin/python -W ignore - <<'PY'
import norse.torch as norse
import torch
from norse.torch.utils.export_nir import to_nir

parameters = {"tau_mem_inv": 1 / 0.02, "tau_syn_inv": 1 / 0.005, "v_reset": -0.5}
cell = norse.LIFCell(norse.LIFParameters(**{name: torch.tensor(value) for name, value in parameters.items()}))
graph = to_nir(norse.SequentialState(torch.nn.Linear(2, 2, bias=False), cell), torch.zeros(1, 2))
(node,) = (node for node in graph.nodes.values() if type(node).__name__ == "CubaLIF")
found = [float(x) for x in (node.tau_mem, node.tau_syn, node.w_in, node.v_reset)]
print(f"tau_mem, tau_syn, w_in, v_reset: {found}")
assert torch.allclose(torch.tensor(found), torch.tensor([2e-5, 5e-6, 1.0, 0.0]), rtol=1e-5), "the behaviour has changed"
PY
