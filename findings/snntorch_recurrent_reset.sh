#!/usr/bin/env bash
# snnTorch 1.0.0: RLeaky loses what arrives in the step after a spike to the reset to zero; Leaky does not.
#
# The reset comes one step late. Leaky then sets the old state to zero and adds the input; RLeaky multiplies the whole
# new state by zero, input and recurrent kicks included. A guess is that an RLeaky with V = 0.3 that has fired and gets
# 0.4 is at 0.7, and that RLeaky without recurrent weights is Leaky. In fact it is at 0: a neuron's weight to itself has
# no effect, and of neurons that fire in one step none kicks another, however small the step is.
#
# Seen on 2026-11-28 (Python 3.11, torch 2.13.0, snntorch 1.0.0, nir 1.0.8, nirtorch 2.6, numpy 2.4.6):
#   0.4 for Leaky, 0.0 for RLeaky
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q torch==2.13.0 nir==1.0.8 numpy==2.4.6
env/bin/pip install -q --no-deps snntorch==1.0.0 nirtorch==2.6
env/bin/python -W ignore - <<'PY'
import snntorch as snn
import torch

zero, large, small = torch.zeros(1), torch.tensor([1.5]), torch.tensor([0.4])
leaky = snn.Leaky(beta=0.9, reset_mechanism="zero")
_, mem = leaky(large, zero)
_, plain = leaky(small, mem)
recurrent = snn.RLeaky(beta=0.9, V=0.3, all_to_all=False, reset_mechanism="zero")
fired, mem = recurrent(large, zero, zero)
_, own = recurrent(small, fired, mem)
print(f"after a spike and an input of 0.4: Leaky {plain.item():.3g}, RLeaky with V = 0.3 {own.item():.3g}")
assert fired.item() == 1.0
assert abs(plain.item() - 0.4) < 1e-6 and own.item() == 0.0, "the behaviour has changed"
PY
