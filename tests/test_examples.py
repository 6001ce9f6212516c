"""The examples run, small and as scripts, and do what they say."""

import importlib.util
import json
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

import sparseprop as sp
from sparseprop.cli import commands as cli

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield tmp_path
    pyplot.close("all")
    matplotlib.use(backend)


def main_of(name):
    return runpy.run_path(str(EXAMPLES / name))["main"]


def test_scripts_are_those_that_are_tested():
    scripts = ["balanced.py", "brunel.py", "connectome.py", "digits.py", "driven_chaos.py", "excitatory_inhibitory.py"]
    scripts += [
        "flossing.py",
        "from_matrix.py",
        "learned_delays.py",
        "lyapunov.py",
        "microcircuit.py",
        "perturbations.py",
    ]
    scripts += ["pytorch.py", "replay.py", "sparse_chaos.py", "spike_patterns.py", "sweep_rate.py", "yin_yang.py"]
    assert scripts == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_short(name):
    assert len((EXAMPLES / name).read_text().splitlines()) < 80


def test_balanced(empty_folder, capsys):
    result = main_of("balanced.py")(n=200, duration=100.0)
    assert result.n_neurons == 200 and result.t_stop == 100.0
    loaded = sp.load("balanced.h5")
    assert np.array_equal(loaded.times, result.times) and np.array_equal(loaded.ids, result.ids)
    assert sorted(path.name for path in empty_folder.iterdir()) == ["balanced.h5", "balanced.png"]
    assert "Network of 200 neurons" in capsys.readouterr().out


def test_excitatory_inhibitory_is_irregular_and_sane(empty_folder, capsys):
    result = main_of("excitatory_inhibitory.py")(n=1000, duration=500.0)
    for name in ("E", "I"):
        population = result.population(name)
        assert 5.0 < population.rate < 30.0
        assert 0.6 < population.cv_isi < 1.5
    assert "E: " in capsys.readouterr().out
    assert [path.name for path in empty_folder.iterdir()] == ["excitatory_inhibitory.png"]


def test_from_matrix(empty_folder, capsys):
    result = main_of("from_matrix.py")(n=50, duration=100.0)
    assert result.n_spikes > 0 and np.unique(result.ids).size == 50
    assert "strongest synapse: 0 -> 1, weight -0.24" in capsys.readouterr().out
    assert [path.name for path in empty_folder.iterdir()] == ["from_matrix.png"]


def test_matrix_is_target_by_source():
    W = runpy.run_path(str(EXAMPLES / "from_matrix.py"))["ring"](20, reach=3).toarray()
    assert np.count_nonzero(W) == 120 and np.all(W <= 0.0)
    assert np.flatnonzero(W[:, 0]).tolist() == [1, 2, 3, 17, 18, 19]
    assert W[1, 0] == W[19, 0] == W.min()


def test_connectome(empty_folder, capsys):
    """On a graph in the form of that of cect, [source, target], in which all neurons but muscles excite the first."""
    names = ["AVAL", "BWM", "VD1", *(f"N{k}" for k in range(37))]
    synapses = np.zeros((40, 40))
    synapses[:, :2] = 4.0
    Path("worm.json").write_text(json.dumps({"nodes": names, "connections": {"Generic_CS": synapses.tolist()}}))
    rates = main_of("connectome.py")("worm.json", duration=1000.0)
    worm, other = rates.values()
    assert worm.size == other.size == 39 and worm[0] == worm.max() > 2.0 * np.median(worm) and other[0] < worm[0]
    assert "the fastest: AVAL" in capsys.readouterr().out
    network = runpy.run_path(str(EXAMPLES / "connectome.py"))["network"]
    W = network(["N1", "VD1"], np.array([[0.0, 3.0], [2.0, 0.0]]), 0.5, 0.0, seed=1).projections[0]
    assert W.sources.tolist() == [0, 1] and W.weight.tolist() == [1.0, -1.5]  # GABA inhibits


def test_the_connectome_says_how_it_is_had(empty_folder):
    if importlib.util.find_spec("cect") is None:
        with pytest.raises(ImportError, match="pip install --no-deps cect"):
            main_of("connectome.py")()
    else:
        assert main_of("connectome.py")(duration=200.0)["the worm's graph"].size == 280


def test_sweep_rate(empty_folder, capsys):
    with ThreadPoolExecutor(2) as threads:
        result = main_of("sweep_rate.py")(n=500, duration=200.0, executor=threads)
    assert len(result) == 24 and not result.failures
    assert result[4]["rate"] == sp.balanced_network(500, sp.LIF(tau_m=10.0), 100, seed=2).run(200.0).rate
    assert "24 points" in capsys.readouterr().out
    assert sorted(path.name for path in empty_folder.iterdir()) == ["sweep_rate.csv", "sweep_rate.png"]


def test_replay(empty_folder, capsys):
    recorded, replayed = main_of("replay.py")(n=300, duration=200.0)
    assert replayed.n_spikes > 500 and np.abs(recorded.population("F").times - replayed.times).max() < 1e-11
    assert "F fired the same" in capsys.readouterr().out
    assert [path.name for path in empty_folder.iterdir()] == ["replay.h5"]


def test_brunel(empty_folder, capsys):
    rates = main_of("brunel.py")(n=1250, duration=50.0)
    assert len(rates) == 4 and min(rates, key=rates.get).startswith("D")
    assert [path.name for path in empty_folder.iterdir()] == ["brunel.png"]


def test_microcircuit(empty_folder, capsys):
    result = main_of("microcircuit.py")(scale=0.05, duration=100.0)
    assert [p.n for p in result.populations] == [1034, 292, 1096, 274, 242, 53, 720, 147]
    assert 1.0 < result.rate < 4.0 and result.population("L4E").rate > 2.0 * result.population("L23E").rate
    assert [path.name for path in empty_folder.iterdir()] == ["microcircuit.png"]
    assert "L6I" in capsys.readouterr().out
    # In a full network these are the published numbers of synapses, in millions (Potjans and Diesmann 2014: some 300).
    made = runpy.run_path(str(EXAMPLES / "microcircuit.py"))
    sizes = np.array([row[0] for row in made["POPULATIONS"].values()])
    assert sizes.sum() == 77169
    synapses = np.log(1.0 - made["PROBABILITY"]) / np.log(1.0 - 1.0 / np.outer(sizes, sizes))
    net = made["network"](0.05)
    drawn = np.reshape([p.n_synapses for p in net.projections], (8, 8))
    assert np.abs(drawn - 0.05**2 * synapses).max() <= 0.5 and 298e6 < synapses.sum() < 300e6
    # Pairs with a synapse are as many as the probability says, as some have several: without these there would be more.
    for p, probability in zip(net.projections, made["PROBABILITY"].ravel(), strict=True):
        pairs, cells = len(np.unique(p.sources.astype(int) * p.post.n + p.targets)), p.pre.n * p.post.n
        assert abs(pairs - probability * cells) <= 1.0 + 6.0 * np.sqrt(probability * pairs)
    # Weights keep their sign and deviate by a tenth.
    for p in net.projections[:4]:
        assert p.weight.std() == pytest.approx(0.1 * abs(p.weight.mean()), rel=0.1)
        assert (np.sign(p.weight) == (1.0 if p.pre.name.endswith("E") else -1.0)).all() and p.delay.min() >= 0.1


def test_perturbations(empty_folder, capsys):
    found = main_of("perturbations.py")(n=100, K=20, twins=3, duration=1200.0)
    assert found["LIF"].returned[:9].all() and not found["spike"].returned.any()
    assert 0.0 < found["tube"].flux_tube_radius < 0.1
    # Rapidness 1 has the bits of theta neurons, but phases by another formula.
    assert found["theta"].divergence_rate == pytest.approx(found[1.0].divergence_rate, rel=1e-9)
    assert found["theta"].divergence_rate > 5.0
    assert [path.name for path in empty_folder.iterdir()] == ["perturbations.png"]
    assert "flux tube radius" in capsys.readouterr().out


def test_yin_yang_takes_a_newcomer_15_lines(empty_folder, capsys):
    text = (EXAMPLES / "yin_yang.py").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith(('"""', "if __name__", "    main()"))]
    assert len(lines) <= 15
    trainer = main_of("yin_yang.py")(n=300, epochs=12, hidden=40)
    assert trainer.history["accuracy"][-1] > 0.75
    assert [path.name for path in empty_folder.iterdir()] == ["yin_yang.png"]


def test_digits(empty_folder, capsys):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    trainer = main_of("digits.py")(hidden=40, epochs=2)
    assert trainer.history["validation_accuracy"][-1] > 0.8
    assert "% right of 360" in capsys.readouterr().out
    moved = main_of("digits.py").__globals__["moved"](np.eye(9)[[4]], np.random.default_rng(1))
    assert moved.sum() == 1.0 and moved.shape == (1, 9)
    trainer = main_of("digits.py")(hidden=20, epochs=1, copies=2)
    assert trainer.history["validation_accuracy"][-1] > 0.5


def test_spike_patterns(empty_folder, capsys):
    assert main_of("spike_patterns.py")(n=100, indegree=10, epochs=300, lr=0.03, decay=0.99) < 4.0
    assert "3, 3, 3, 3" in capsys.readouterr().out
    assert [path.name for path in empty_folder.iterdir()] == ["spike_patterns.png"]


def test_learned_delays(empty_folder, capsys):
    accuracies = main_of("learned_delays.py")(n=400, epochs=12, hidden=20, seeds=(1,))
    assert set(accuracies) == {False, True} and accuracies[False] != accuracies[True]
    assert min(accuracies[False] + accuracies[True]) > 0.5


def test_pytorch(empty_folder, capsys):
    pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
    assert main_of("pytorch.py")(n=400, epochs=8, hidden=40, batch_size=20, lr=0.01) > 0.6


# Those take minutes, or a package that may not be there.
LENGTHY = ("brunel.py", "connectome.py", "digits.py", "driven_chaos.py", "flossing.py", "learned_delays.py")
LENGTHY += (
    "lyapunov.py",
    "microcircuit.py",
    "perturbations.py",
    "pytorch.py",
    "sparse_chaos.py",
    "spike_patterns.py",
    "yin_yang.py",
)


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in LENGTHY])
def test_as_script(name, empty_folder, capsys):
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert capsys.readouterr().out
    assert list(empty_folder.iterdir())


def test_config(empty_folder, capsys):
    config = str(EXAMPLES / "network.toml")
    assert cli.main(["info", config]) == 0
    assert "E -> I: fixed_indegree(k=100)" in capsys.readouterr().out
    assert cli.main(["run", config, "-o", "raster.h5", "--duration", "50"]) == 0
    result = sp.load("raster.h5")
    assert [(info.name, info.n) for info in result.populations] == [("E", 4000), ("I", 1000)]
    assert result.t_stop == 50.0 and result.n_spikes > 1000


def test_lyapunov(empty_folder, capsys):
    rows = main_of("lyapunov.py")(sizes=(60, 120), graphs=2, spikes=40, share=0.6, outdegree=30)
    assert [row["n"] for row in rows] == [60, 120]
    for row in rows:
        assert row["largest"][0] > 5.0 and 0.1 < row["dimension / N"][0] < 0.5 and row["flow"][0] < 0.5
    assert [path.name for path in empty_folder.iterdir()] == ["lyapunov.png"]
    assert "LIF, N = 60: " in capsys.readouterr().out


def test_chaos_ends_at_a_rapidness(empty_folder):
    values = {"rapidness": (2.0, 300.0), "J0": (0.5, 1.0)}
    rows = main_of("sparse_chaos.py")(n=120, graphs=2, spikes=20, values=values)
    assert [row[:2] for row in rows] == [(name, value) for name, both in values.items() for value in both]
    (largest, dimension, bits, _), (none, _, no_bits, _) = rows[0][2], rows[1][2]
    assert largest > 10.0 > 1.0 > none and dimension > 0.02 and bits > 0.05 > no_bits
    assert [path.name for path in empty_folder.iterdir()] == ["sparse_chaos.png"]


def test_flossing_brings_exponents_nearer_to_0(empty_folder, capsys):
    found = main_of("flossing.py")(delays=(60.0,), seeds=(2,), steps=8, n=30, indegree=15, epochs=3)
    ((_, before),), ((right, after),) = found["control"][0], found["gradient flossing"][0]
    assert before > 5.0 and abs(after) < 0.5 * before and right > 0.9
    assert [path.name for path in empty_folder.iterdir()] == ["flossing.png"]
    assert "control, 60 ms: right " in capsys.readouterr().out


def test_driven_chaos_is_tamed_by_strong_input(empty_folder):
    rows = main_of("driven_chaos.py")(n=60, outdegree=20, strengths=(3.0,), rates=(0.0, 10.0), spikes=40)
    (_, _, free, _, _, apart), (_, _, driven, _, _, together) = rows
    assert free > 3.0 > 0.0 > driven
    assert apart > 0.5 > 0.1 > together
    assert [path.name for path in empty_folder.iterdir()] == ["driven_chaos.png"]
