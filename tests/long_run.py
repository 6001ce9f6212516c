"""A run that tests interrupt and kill, in a process that imports no more than it needs."""

import os

import sparseprop as sp


def network():
    """Several seconds of simulation, with something of everything."""
    net = sp.Network(seed=8)
    p = net.add(2000, sp.LIF(tau_m=10.0, I_e=1.2), name="p")
    net.connect(p, p, sp.fixed_outdegree(50), weight=-0.02, delay=sp.uniform(0.5, 2.0))
    net.drive(p, sp.poisson(200.0), weight=0.02)
    return net


if __name__ == "__main__":  # begins a run, or goes on with it from its checkpoint
    net = network()
    print("ready", flush=True)
    if os.path.exists("state.h5"):
        sim = sp.Simulation.load("state.h5", net)
        if sim.is_resumable:
            sim.resume(progress=False)
    else:
        record = sp.Record("raster.h5", V=[0], V_times=3.0)
        net.run(600.0, record=record, checkpoint="state.h5", every=2.5, progress=False)
    print("done", flush=True)
