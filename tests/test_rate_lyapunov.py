"""Spectra of rate networks: where they are known, their symmetry, and the growth of a real perturbation."""

import math

import numpy as np
import pytest

import sparseprop as sp
from sparseprop.dynamics.rate import RateSpectrum, _step
from sparseprop.numerics._functions import tanh_many

rate_lyapunov = sp.dynamics.rate_lyapunov


def test_at_a_fixed_point_exponents_are_real_parts_of_eigenvalues():
    rng = np.random.default_rng(3)
    W = rng.standard_normal((12, 12)) * 0.2
    spectrum = rate_lyapunov(weights=W, tau=20.0, duration=30_000.0, warmup=4000.0)
    eigenvalues = (np.linalg.eigvals(W) - 1.0).real / 0.02
    assert spectrum.exponents == pytest.approx(np.sort(eigenvalues)[::-1], abs=0.3)
    assert spectrum.dimension == 0.0 and spectrum.n_positive == 0 and spectrum.entropy_rate == 0.0


def test_the_sum_of_all_exponents_is_the_divergence_of_the_flow():
    """Also with a diagonal, for which it depends on the trajectory."""
    spectrum = rate_lyapunov(g=2.5, n=60, duration=1500.0)
    assert spectrum.exponents.sum() == pytest.approx(-60 / 0.01, rel=1e-6)
    rng = np.random.default_rng(1)
    W = rng.standard_normal((40, 40)) * (3.0 / math.sqrt(40.0)) + np.eye(40)
    seen = rate_lyapunov(weights=W, duration=300.0, warmup=0.0, dt=0.25, seed=7)
    rng = np.random.default_rng(7)
    h, Q = rng.standard_normal(40), np.empty((40, 0))
    divergence = []
    for _ in range(1200):
        before = np.sum(np.diag(W) * (1.0 - tanh_many(h) ** 2)) - 40.0
        h, Q = _step(W, h, Q, 0.025)
        divergence.append(0.5 * (before + np.sum(np.diag(W) * (1.0 - tanh_many(h) ** 2)) - 40.0))
    assert seen.exponents.sum() == pytest.approx(np.mean(divergence) / 0.01, rel=1e-4)


def test_the_spectrum_is_point_symmetric():
    """Engelken, Wolf and Abbott (2023): about -1 / tau."""
    spectrum = rate_lyapunov(g=10.0, n=100, duration=2000.0, seed=2)
    x = spectrum.exponents * 0.01
    assert np.abs(x + x[::-1] + 2.0).max() < 0.12
    assert np.abs(x + x[::-1] + 2.0).mean() < 0.02
    assert np.ptp(x) > 2.0


def test_the_largest_exponent_is_the_rate_at_which_a_perturbation_grows():
    n, steps, u = 100, 100, 0.1
    spectrum = rate_lyapunov(g=10.0, n=n, n_exponents=1, duration=6000.0, seed=5)
    rng = np.random.default_rng(5)
    W = rng.standard_normal((n, n)) * (10.0 / math.sqrt(n))
    np.fill_diagonal(W, 0.0)
    h, none = rng.standard_normal(n), np.empty((n, 0))
    for _ in range(1000):
        h, none = _step(W, h, none, u)
    growth, other = [], h + 1e-8 / math.sqrt(n)
    for k in range(60):
        for _ in range(steps):
            h, none = _step(W, h, none, u)
            other, none = _step(W, other, none, u)
        distance = np.linalg.norm(other - h)
        if k:
            growth.append(math.log(distance / 1e-8) / (steps * u))
        other = h + (other - h) * (1e-8 / distance)
    rate = np.mean(growth) / 0.01
    assert spectrum.exponents[0] == pytest.approx(rate, rel=0.1)
    assert spectrum.exponents[0] > 10.0 * spectrum.errors[0]


def test_chaos_begins_at_g_1_and_grows_with_g():
    """Sompolinsky, Crisanti and Sommers (1988)."""
    largest = [rate_lyapunov(g=g, n=200, n_exponents=1, duration=3000.0).exponents[0] for g in (0.8, 2.0, 3.0, 5.0)]
    assert largest[0] < 0.0 < largest[1] < largest[2] < largest[3]


def test_dimension_and_entropy_are_those_of_the_exponents():
    spectrum = RateSpectrum(np.tile([2.0, 1.0, 0.0, -1.0, -4.0], (20, 1)), 5, 10.0)
    assert spectrum.dimension == pytest.approx(4.5)
    assert spectrum.entropy_rate == pytest.approx(3.0 / math.log(2.0)) and spectrum.n_positive == 2
    assert (spectrum.errors == 0.0).all()
    assert math.isnan(RateSpectrum(np.tile([2.0, 1.0], (20, 1)), 5, 10.0).dimension)
    assert "2 of 5 exponents" in repr(RateSpectrum(np.tile([2.0, 1.0], (20, 1)), 5, 10.0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"g": -1.0}, "g must be a number >= 0"),
        ({"n": 2**70}, "n must be a whole number from 2 to"),
        ({"dt": 11.0}, "dt must be a time from 10.-6 tau to tau"),
        ({"warmup": 2.0**70}, "warmup must be a time of at most"),
        ({"n": 1}, "n must be a whole number from 2 to"),
        ({"weights": [[1.0, 2.0]]}, "weights must be a square matrix"),
        ({"weights": [[np.nan, 1.0], [1.0, 0.0]]}, "weights must be a square matrix of finite numbers, got nan"),
        ({"n_exponents": 300}, "n_exponents must be 1 to 200"),
        ({"duration": 50.0}, "duration must be at least 10 tau"),
        ({"tau": 0.0}, "tau must be a time > 0 ms"),
        ({"dt": 1e-320}, "dt must be a time from"),
        ({"weights": [["a"]]}, "weights must be an array of real numbers"),
        ({"weights": [[1j]]}, "weights must be an array of real numbers"),
        ({"warmup": -1.0}, "warmup must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(sp.errors.ParameterError, match=message):
        rate_lyapunov(**given)


def test_what_does_not_fit_is_said(monkeypatch):
    monkeypatch.setattr("sparseprop._machine.available_memory", lambda: 16 * 2**30)
    with pytest.raises(sp.errors.InsufficientMemoryError, match="100000 neurons and 100000 tangents .* smaller n"):
        rate_lyapunov(n=100_000)
    with pytest.raises(
        sp.errors.InsufficientMemoryError, match=r"^50 tangents of 50 numbers .* take fewer n_exponents"
    ):
        rate_lyapunov(weights=np.zeros((50, 50)), duration=1e9)


def test_plot():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert RateSpectrum(np.tile([2.0, 1.0], (20, 1)), 5, 10.0).plot(ax) is ax and len(ax.lines) == 2
