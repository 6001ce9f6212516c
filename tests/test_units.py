"""Quantities with units, wherever a public function takes a number or an array: converted to ms and Hz, or refused.

`CALLS` has a valid call of each public function and class, and for each of its numeric parameters what its unit is;
`test_every_numeric_parameter_is_in_the_table` finds what is missing by the docstrings.
"""

import concurrent.futures
import functools
import inspect
import json
import pathlib
import re
import tempfile
import warnings

import matplotlib.pyplot
import numpy as np
import pytest
from other_units import LIBRARIES

import sparseprop as sp
from sparseprop import models, plotting, training
from sparseprop.errors import ParameterError

matplotlib.use("Agg")


@pytest.fixture(params=LIBRARIES)
def quantity(request):
    return LIBRARIES[request.param]()


# A call of everything ----------------------------------------------------------------------------------------------


def small():
    """Three LIF neurons that fire, a source, and all that can be changed between runs."""
    net = sp.Network(seed=1)
    E = net.add(3, sp.LIF(tau_m=10.0, I_e=[1.2, 1.3, 1.4]), name="E", V=0.0)
    src = net.add(2, sp.SpikeSource([1.0, 2.0], [0, 1]), name="in")
    net.connect(E, E, sp.fixed_indegree(1), weight=0.01, delay=1.0)
    net.connect(src, E, sp.all_to_all(), weight=0.1)
    net.drive(E, sp.poisson(10.0), weight=0.01)
    return net


def layers():
    return training.layered_network([2, 3, 2], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1)


@functools.cache
def spikes():
    return small().run(300.0)


@functools.cache
def batch():
    net = small()
    net.drives.clear()
    return sp.run_batch(net, [([1.0, 2.0], [0, 1])], 30.0, tape=True)


def of(call, /, **fixed):
    return functools.partial(call, **fixed)


def method(make, name, **fixed):
    return lambda **kwargs: getattr(make(), name)(**fixed, **kwargs)


def connected(**kwargs):
    net = sp.Network(seed=1)
    net.add(3, sp.LIFExp(tau_m=10.0, tau_syn=(2.0, 3.0)), name="E")
    return net.connect("E", "E", sp.fixed_indegree(1), **kwargs)


def driven(**kwargs):
    net = sp.Network(seed=1)
    E = net.add(3, sp.LIFExp(tau_m=10.0, tau_syn=(2.0, 3.0)), name="E")
    return net.drive(E, sp.poisson(1.0), **kwargs)


def added(model):
    return lambda **kwargs: sp.Network(seed=1).add(**({"n": 3} | kwargs), model=model)


def ran(**kwargs):
    return small().run(**kwargs)


def checkpointed(tmp=None, **kwargs):
    with tempfile.TemporaryDirectory() as folder:
        return small().run(5.0, checkpoint=pathlib.Path(folder, "c.h5"), **kwargs)


def set_drive(**kwargs):
    sim = sp.Simulation(small())
    sim.set_drive(sim.network.drives[0], **kwargs)
    return sim.run(50.0)


def set_state(**kwargs):
    sim = sp.Simulation(small())
    sim.run(5.0)
    sim.set_state(**kwargs, keep_rest=True)
    return sim.state


def viewed(**kwargs):
    with tempfile.TemporaryDirectory() as folder:
        text = sp.view(spikes(), pathlib.Path(folder, "page.html"), **kwargs).read_text()
    about = json.loads(re.search(r'id="about">(.*?)</script>', text)[1])
    return [about["start"], about["stop"], *(told["nSpikes"] for told in about["populations"])]


def raster(**kwargs):
    return plotting.plot_raster(spikes(), **kwargs)


def loaded(**kwargs):
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "s.h5")
        with h5py.File(path, "w") as file:
            file["spikes/E/timestamps"], file["spikes/E/node_ids"] = [1.0, 2.0], np.array([1, 0], np.uint64)
        sizes = {"sizes": {"E": kwargs.pop("size")}} if "size" in kwargs else {}
        return sp.load(path, **sizes, **kwargs)


def sources(function):
    return lambda **kwargs: function(spikes(), **kwargs)


def trained(**kwargs):
    return training.Trainer(layers(), training.FirstSpikeCrossEntropy(), **({"duration": 50.0} | kwargs))


def delayed(**kwargs):
    return trained(train_delays=True, **kwargs)


def _events(**kwargs):
    sample = np.array([(1000, 2, 1)], [("t", int), ("x", int), ("p", int)])
    return training.spikes_from_events([sample], **({"sensor_size": (3, 1, 2)} | kwargs))


def _read_shd(n):
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "shd.h5"
        with h5py.File(path, "w") as file:
            file["labels"] = np.zeros(1, int)
            for name, kind, values in (("times", float, [0.5]), ("units", int, [2])):
                file.create_dataset(f"spikes/{name}", 1, h5py.vlen_dtype(kind))[0] = values
        return training.read_shd(path, n=n)


def _plain():
    """Without Poisson input, which the reference of gradients and batches do not take."""
    net = small()
    net.drives.clear()
    return net


def _balanced():
    return sp.balanced_network(20, sp.QIF(tau_m=10.0), outdegree=5, rate=5.0, seed=1)


@functools.cache
def _perturbed():
    return sp.perturb(_balanced(), size=1e-6, n=2, duration=20.0, warmup=10.0)


def _injected(**kwargs):
    sim = sp.Simulation(small())
    sim.inject("in", **({"times": [3.0, 4.0], "ids": [0, 1]} | kwargs))
    return sim.run(20.0)


def _reloaded(**kwargs):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "state.h5")
        sp.Simulation(small()).save(path)
        return sp.Simulation.load(path, small(), engine="lookahead", **kwargs)


def _back(**kwargs):
    record = sp.Record(V={"E": True}, V_times=[1.0])
    res = _plain().run(n_spikes=1, tape=True, record=record)
    return res.backward(**({"dL_dtimes": [1.0]} | kwargs)).weight_sum[0]


def _batch(**kwargs):
    setting = {name: kwargs.pop(name) for name in ("n_threads", "seed") if name in kwargs}
    inputs = kwargs.pop("padded", None)
    if inputs is None:
        inputs = [(kwargs.pop("times", [1.0, 2.0]), kwargs.pop("ids", [0, 1]))]
    return sp.BatchSimulation(_plain(), **setting).run(inputs, **({"duration": 30.0} | kwargs))


def _batch_back(dL_dtimes):
    done = sp.run_batch(_plain(), [([1.0], [0])], 30.0, tape=True)
    assert done.n_spikes == len(dL_dtimes)
    return done.backward(dL_dtimes).weight_sum[0]


def _checked(**kwargs):
    return sp.check_gradients(_plain(), **({"duration": 8.0, "parameters": ["I_e"]} | kwargs)).tolerance


def _swept(**kwargs):
    def build(x):  # workers of a pool may not find this module
        import sparseprop as sp

        return sp.balanced_network(20, sp.QIF(tau_m=10.0), outdegree=5, rate=5.0, seed=1)

    stop = {} if {"duration", "n_spikes"} & set(kwargs) else {"duration": 20.0}
    with concurrent.futures.ThreadPoolExecutor(1) as here:
        here = {} if "workers" in kwargs else {"executor": here}
        return sp.sweep(build, {"x": [1]}, **here, **stop, **kwargs)["rate"]


def _edges(**kwargs):
    net = sp.Network(seed=1)
    E = net.add(2, sp.LIF(tau_m=10.0))
    return net.connect(E, E, sp.edges(**({"sources": [0, 1], "targets": [1, 0]} | kwargs)), weight=0.1)


# Of each callable: how it is called, and for each of its numbers and arrays the unit ("ms", "Hz", or None: it has none,
# or one that is the user's) and a value.
CALLS = {
    "Network.__init__": (sp.Network, {"seed": (None, 1)}),
    "Network.add": (added(sp.LIF(tau_m=10.0, I_e=1.5)), {"n": (None, 3), "V": (None, [0.1, 0.2, 0.3])}),
    "Network.add, phase": (added(sp.LIF(tau_m=10.0, I_e=1.5)), {"phase": (None, [0.1, 0.2, 0.3])}),
    "Network.add, currents": (added(sp.LIFExp(tau_m=10.0, tau_syn=2.0)), {"I_syn": (None, [0.1, 0.2, 0.3])}),
    "Network.connect": (of(connected, weight=0.1), {"delay": ("ms", [1.0, 2.0, 1.5]), "port": (None, 1)}),
    "Network.connect, weight": (connected, {"weight": (None, [1.0, 2.0, 1.5])}),
    "Network.drive": (of(driven, weight=0.1), {"port": (None, 1)}),
    "Network.drive, weight": (driven, {"weight": (None, [1.0, 2.0, 1.5])}),
    "Network.run": (ran, {"duration": ("ms", 30.0)}),
    "Network.run, more": (of(ran, duration=30.0), {"n_spikes": (None, 5), "seed": (None, 3), "n_threads": (None, 1)}),
    "Network.run, every": (checkpointed, {"every": ("ms", 2.0)}),
    "Network.engine_input": (method(small, "engine_input"), {"seed": (None, 1)}),
    "Simulation.__init__": (of(sp.Simulation, net=small()), {"seed": (None, 1), "n_threads": (None, 1)}),
    "Simulation.run": (method(lambda: sp.Simulation(small()), "run"), {"duration": ("ms", 30.0)}),
    "Simulation.run, more": (method(lambda: sp.Simulation(small()), "run", duration=20.0), {"n_spikes": (None, 3)}),
    "Simulation.run, every": (checkpointed, {"every": ("ms", 2.0)}),
    "Simulation.inject": (_injected, {"times": ("ms", [3.0, 4.0]), "ids": (None, [0, 1])}),
    "Simulation.set_drive": (set_drive, {"values": ("Hz", 500.0)}),
    "Simulation.set_state": (set_state, {"V": (None, [0.1, 0.2, 0.3, np.nan, np.nan])}),
    "Simulation.set_state, times": (set_state, {"time_since_spike": ("ms", [1.0, 2.0, 3.0, 4.0, 5.0])}),
    "Simulation.set_state, dict": (lambda V: set_state(V={"E": V}), {"V": (None, [0.1, 0.2, 0.3])}),
    "Simulation.load": (_reloaded, {"n_threads": (None, 1)}),
    "Result.between": (method(spikes, "between"), {"t0": ("ms", 10.0), "t1": ("ms", 200.0)}),
    "Result.backward": (_back, {"dL_dtimes": (None, [1.0]), "dL_dV": (None, [[1.0, 1.0, 1.0]]),
                                                   "n_threads": (None, 1)}),
    "Record.__init__": (of(sp.Record, V=[0], I_syn=[0], V_times=1.0, I_syn_times=1.0), {"bins": ("ms", 2.0)}),
    "Record.__init__, V": (of(sp.Record, V=[0]), {"V_times": ("ms", [1.0, 2.0])}),
    "Record.__init__, every": (of(sp.Record, V=[0]), {"V_times": ("ms", 2.0)}),
    "Record.__init__, ids": (of(sp.Record, V_times=1.0), {"V": (None, [0, 1])}),
    "Record.__init__, I": (of(sp.Record, I_syn=[0]), {"I_syn_times": ("ms", [1.0, 2.0])}),
    "Record.__init__, I ids": (of(sp.Record, I_syn_times=1.0), {"I_syn": (None, [0, 1])}),
    "Truncated.__init__": (sp.Truncated, {"duration": ("ms", 50.0), "n_spikes": (None, 100)}),
    "Record.__init__, spikes": (lambda ids: sp.Record(spikes={"E": ids}), {"ids": (None, [0, 1])}),
    "load": (loaded, {"t_start": ("ms", 0.5), "t_stop": ("ms", 7.0), "size": (None, 4)}),
    "SpikeSource.__init__": (of(sp.SpikeSource), {"times": ("ms", [1.0, 2.0]), "ids": (None, [0, 1])}),
    "PoissonSource.__init__": (of(sp.PoissonSource), {"rate": ("Hz", [5.0, 7.0]), "times": ("ms", [0.0, 2.0])}),
    "poisson": (of(sp.poisson), {"rate": ("Hz", [5.0, 7.0]), "times": ("ms", [0.0, 2.0])}),
    "steps": (of(sp.steps), {"times": ("ms", [0.0, 2.0]), "values": (None, [5.0, 7.0])}),
    "fixed_indegree": (sp.fixed_indegree, {"k": (None, 2)}),
    "fixed_outdegree": (sp.fixed_outdegree, {"k": (None, 2)}),
    "fixed_total_number": (sp.fixed_total_number, {"n": (None, 2)}),
    "pairwise_bernoulli": (sp.pairwise_bernoulli, {"p": (None, 0.2)}),
    "edges": (_edges, {"sources": (None, [0, 1]), "targets": (None, [1, 0])}),
    "normal": (sp.normal, {"mean": (None, 1.0), "std": (None, 0.1), "low": (None, 0.0), "high": (None, 2.0)}),
    "lognormal": (sp.lognormal, {"mu": (None, 1.0), "sigma": (None, 0.1), "low": (None, 0.5), "high": (None, 9.0)}),
    "uniform": (sp.uniform, {"low": (None, 1.0), "high": (None, 2.0)}),
    "balanced_network": (of(sp.balanced_network, model=sp.LIF(tau_m=10.0)),
                         {"n": (None, 20), "outdegree": (None, 5), "j0": (None, 1.0), "rate": ("Hz", 2.0),
                          "seed": (None, 1)}),
    "calibrate_rate": (lambda **kw: sp.calibrate_rate(_balanced(), **kw), {"target": ("Hz", 5.0), "tol": (None, 0.5)}),
    "run_batch": (_batch, {"duration": ("ms", 20.0), "times": ("ms", [1.0, 2.0]),
                                              "ids": (None, [0, 1]), "n_threads": (None, 1), "seed": (None, 1)}),
    "BatchSimulation.__init__": (lambda **kw: sp.BatchSimulation(_plain(), **kw), {"n_threads": (None, 1),
                                                                                   "seed": (None, 1)}),
    "BatchSimulation.run": (_batch, {"duration": ("ms", 20.0), "padded": ("ms", [[1.0, np.inf]])}),
    "BatchResult.backward": (_batch_back, {"dL_dtimes": (None, [1.0] * 5)}),
    "BatchResult.spike_table": (method(batch, "spike_table", population="E"), {"n_spikes": (None, 2)}),
    "check_gradients": (_checked,
                        {"duration": ("ms", 8.0), "seed": (None, 1), "tolerance": (None, 1e-6), "most": (None, 3),
                         "difference": (None, 1e-6)}),
    "check_gradients, n": (lambda **kw: sp.check_gradients(_plain(), **kw), {"n_spikes": (None, 3)}),
    "sweep": (_swept, {"duration": ("ms", 20.0), "n_spikes": (None, 5), "workers": (None, 1)}),
    "perturb": (lambda **kw: sp.perturb(_balanced(), **({"size": 1e-6, "n": 1, "duration": 20.0, "warmup": 10.0} | kw)),
                {"size": (None, [1e-6]), "n": (None, 1), "duration": ("ms", 20.0), "warmup": ("ms", 10.0),
                 "n_times": (None, 5), "seed": (None, 1)}),
    "Perturbation.rates": (lambda **kw: _perturbed().rates(**kw), {"low": (None, 1e-7), "high": (None, 1e-3)}),
    "lyapunov_spectrum": (lambda **kw: sp.lyapunov_spectrum(_balanced(), **({"n_exponents": 2, "n_spikes": 60} | kw)),
                          {"n_exponents": (None, 2), "n_spikes": (None, 60), "seed": (None, 1),
                           "n_threads": (None, 1)}),
    "lyapunov_spectrum, times": (lambda **kw: sp.lyapunov_spectrum(_balanced(), n_exponents=2, **kw),
                                 {"duration": ("ms", 100.0)}),
    "lyapunov_spectrum, warmup": (lambda **kw: sp.lyapunov_spectrum(_balanced(), n_exponents=2, n_spikes=60, **kw),
                                  {"warmup": (None, 20)}),
    "lyapunov_spectrum, every": (
        lambda **kw: sp.lyapunov_spectrum(_balanced(), n_exponents=2, n_spikes=60, **kw),
        {"reorthonormalise": (None, 10)}),
    "dynamics.Lyapunov.__init__": (lambda **kw: sp.dynamics.Lyapunov(_balanced(), **kw),
                                   {"n_exponents": (None, 2), "every": (None, 5), "seed": (None, 1),
                                    "n_threads": (None, 1)}),
    "dynamics.Lyapunov.__init__, ms": (lambda **kw: sp.dynamics.Lyapunov(_balanced(), 2, **kw),
                                       {"every_ms": ("ms", 5.0)}),
    "dynamics.Lyapunov.run": (lambda **kw: sp.dynamics.Lyapunov(_balanced(), 2, every=5).run(**kw),
                              {"duration": ("ms", 50.0), "n_spikes": (None, 30)}),
    "dynamics.rate_lyapunov": (of(lambda **kw: sp.dynamics.rate_lyapunov(
                                   **({"n": 5, "duration": 200.0, "warmup": 10.0, "dt": 1.0} | kw))),
                               {"g": (None, 2.0), "n": (None, 5), "n_exponents": (None, 2), "tau": ("ms", 10.0),
                                "duration": ("ms", 200.0), "warmup": ("ms", 10.0), "dt": ("ms", 1.0), "seed": (None, 1),
                                }),
    "dynamics.rate_lyapunov, weights": (lambda **kw: sp.dynamics.rate_lyapunov(duration=200.0, warmup=5.0, **kw),
                                        {"weights": (None, np.eye(3))}),
    "analysis.SpikeTrains.__init__": (sp.analysis.SpikeTrains,
                                      {"times": ("ms", [1.0, 2.0]), "ids": (None, [0, 1]), "n": (None, 3),
                                       "t_start": ("ms", 0.0), "t_stop": ("ms", 9.0), "recorded": (None, [0, 1])}),
    "analysis.covariance": (sources(sp.analysis.covariance), {"bin_width": ("ms", 5.0)}),
    "analysis.correlation_coefficient": (sources(sp.analysis.correlation_coefficient), {"bin_width": ("ms", 5.0)}),
    "analysis.mean_correlation": (sources(sp.analysis.mean_correlation), {"bin_width": ("ms", 5.0)}),
    "analysis.cross_correlation_histogram": (sources(sp.analysis.cross_correlation_histogram),
                                             {"bin_width": ("ms", 5.0), "max_lag": ("ms", 20.0)}),
    "analysis.spike_counts": (sources(sp.analysis.spike_counts), {"bin_width": ("ms", 5.0)}),
    "analysis.time_histogram": (sources(sp.analysis.time_histogram), {"bin_width": ("ms", 5.0)}),
    "analysis.fano_factor": (sources(sp.analysis.fano_factor), {"window": ("ms", 50.0)}),
    "analysis.van_rossum_distance": (sources(sp.analysis.van_rossum_distance), {"tau": ("ms", 5.0)}),
    "analysis.victor_purpura_distance": (sources(sp.analysis.victor_purpura_distance), {"cost_factor": ("1/ms", 0.1)}),
    "analysis.isi_histogram": (sources(sp.analysis.isi_histogram),
                               {"bin_width": ("ms", 5.0), "longest": ("ms", 50.0)}),
    "analysis.isi_histogram, n": (sources(sp.analysis.isi_histogram), {"n_bins": (None, 5)}),
    "analysis.lvr": (sources(sp.analysis.lvr), {"R": ("ms", 5.0)}),
    "analysis.power_spectrum": (sources(sp.analysis.power_spectrum), {"bin_width": ("ms", 5.0),
                                                                      "n_segments": (None, 2)}),
    "analysis.power_spectrum, f": (sources(sp.analysis.power_spectrum), {"frequency_resolution": ("Hz", 10.0)}),
    "analysis.synchrony_index": (sources(sp.analysis.synchrony_index), {"bin_width": ("ms", 5.0)}),
    "analysis.spike_time_tiling_coefficient": (sources(sp.analysis.spike_time_tiling_coefficient), {"dt": ("ms", 5.0)}),
    "analysis.spike_contrast": (sources(sp.analysis.spike_contrast), {"min_bin": ("ms", 5.0),
                                                                      "shrink_factor": (None, 0.9)}),
    "analysis.plot_time_histogram": (sources(sp.analysis.plot_time_histogram), {"bin_width": ("ms", 5.0)}),
    "analysis.plot_isi": (sources(sp.analysis.plot_isi), {"bin_width": ("ms", 5.0), "longest": ("ms", 50.0)}),
    "analysis.plot_isi, n": (sources(sp.analysis.plot_isi), {"n_bins": (None, 5)}),
    "analysis.plot_distribution": (sources(sp.analysis.plot_distribution), {"n_bins": (None, 5)}),
    "analysis.plot_power_spectrum": (sources(sp.analysis.plot_power_spectrum), {"bin_width": ("ms", 5.0),
                                                                                "n_segments": (None, 2)}),
    "analysis.plot_power_spectrum, f": (sources(sp.analysis.plot_power_spectrum),
                                        {"frequency_resolution": ("Hz", 10.0)}),
    "analysis.plot_cross_correlation": (sources(sp.analysis.plot_cross_correlation),
                                        {"bin_width": ("ms", 5.0), "max_lag": ("ms", 20.0)}),
    "analysis.plot_matrix": (sp.analysis.plot_matrix, {"matrix": (None, np.eye(3))}),
    "view": (viewed, {"t_start": ("ms", 5.0), "t_stop": ("ms", 50.0), "max_spikes": (None, 10**6)}),
    "Result.plot_raster": (raster, {"t_start": ("ms", 5.0), "t_stop": ("ms", 50.0), "bin_width": ("ms", 5.0),
                                    "neurons": (None, 2), "max_markers": (None, 100)}),
    "training.Adam.__init__": (training.Adam, {"lr": (None, 1e-3), "decay": (None, 0.9), "betas": (None, (0.9, 0.99)),
                                               "epsilon": (None, 1e-8), "clip": (None, 2.0)}),
    "training.Convolution.__init__": (lambda **kw: training.Convolution(
                                          **({"input_shape": [1, 5, 5], "channels": 2, "kernel_size": 3} | kw)),
                                      {"input_shape": (None, [1, 6, 6]), "channels": (None, 3),
                                       "kernel_size": (None, [3, 2]), "stride": (None, 2), "padding": (None, 1)}),
    "training.CosineDecay.__init__": (of(training.CosineDecay, epochs=5),
                                      {"lr": (None, 0.1), "lr_end": (None, 0.01), "warmup": (None, 2)}),
    "training.CosineDecay.__init__, epochs": (of(training.CosineDecay, lr=0.1), {"epochs": (None, 5)}),
    "training.EarlyStopping.__init__": (training.EarlyStopping, {"patience": (None, 3), "min_delta": (None, 0.1)}),
    "training.StepDecay.__init__": (of(training.StepDecay, epochs=2), {"lr": (None, 0.1), "factor": (None, 0.5)}),
    "training.StepDecay.__init__, epochs": (of(training.StepDecay, lr=0.1), {"epochs": (None, [2, 3])}),
    "training.FirstSpikeCrossEntropy.__init__": (training.FirstSpikeCrossEntropy,
                                                 {"tau": ("ms", 0.5), "alpha": (None, 0.01), "tau_late": ("ms", 6.0)}),
    "training.Flossing.__init__": (training.Flossing, {"k": (None, 2), "strength": (None, 1.0), "seed": (None, 1)}),
    "training.FunctionLoss.__init__": (of(training.FunctionLoss, function=print), {"V_times": ("ms", [1.0, 2.0])}),
    "training.MembraneCrossEntropy.__init__": (of(training.MembraneCrossEntropy), {"times": ("ms", [1.0, 2.0]),
                                                                                   "scale": (None, 2.0)}),
    "training.PeakMargin.__init__": (of(training.PeakMargin, population="output"),
                                     {"times": ("ms", [1.0, 2.0]), "strength": (None, 0.1), "margin": (None, 0.2),
                                      "share": (None, 0.1)}),
    "training.SpikeCountCrossEntropy.__init__": (training.SpikeCountCrossEntropy,
                                                 {"scale": (None, 2.0), "until": ("ms", 30.0), "edge": ("ms", 3.0)}),
    "training.SpikeCountPenalty.__init__": (of(training.SpikeCountPenalty, population="output"),
                                            {"low": (None, 1.0), "high": (None, 2.0), "strength": (None, 0.1),
                                             "until": ("ms", 30.0), "edge": ("ms", 3.0)}),
    "training.SpikeTimeError.__init__": (training.SpikeTimeError, {"unit": ("ms", 2.0), "neurons": (None, [0, 1])}),
    "training.VanRossumDistance.__init__": (training.VanRossumDistance,
                                            {"tau": ("ms", 2.0), "neurons": (None, [0, 1])}),
    "training.Trainer.__init__": (trained, {"duration": ("ms", 30.0), "batch_size": (None, 2), "seed": (None, 1),
                                            "n_threads": (None, 1), "delay_lr": (None, 1.0)}),
    "training.Trainer.__init__, bounds": (trained, {"min_weight": (None, -1e3), "max_weight": (None, 1e3)}),
    "training.Trainer.__init__, delays": (trained, {"min_delay": ("ms", 0.5), "max_delay": ("ms", 5.0)}),
    "training.latencies": (training.latencies, {"values": (None, [[0.1, 0.2]]), "first": ("ms", 1.0),
                                                "last": ("ms", 20.0), "silent_below": (None, 0.05),
                                                "bias": ("ms", 2.0)}),
    "training.layered_network": (of(training.layered_network, model=sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=1),
                                 {"sizes": (None, [2, 3, 2]), "weight_mean": (None, 0.1), "weight_std": (None, 0.1),
                                  "delay": ("ms", 1.5)}),
    "training.recurrent_network": (of(lambda **kw: training.recurrent_network(
                                       **({"n_inputs": 2, "n": 4, "indegree": 2, "seed": 1} | kw),
                                       model=sp.LIFExp(tau_m=20.0, tau_syn=5.0))),
                                   {"n_inputs": (None, 2), "n": (None, 4), "indegree": (None, 2),
                                    "input_indegree": (None, 1), "weight_std": (None, 0.1), "input_mean": (None, 0.1),
                                    "input_std": (None, 0.1), "delay": ("ms", 1.5), "seed": (None, 1)}),
    "training.record_for": (of(training.record_for, net=layers()), {"duration": ("ms", 20.0)}),
    "training.SpikeData.__init__": (lambda **kw: training.SpikeData(
                                        **({"times": [1.0, 2.0], "ids": [0, 1], "offsets": [0, 1, 2]} | kw)),
                                    {"times": ("ms", [1.0, 3.0]), "ids": (None, [1, 0]), "offsets": (None, [0, 2, 2]),
                                     "labels": (None, [1, 2]), "n": (None, 5)}),
    "training.read_shd": (_read_shd, {"n": (None, 5)}),
    "training.spikes_from_events": (_events, {"sensor_size": (None, [3, 1, 2]), "labels": (None, [1])}),
    "training.spikes_from_raster": (of(lambda **kw: training.spikes_from_raster(
                                        **({"raster": [[[1, 0, 1]]], "dt": 1.0} | kw))),
                                    {"raster": (None, [[[1, 0, 1]]]), "dt": ("ms", 2.0), "first": ("ms", 3.0),
                                     "time_axis": (None, -1)}),
    "training.yin_yang": (training.yin_yang, {"n": (None, 5), "seed": (None, 1)}),
    "training.spoken_digits": (lambda **kw: training.spoken_digits(**({"n": 2, "seed": 1} | kw)),
                               {"n": (None, 3), "seed": (None, 2), "speakers": (None, [1, 2])}),
    "training.digits": (training.digits, {"n_test": (None, 5), "seed": (None, 1)}),
}  # fmt: skip


# What must hold of each --------------------------------------------------------------------------------------------


def flat(thing, depth=0):
    """Numbers and texts in a thing, for comparison."""
    if isinstance(thing, sp.Result):
        counts = thing.counts or {}
        return flat([thing.t_start, thing.t_stop, thing.times, thing.ids, thing.V, list(counts.values())])
    if isinstance(thing, (matplotlib.axes.Axes, matplotlib.figure.Figure)):
        return flat(list(thing.dataLim.bounds)) if hasattr(thing, "dataLim") else []
    if isinstance(thing, dict):
        return [x for key in thing for x in flat(thing[key], depth + 1)]
    if isinstance(thing, (list, tuple)):
        return [x for part in thing for x in flat(part, depth + 1)]
    if isinstance(thing, np.ndarray):
        return [float(x) if thing.dtype.kind in "iufb" else str(x) for x in thing.ravel().tolist()]
    if isinstance(thing, (int, float, np.number)):
        return [float(thing)]
    if depth < 4 and type(thing).__module__.startswith("sparseprop"):
        names = vars(thing) if hasattr(thing, "__dict__") else [n for n in dir(thing) if not n.startswith("_")]
        left_out = {"wall_time", "run_id", "header", "simulation"}
        return flat({n: getattr(thing, n) for n in names if not n.startswith("_") and n not in left_out}, depth + 1)
    return []


def same(a, b):
    a, b = flat(a), flat(b)
    assert [type(x) for x in a] == [type(x) for x in b]
    assert [x for x in a if isinstance(x, str)] == [x for x in b if isinstance(x, str)]
    numbers = [[x for x in each if isinstance(x, float)] for each in (a, b)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-9, abs=1e-9, nan_ok=True)


SCALES = {"ms": (1e-3, "s"), "Hz": (1e-3, "kHz")}
CASES = [
    pytest.param(function, {k: v for k, (_, v) in kwargs.items()}, name, unit, id=f"{what}-{name}")
    for what, (function, kwargs) in CALLS.items()
    for name, (unit, _) in kwargs.items()
]


def done(function, kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(**kwargs)
        finally:
            matplotlib.pyplot.close("all")


@pytest.mark.parametrize(("function", "kwargs", "name", "unit"), CASES)
def test_a_wrong_unit_is_refused(function, kwargs, name, unit):
    """A mass, alone and, where arrays are taken, in an array, in a list of masses, and as one number of several."""
    for make in LIBRARIES.values():
        try:
            quantity = make()
        except pytest.skip.Exception:
            continue
        value = kwargs[name]
        wrong = [quantity(value, "kg")]
        if isinstance(value, list):
            wrong.append([quantity(v, "kg") for v in value])
        for given in wrong:
            with pytest.raises(ParameterError, match="unit"):
                done(function, kwargs | {name: given})


@pytest.mark.parametrize(("function", "kwargs", "name", "unit"), [c for c in CASES if c.values[3] in SCALES])
def test_times_and_rates_are_converted(function, kwargs, name, unit):
    factor, other = SCALES[unit]
    value = kwargs[name]
    plain = done(function, kwargs)
    for make in LIBRARIES.values():
        try:
            quantity = make()
        except pytest.skip.Exception:
            continue
        given = (
            quantity(np.asarray(value) * factor, other) if isinstance(value, list) else quantity(value * factor, other)
        )
        same(done(function, kwargs | {name: given}), plain)


@pytest.mark.parametrize("model", models.MODELS.values(), ids=lambda model: model.__name__)
def test_parameters_of_models(model, quantity):
    for name, parameter in model.table.items():
        value = model.example.get(name, 1.0)
        for wrong in (quantity(value, "kg"), quantity([value] * 3, "kg"), [quantity(value, "kg")] * 5):
            with pytest.raises(ParameterError, match="unit"):
                model(**(model.example | {name: wrong}))
        if parameter.unit == "ms":
            made = model(**(model.example | {name: quantity(0.002, "s")}))
            assert getattr(made, name) == pytest.approx(2.0, rel=1e-15)


LIF = sp.LIF(tau_m=10.0)


def _one_population(n=5, model=LIF):
    net = sp.Network(seed=1)
    return net, net.add(n, model, name="E")


def test_times_and_rates_are_converted_wherever_they_enter(quantity):
    net, E = _one_population(3, sp.LIF(tau_m=quantity(0.01, "s"), t_ref=quantity([0.001, 0.002, 0.0], "s"), I_e=1.5))
    assert E.model.tau_m == pytest.approx(10.0, rel=1e-15) and E.model.t_ref == pytest.approx([1.0, 2.0, 0.0])
    exp = sp.LIFExp(tau_m=10.0, tau_syn=(quantity(0.002, "s"), quantity([0.001, 0.002, 0.003], "s")))
    assert exp.tau_syn[0] == pytest.approx(2.0) and exp.tau_syn[1] == pytest.approx([1.0, 2.0, 3.0])
    source = sp.SpikeSource(quantity([0.1, 0.2], "s"), [0, 0])
    assert source.times.tolist() == [100.0, 200.0]
    assert sp.SpikeSource([quantity(0.1, "s"), quantity(200.0, "ms")], [0, 0]).times.tolist() == [100.0, 200.0]
    assert sp.poisson(quantity(2.0, "kHz")).rate == 2000.0
    assert sp.poisson(quantity([2.0, 3.0], "kHz")).rate.tolist() == [2000.0, 3000.0]
    rates = sp.poisson(quantity([2.0, 3.0], "kHz"), times=quantity([0.0, 0.1], "s"))
    assert rates.rate.tolist() == [[2000.0], [3000.0]] and rates.times.tolist() == [0.0, 100.0]
    assert sp.steps(quantity([0.1], "s"), [1.0]).times.tolist() == [100.0]
    W = np.ones((3, 3)) - np.eye(3)
    for delay in (quantity(0.0015, "s"), quantity(np.full(6, 0.0015), "s"), quantity(0.0015 * W, "s")):
        p = net.connect(E, E, W, delay=delay)
        assert np.all(np.asarray(p.delay) == pytest.approx(1.5))
        p.delay = delay
        assert np.all(np.asarray(p.delay) == pytest.approx(1.5))
    whole = net.run(quantity(0.02, "s"))
    assert whole.t_stop == 20.0
    part = whole.between(quantity(0.005, "s"), quantity(10.0, "ms"))
    assert (part.t_start, part.t_stop) == (5.0, 10.0)
    assert training.spikes_from_raster([[[1, 1]]], quantity(0.001, "s"), first=quantity(0.002, "s")).tolist() == [
        [[2, 3]]
    ]
    loss = training.FirstSpikeCrossEntropy(tau=quantity(0.002, "s"), tau_late=quantity(0.02, "s"))
    assert (loss.tau, loss.tau_late, training.VanRossumDistance(tau=quantity(0.02, "s")).tau) == (2.0, 20.0, 20.0)
    record = sp.Record(bins=quantity(0.001, "s"), V=[0], V_times=quantity([0.001, 0.002], "s"))
    assert record.bins == 1.0 and record.V_times.tolist() == [1.0, 2.0]
    assert sp.LIF(tau_m=10.0, I_e=quantity([1.5, 2.0], "dimensionless")).I_e.tolist() == [1.5, 2.0]


def test_other_units_are_refused_wherever_they_enter(quantity):
    net, E = _one_population(3)
    p = net.connect(E, E, sp.all_to_all(), weight=0.1)
    mV, ms = quantity(2.0, "mV"), quantity([1.0, 2.0, 3.0], "ms")
    calls = [
        *(lambda name=name, value=value: sp.LIF(**{"tau_m": 10.0, name: value})
          for name in ("tau_m", "t_ref", "V_th", "I_e", "E_L") for value in (mV, [mV] * 3)),
        lambda: sp.LIF(tau_m=10.0, I_e=ms),
        lambda: sp.poisson(ms),
        lambda: sp.poisson(quantity(2.0, "ms")),
        lambda: sp.steps(quantity([1.0], "Hz"), [1.0]),
        lambda: sp.steps([1.0, 2.0, 3.0], ms),
        lambda: sp.SpikeSource([1.0], quantity([1.0], "ms")),
        lambda: net.add(3, LIF, V=ms),
        lambda: net.add(3, sp.LIFExp(tau_m=10.0, tau_syn=2.0), I_syn=ms),
        lambda: net.add(3, sp.LIF(tau_m=10.0, I_e=2.0), phase=ms / 10.0),
        lambda: net.connect(E, E, sp.all_to_all(), weight=mV),
        lambda: net.connect(E, E, quantity(np.ones((3, 3)), "mV"), allow_autapses=True),
        lambda: net.connect(E, E, sp.all_to_all(), weight=0.1, delay=mV),
        lambda: net.connect(E, E, sp.edges(ms, [0, 1, 2]), weight=0.1),
        lambda: net.drive(E, sp.poisson(1.0), weight=ms),
        lambda: setattr(p, "weight", quantity(np.ones(6), "mV")),
        lambda: setattr(p, "delay", quantity(np.ones(6), "mV")),
        lambda: net.run(mV),
        lambda: sp.Simulation(net).set_state(V=ms),
        lambda: sp.Simulation(net).set_state(V=[quantity(2.0, "ms")] * 3),
        lambda: sp.Simulation(net).set_state(V={"E": quantity(2.0, "ms")}),
        lambda: net.run(10.0, n_spikes=quantity(2.0, "ms")),
        lambda: sp.balanced_network(10, LIF, 5, rate=quantity(2.0, "ms")),
        lambda: sp.fixed_indegree(quantity(2.0, "ms")),
        lambda: sp.normal(mV, 1.0),
    ]  # fmt: skip
    for k, call in enumerate(calls):
        with pytest.raises(ParameterError, match="unit") as caught:
            call()
        assert len(str(caught.value)) < 500, k


def test_spike_trains_of_neo_are_read_in_their_unit():
    neo, pq = pytest.importorskip("neo"), pytest.importorskip("quantities")
    train = neo.SpikeTrain([0.1, 0.2] * pq.s, t_stop=1.0 * pq.s)
    assert sp.SpikeSource(train, [0, 0]).times.tolist() == [100.0, 200.0]
    signal = neo.AnalogSignal(np.ones((3, 2)) * pq.mV, sampling_rate=1.0 * pq.kHz)
    with pytest.raises(ParameterError, match="unit"):
        sp.steps([1.0, 2.0, 3.0], signal)


class Brian2Dimension:
    def __init__(self, **exponents):
        self.exponents = exponents

    def get_dimension(self, name):
        return self.exponents.get(name, 0.0)


class Brian2Quantity(np.ndarray):
    """As Brian2's, which are in SI units."""

    def has_same_dimensions(self, other):
        raise NotImplementedError

    def get_best_unit(self):
        raise NotImplementedError


def test_quantities_of_brian2_are_converted():
    def brian2(values, **exponents):
        new = np.asarray(values, float).view(Brian2Quantity)
        new.dim = Brian2Dimension(**exponents)
        return new

    assert sp.SpikeSource(brian2([0.1, 0.002], time=1.0), [0, 0]).times.tolist() == [2.0, 100.0]
    assert sp.poisson(brian2(2000.0, time=-1.0)).rate == 2000.0
    for wrong in ({}, {"mass": 1.0, "length": 2.0, "time": -3.0, "current": -1.0}):
        with pytest.raises(ParameterError, match="unit"):
            sp.SpikeSource(brian2([0.1], **wrong), [0])


# Nothing is forgotten -----------------------------------------------------------------------------------------------

PREFIXES = {"": sp, "analysis.": sp.analysis, "dynamics.": sp.dynamics, "training.": training}
# What is made by the package, not by users; and what has its own test, or takes what another entry has.
MADE = {
    "BatchResult", "Result", "Gradients", "GradientReport", "GradientWarning", "LyapunovSpectrum", "Perturbation",
    "Population", "Projection", "SweepResult", "StopReason", "RateSpectrum", "CovariantVectors", "CrossCorrelation",
    "Histogram", "Intervals", "PowerSpectrum", "TimeHistogram", "Evaluation", "History", "Loss", "SilenceWarning",
    "Pseudospikes", "BestEpoch", *models.MODELS,
}  # fmt: skip
METHODS = {
    "Network": ("add", "connect", "drive", "run", "engine_input"),
    "Simulation": ("run", "inject", "set_drive", "set_state", "load"),
    "Result": ("between", "backward", "plot_raster"),
    "BatchSimulation": ("run",), "BatchResult": ("backward", "spike_table"), "Perturbation": ("rates",),
    "dynamics.Lyapunov": ("run",),
}  # fmt: skip
NUMERIC = re.compile(r"float|int\b|array|ndarray|distribution|number")
EXEMPT = {
    "Network.run": {"tape"}, "Simulation.run": {"tape"}, "Simulation.set_drive": {"drive"},  # not numbers
    "check_gradients": {"loss"},
    "Network.connect": {"rule_or_matrix"},  # matrices: below
    "Record.__init__": {"spikes"},  # there as ids
    "run_batch": {"inputs"}, "BatchSimulation.run": {"inputs"},  # there as times and ids, and padded
    "BatchResult.backward": {"dL_dV"},
    "Simulation.set_state": {"I_syn", "spikes_in_flight"},
    "dynamics.lyapunov_spectrum": {"reorthonormalise"},
    "training.Trainer.__init__": {"projections"},
    "training.layered_network": {"V", "seed"}, "training.recurrent_network": {"V"},
    "analysis.SpikeTrains.__init__": {"recorded"},
    "load": {"sizes"},
}  # fmt: skip


def public_callables():
    for prefix, module in PREFIXES.items():
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                yield f"{prefix}{name}", thing, thing
            elif inspect.isclass(thing) and name not in MADE:
                yield f"{prefix}{name}.__init__", thing, thing.__init__
            for method in METHODS.get(f"{prefix}{name}", ()):
                yield f"{prefix}{name}.{method}", getattr(thing, method), getattr(thing, method)


def numeric_parameters(documented, function):
    text = inspect.getdoc(documented) or ""
    found = re.findall(r"^((?:\w+, )*\w+) : (.*)$", text.partition("Returns\n")[0], re.MULTILINE)
    kinds = {name: kind for names, kind in found for name in names.split(", ")}
    return [p for p in inspect.signature(function).parameters if NUMERIC.search(kinds.get(p, ""))]


def test_every_numeric_parameter_is_in_the_table():
    there = {}
    for what, (_, kwargs) in CALLS.items():
        there.setdefault(what.partition(",")[0], set()).update(kwargs)
    missing = {}
    for what, documented, function in public_callables():
        plain = what.removeprefix("dynamics.")
        known = there.get(what, set()) | there.get(plain, set()) | EXEMPT.get(what, set())
        lacking = set(numeric_parameters(documented, function)) - known
        if lacking:
            missing[what] = sorted(lacking)
    assert not missing


def test_spikes_in_flight(quantity):
    def state(age):
        sim = sp.Simulation(small())
        sim.run(2.5)
        sim.set_state(spikes_in_flight=[(0, age)], keep_rest=True)
        return sim.state["spikes_in_flight"]["age"].tolist()

    assert state(quantity(5e-4, "s")) == pytest.approx(state(0.5), rel=1e-9)
    with pytest.raises(ParameterError, match="unit"):
        state(quantity(0.5, "kg"))


@pytest.mark.parametrize("as_list", [False, True])
def test_times_of_samples_and_targets_of_trainings(quantity, as_list):
    """What is cut into batches before somebody looks at it."""

    def loss(inputs, targets, duration):
        trainer = training.Trainer(layers(), training.SpikeTimeError(), duration=duration, n_threads=1)
        history = trainer.fit(inputs, targets, epochs=1)
        return [*history["loss"], *trainer.evaluate(inputs, targets).values()]

    def in_seconds(values):
        if as_list:
            return [quantity(1e-3 * np.array(row), "s") for row in values]
        return quantity(1e-3 * np.array(values), "s")

    inputs, targets = [[1.0, 2.0], [3.0, 1.0]], [[20.0, 30.0], [30.0, 20.0]]
    plain = loss(inputs, targets, 50.0)
    assert loss(in_seconds(inputs), in_seconds(targets), quantity(0.05, "s")) == pytest.approx(plain, rel=1e-9)
    for wrong in ((quantity(inputs, "kg"), targets), (inputs, quantity(targets, "kg")),
                  (inputs, [quantity(row, "kg") for row in targets])):  # fmt: skip
        with pytest.raises(ParameterError, match="unit"):
            loss(*wrong, 50.0)


def test_files_and_trains(quantity, tmp_path):
    from sparseprop.raster import RasterWriter

    with RasterWriter(tmp_path / "r.h5", [("E", 2)], header={}) as writer:
        with pytest.raises(ParameterError, match="unit"):
            writer.append(quantity([1.0], "kg"), [0])
        writer.append(quantity([0.001, 0.002], "s"), [0, 1])
        writer.close(t_stop=5.0)
    assert sp.load(tmp_path / "r.h5").times.tolist() == [1.0, 2.0]
    trains = (quantity([0.001, 0.002], "s"), [0, 1], 2, quantity(0.0, "s"), quantity(0.005, "s"))
    assert sp.analysis.rates(trains).tolist() == [200.0, 200.0]
    with pytest.raises(ParameterError, match="unit"):
        sp.analysis.rates((quantity([1.0], "kg"), [0], 1, 0.0, 5.0))


def test_constants_of_drifts_and_curves(quantity):
    with pytest.raises(ParameterError, match="unit"):
        sp.NumericalIF("-V + a", V_th=1.0, V_reset=0.0, constants={"a": quantity(2.0, "kg")})
    spectrum = sp.lyapunov_spectrum(_balanced(), n_exponents=2, n_spikes=60)
    with pytest.raises(ParameterError, match="unit"):
        spectrum.plot_convergence(which=quantity([0, 1], "kg"))
    with pytest.raises(ParameterError, match=r"which must be in \[0, 2\), got 2"):
        spectrum.plot_convergence(which=[2])


def test_matrices_and_what_is_within_lists(quantity):
    net = sp.Network(seed=1)
    E = net.add(3, sp.LIF(tau_m=10.0))
    W = np.ones((3, 3)) - np.eye(3)
    for call in (
        lambda: net.connect(E, E, quantity(W, "kg")),
        lambda: net.connect(E, E, W, delay=quantity(W, "kg")),
        lambda: setattr(net.connect(E, E, W), "weight", quantity(W, "kg")),
        lambda: sp.run_batch(_plain(), {"in": quantity(np.ones((1, 2)), "kg")}, 10.0),
        lambda: sp.run_batch(_plain(), [([quantity(1.0, "kg")], [0])], 10.0),
        lambda: sp.lognormal(quantity(1.0, "kg"), 1.0),
    ):
        with pytest.raises(ParameterError, match="unit"):
            call()
    assert np.all(net.connect(E, E, W, delay=quantity(1e-3 * W, "s")).delay == pytest.approx(1.0))
