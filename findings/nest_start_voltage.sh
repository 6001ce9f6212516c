#!/usr/bin/env bash
# NEST 3.10.0: neurons made with another E_L do not begin at it. V_m stays at -70 mV, the E_L of the default.
#
# A good guess is that a neuron begins at rest, E_L, unless it is told otherwise. With voltages counted from rest (E_L =
# 0, V_th = 20, as in Brunel's network) all neurons begin 70 mV below it: the first tens of ms are another network's, and
# nothing says so. Give V_m too: {"E_L": 0.0, "V_m": 0.0}.
#
# Seen on 2026-11-28 (Python 3.13): iaf_psc_delta, iaf_psc_exp, iaf_cond_exp and iaf_psc_delta_ps report E_L 0 and V_m
# -70; a neuron driven to 30 mV above E_L with tau_m = 20 ms fires first after 46.1 ms instead of 22.0 ms.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q nest-simulator==3.10.0
cat > look.py <<'END'
import nest

nest.verbosity = nest.VerbosityLevel.ERROR
for model in ("iaf_psc_delta", "iaf_psc_exp", "iaf_cond_exp", "iaf_psc_delta_ps"):
    neuron = nest.Create(model, params={"E_L": 0.0, "V_th": 20.0, "V_reset": 0.0})
    print(model, "E_L", neuron.E_L, "V_m", neuron.V_m)
    assert neuron.E_L == 0.0 and neuron.V_m == -70.0, "the behaviour has changed"
shared = {"E_L": 0.0, "V_th": 20.0, "V_reset": 0.0, "tau_m": 20.0, "C_m": 20.0, "I_e": 30.0}
neurons = [nest.Create("iaf_psc_delta", params=shared | more) for more in ({}, {"V_m": 0.0})]
recorders = [nest.Create("spike_recorder") for _ in neurons]
for neuron, recorder in zip(neurons, recorders):
    nest.Connect(neuron, recorder)
nest.Simulate(100.0)
late, early = (float(recorder.events["times"][0]) for recorder in recorders)
print("first spike", late, "instead of", early)
assert late - early > 15.0, "the behaviour has changed"
END
env/bin/python look.py 2> /dev/null | tail -n 5
