"""What to cite: entries for what a network and its results use, the same as in CITATION.cff."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import sparseprop as sp
from sparseprop import models, training
from sparseprop.citing import WORKS

CFF = Path(__file__).resolve().parents[1] / "CITATION.cff"


def keys(text):
    return re.findall(r"^@\w+\{([\w]+),$", text, re.MULTILINE)


def cited(*things):
    """Names of the works besides those that are always there."""
    first, second, *others = keys(sp.cite(*things))
    assert (first, second) == ("sparseprop_package", WORKS["sparseprop"].key)
    return {next(name for name, work in WORKS.items() if work.key == key) for key in others}


def small(model=None):
    return sp.balanced_network(30, model or sp.LIF(tau_m=10.0), outdegree=5, seed=1)


def test_models_of_a_network_and_of_its_results():
    net = small()
    net.add(2, sp.Theta(tau_m=10.0))
    net.add(2, sp.LIFExp(tau_m=10.0, tau_syn=2.0))
    net.add(3, sp.PoissonSource(1.0))
    assert cited(net) == cited(sp.Simulation(net)) == {"quadratic", "exponential currents"}
    res = net.run(1.0)
    assert cited(res) == cited(res, net) == {"quadratic", "exponential currents"}
    assert cited() == cited(small()) == cited(sp.LIF(tau_m=10.0)) == set()


def test_a_raster_is_cited_like_its_run(tmp_path):
    small(sp.EIF(tau_m=10.0)).run(20.0).save(tmp_path / "r.h5")
    assert cited(sp.load(tmp_path / "r.h5")) == {"exponential"}


def test_gradients():
    net = small()
    assert cited(net.run(5.0)) == set()
    res = net.run(5.0, tape=True)
    grads = res.backward(np.zeros(len(res.times)))
    assert cited(grads) == {"gradients"}
    assert cited(net.run(5.0, tape=True)) == {"gradients"}
    layers = training.layered_network([2, 3, 2], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)
    trainer = training.Trainer(layers, training.FirstSpikeCrossEntropy(), duration=5.0)
    assert cited(trainer) == {"gradients", "exponential currents"}


def test_pseudospikes_of_a_loss():
    net = training.layered_network([2, 3, 2], sp.QIF(tau_m=20.0, I_e=0.1), seed=1)
    loss = training.FirstSpikeCrossEntropy(pseudospikes=True)
    assert cited(training.Trainer(net, loss, duration=5.0)) == {"gradients", "pseudospikes", "quadratic"}


def test_batches():
    net = sp.Network(seed=1)
    source = net.add(2, sp.SpikeSource([], []))
    net.connect(source, net.add(2, sp.LIFExp(tau_m=10.0, tau_syn=2.0)), sp.all_to_all(), weight=1.0)
    given = [(np.array([1.0]), np.array([0]))]
    assert cited(sp.run_batch(net, given, 10.0)) == {"exponential currents"}
    assert cited(sp.run_batch(net, given, 10.0, tape=True)) == {"exponential currents", "gradients"}


def test_chaos():
    net = small(sp.QIF(tau_m=10.0))
    spectrum = sp.lyapunov_spectrum(net, n_spikes=200, n_exponents=3, covariant=True)
    assert cited(spectrum) == {"lyapunov", "lyapunov_spiking"}
    assert cited(spectrum.covariant) == {"covariant", "lyapunov", "lyapunov_spiking"}
    assert cited(sp.perturb(net, size=1e-6, n=1, duration=5.0)) == {"perturbation"}


def test_names_of_features():
    assert cited("balanced", "covariant") == {"balanced", "covariant", "lyapunov", "lyapunov_spiking"}
    assert len(keys(sp.cite(*[name for name in WORKS if name != "lyapunov_spiking"]))) == len(WORKS) + 1


def test_what_cannot_be_cited_is_refused():
    with pytest.raises(
        sp.errors.ParameterError, match="unknown feature to cite: 'gradient' .*did you mean 'gradients'"
    ):
        sp.cite("gradient")
    with pytest.raises(sp.errors.ParameterError, match="cite takes networks, .* got 3"):
        sp.cite(3)


def test_what_models_cite_is_known():
    for model in models.MODELS.values():
        assert set(model._cites) <= set(WORKS)


def test_entries_are_bibtex():
    text = sp.cite(*[name for name in WORKS if name != "lyapunov_spiking"])
    assert text.isascii()
    assert len(set(keys(text))) == len(WORKS) + 1
    for entry in re.split(r"\n(?=%)", text):
        assert entry.count("{") == entry.count("}")
        assert re.fullmatch(r"% .*\n@\w+\{\w+,\n(  \w+ = \{.*\},\n)+\}\n", entry), entry
    assert f"Version {sp.__version__}" in text
    assert r"Fourcaud-Trocm{\'e}, Nicolas" in text


@pytest.mark.skipif(not CFF.exists(), reason="CITATION.cff is not here")
def test_citation_file_has_the_same_works():
    listed = yaml.safe_load(CFF.read_text())["references"]
    assert len(listed) == len(WORKS)
    for entry, work in zip(listed, WORKS.values(), strict=True):
        fields = work.fields
        assert (entry["title"], entry["year"], entry.get("doi")) == (work.title, work.year, fields.get("doi"))
        assert tuple((a["family-names"], a["given-names"]) for a in entry["authors"]) == work.authors
        assert entry.get("journal") == fields.get("journal")
        assert str(entry.get("volume", "")) == fields.get("volume", "")
        assert "--".join(entry[k] for k in ("start", "end") if k in entry) == fields.get("pages", "")
        if "eprint" in fields:
            assert entry["url"].endswith(fields["eprint"])
