"""The published behaviour of the balanced network (SparseProp paper; shared peers' table)."""

import pytest

import sparseprop as sp


@pytest.mark.parametrize(
    ("model", "rate", "cv"),
    [(sp.LIF(tau_m=10.0), 3.40, (0.80, 0.84)), (sp.Theta(tau_m=10.0), 1.32, (0.70, 0.73))],
    ids=["LIF", "Theta"],
)
def test_balanced_network_rate_and_irregularity(model, rate, cv):
    """N = 4000, K = 100, j0 = 1, 1 Hz wanted. The CV is that of trains of about 35 spikes: see Result.cv_isi."""
    net = sp.balanced_network(4000, model, outdegree=100, seed=5)
    sim = sp.Simulation(net)
    sim.run(2000.0)
    res = sim.run(n_spikes=35 * 4000)
    assert res.rate == pytest.approx(rate, rel=0.02)
    assert cv[0] < res.cv_isi < cv[1]


def test_calibrate_rate_reaches_the_wanted_rate():
    net = sp.balanced_network(1000, sp.LIF(tau_m=10.0), outdegree=100, seed=5)
    calibrated = sp.calibrate_rate(net, 1.0, tol=0.02)
    sim = sp.Simulation(calibrated, seed=77)
    sim.run(2000.0)
    assert sim.run(10_000.0).rate == pytest.approx(1.0, rel=0.05)
    assert calibrated.populations[0].model.I_e < net.populations[0].model.I_e == pytest.approx(1.1)
    assert calibrated.projections[0].targets is net.projections[0].targets


def test_calibrate_rate_searches_as_far_as_it_must():
    net = sp.Network(seed=1)
    net.add(10, sp.LIF(tau_m=10.0, I_e=1.5))
    for target in (1000.0, 30.0):
        calibrated = sp.calibrate_rate(net, target, tol=0.05)
        assert calibrated.run(20_000.0, n_spikes=10**5).rate == pytest.approx(target, rel=0.06)


def test_calibrate_rate_says_what_cannot_be_reached():
    net = sp.Network(seed=1)
    net.add(10, sp.LIF(tau_m=10.0, I_e=1.5, t_ref=5.0))
    with pytest.raises(sp.errors.ParameterError, match="target must be a rate that some drive gives"):
        sp.calibrate_rate(net, 500.0)
    with pytest.raises(sp.errors.ParameterError, match="every I_e of this network is 0"):
        silent = sp.Network(seed=1)
        silent.add(10, sp.LIF(tau_m=10.0))
        sp.calibrate_rate(silent, 5.0)
