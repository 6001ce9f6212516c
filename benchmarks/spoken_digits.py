"""How soon does a recurrent network learn spoken digits, by exact and by surrogate gradients?

256 LIFExp neurons with recurrent synapses, 700 sources, and 20 leaky readouts, whose potentials say the class, learn
words of `training.spoken_digits`, which are written to and read from a file of SHD's layout. snnTorch, if it is
installed (`pip install torch snntorch`), trains the same network in steps of time: the same synapses, initial weights,
time constants, delay (at least one step), loss, batches and optimiser, in float32, with the derivative of a fast
sigmoid in place of that of a step. Synapses that are not there are zeros in its matrices. Each contender has a process
of its own, one thread, and the same CPU time for training, in which snnTorch's rasters are not counted; after each
epoch it is tested on other samples, which is not counted either. Learning rates were chosen for each in short runs.

    python benchmarks/spoken_digits.py -o result.json
    python benchmarks/spoken_digits.py --seconds 600 --steps 4
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its idle threads would be counted

import numpy as np
from common import (
    Skip,
    in_process,
    markdown,
    memory,
    options_of,
    picture,
    report_head,
    save,
    skipped_without,
    version_of,
)
from surrogate import DenseWeights, binned, readout_kernel, snntorch_neurons

import sparseprop as sp
from sparseprop import training

DURATION, SCALE = 900.0, 10.0
# Readouts are read the more often the earlier it is: a spike that comes sooner counts more, and so a loss that wants
# more spikes of a neuron wants them sooner, which is what an exact gradient can do (loss shaping of Nowotny et al.).
TIMES = tuple((-300.0 * np.log(1.0 - np.arange(1, 31) / 31.0 * (1.0 - np.exp(-3.0)))).tolist())
NEURON, OUTPUT = sp.LIFExp(tau_m=20.0, tau_syn=10.0), sp.LIFExp(tau_m=50.0, tau_syn=10.0)
DELAY, BAND, INDEGREE = 1.0, 105, 20
QUICK = {"seconds": 5.0, "samples": 64, "tests": 32, "steps": [10.0], "neurons": 64}


def network(case):
    """Sources, recurrent neurons that hear a band of channels each, and readouts that do not fire."""
    n, draws = case["neurons"], np.random.default_rng(case["seed"])
    net = sp.Network(seed=case["seed"])
    source = net.add(700, sp.SpikeSource([], []), name="input")
    neurons = net.add(n, NEURON, name="recurrent", V=0.0)
    output = net.add(20, training.leaky_readout(OUTPUT), name="output", V=0.0)
    first = np.linspace(0, 700 - BAND, n).astype(np.int64)
    heard = [begin + np.sort(draws.choice(BAND, INDEGREE, replace=False)) for begin in first]
    band = sp.edges(np.concatenate(heard), np.repeat(np.arange(n), INDEGREE))
    net.connect(source, neurons, band, weight=sp.normal(0.14, 0.12))
    net.connect(neurons, neurons, sp.fixed_indegree(min(25, n - 1)), weight=sp.normal(0.0, 0.1), delay=DELAY)
    net.connect(neurons, output, sp.all_to_all(), weight=sp.normal(0.0, 0.1))
    return net


def settings(case):
    """Learning rate of a contender, its decay from epoch to epoch, samples of a batch."""
    return case["lr" if case["contender"] == "sparseprop" else "surrogate_lr"], case["decay"], case["batch"]


def train_exact(case, words, tests, note):
    """Ours, until the time is over."""
    net = network(case)
    loss = training.MembraneCrossEntropy(times=TIMES, scale=SCALE, reduce="mean")
    lr, decay, batch = settings(case)
    trainer = training.Trainer(
        net, loss, duration=DURATION, optimizer=training.Adam(lr=lr, decay=decay), batch_size=batch, n_threads=1,
        metrics={"hidden_spikes": lambda result, targets: result.spike_counts("recurrent").sum() / result.n_samples},
    )  # fmt: skip
    spent = 0.0

    def after(trainer):
        nonlocal spent
        spent += trainer.history.epochs[-1]["seconds"]
        done = trainer.evaluate(tests, tests.labels)
        note(spent, done["accuracy"], done["hidden_spikes"])
        return spent > case["seconds"]

    trainer.fit(words, words.labels, 10**6, callback=after, progress=False)


def train_surrogate(case, words, tests, note):
    """The same network by snnTorch, in steps of time."""
    with skipped_without("snntorch"):
        import snntorch
        import torch
    torch.set_num_threads(1)
    torch.manual_seed(case["seed"])
    net, step = network(case), case["step"]
    n_steps, late = round(DURATION / step), max(round(DELAY / step), 1)
    within, recurrent, out = (DenseWeights(torch, p) for p in net.projections)
    gain, advance = snntorch_neurons(snntorch, NEURON, step, case["slope"])
    kernel = readout_kernel(torch, OUTPUT, TIMES, step, n_steps).mean(dim=0)  # of the mean of what is read
    lr, decay, batch = settings(case)
    optimizer = torch.optim.Adam([within.values, recurrent.values, out.values], lr=lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)

    def forward(rasters):
        """(softmax's arguments of each sample, spikes of hidden neurons)."""
        size = rasters.shape[1]
        currents = gain * (rasters.reshape(-1, 700) @ within().T).reshape(n_steps, size, -1)
        back, spikes = gain * recurrent().T, []
        state = (torch.zeros_like(currents[0]), torch.zeros_like(currents[0]))
        for k in range(n_steps):
            current = currents[k] + spikes[k - late] @ back if k >= late else currents[k]
            fired, state = advance(current, state)
            spikes.append(fired)
        weighted = torch.einsum("t,tbn->bn", kernel, torch.stack(spikes))
        return SCALE * weighted @ out().T, float(sum(fired.sum().item() for fired in spikes))

    def raster(part):
        sample = np.repeat(np.arange(len(part)), part.counts)
        return torch.tensor(binned(part.times, sample, part.ids, (n_steps, len(part), part.n), step))

    def evaluate():
        right, n_spikes = 0, 0.0
        with torch.no_grad():
            for first in range(0, len(tests), 50):
                part = tests[first : first + 50]
                logits, fired = forward(raster(part))
                right, n_spikes = right + int((logits.argmax(1).numpy() == part.labels).sum()), n_spikes + fired
        return right / len(tests), n_spikes / len(tests)

    spent, order = 0.0, np.random.default_rng(case["seed"])
    while spent <= case["seconds"]:
        mixed = order.permutation(len(words))
        for first in range(0, len(words), batch):
            part = words[mixed[first : first + batch]]
            rasters, labels = raster(part), torch.tensor(np.array(part.labels))
            began = time.process_time()  # rasters are made before
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(forward(rasters)[0], labels).backward()
            optimizer.step()
            spent += time.process_time() - began
        schedule.step()
        note(spent, *evaluate())


def run_case(case):
    """One contender."""
    words, tests = (training.read_shd(case[name]) for name in ("words", "tests"))
    curve = []

    def note(seconds, accuracy, spikes):
        curve.append({"seconds": seconds, "accuracy": accuracy, "hidden_spikes": spikes})
        print(case["contender"], case["step"], curve[-1], file=sys.stderr, flush=True)

    try:
        (train_exact if case["contender"] == "sparseprop" else train_surrogate)(case, words, tests, note)
    except Skip as skip:
        return {**case, "skipped": str(skip)}
    versions = {name: version_of(name) for name in ("torch", "snntorch")}
    done = {"curve": curve, "ms_per_sample": 1e3 * curve[-1]["seconds"] / (len(curve) * len(words))}
    return {**case, **done, "versions": versions, "peak_memory_bytes": memory("VmHWM"), "load_average": os.getloadavg()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=150.0, help="of CPU for training, each (default: %(default)s)")
    parser.add_argument(
        "--steps", type=float, nargs="*", default=[10.0, 4.0, 1.0], metavar="MS", help="default: 10 4 1"
    )
    parser.add_argument("--samples", type=int, default=1000, help="for training (default: %(default)s)")
    parser.add_argument("--tests", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--neurons", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=0.02, help="of ours (default: %(default)s)")
    parser.add_argument("--surrogate-lr", type=float, default=0.01, help="of snnTorch (default: %(default)s)")
    parser.add_argument("--decay", type=float, default=0.95, help="of lr from epoch to epoch (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--slope", type=float, default=25.0, help="of snnTorch's fast sigmoid (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    question = "How soon does a recurrent network learn spoken digits, by exact and by surrogate gradients?"
    report = {**report_head("spoken_digits", question, seed=options.seed), "cases": []}
    names = ("seconds", "neurons", "lr", "surrogate_lr", "decay", "batch", "slope", "seed")
    shared = {name: getattr(options, name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for name, n, seed in (("words", options.samples, 1), ("tests", options.tests, 2)):
            shared[name] = str(pathlib.Path(folder) / f"{name}.h5")
            training.write_shd(shared[name], training.spoken_digits(n, seed))
        for contender, step in [("sparseprop", None), *(("snntorch", step) for step in options.steps)]:
            report["cases"].append(in_process(__file__, {**shared, "contender": contender, "step": step}))
            save(report, options.out)
    cases = report["cases"]
    print(markdown(*table(cases)))
    for case in cases:
        if "error" in case:
            print(f"\n{case['contender']}:\n{case['error']}", file=sys.stderr)
    curves = {}
    for case in cases:
        if "curve" in case:
            name = case["contender"] if case["step"] is None else f"{case['contender']}, {case['step']:g} ms"
            points = ((point["seconds"], 100.0 * point["accuracy"]) for point in case["curve"])
            curves[name] = tuple(zip(*points, strict=True))
    picture(options.out, {"accuracy on tests (%)": curves}, "CPU time of training (s)", "right (%)")
    return 1 if any("error" in case for case in cases) else 0


def table(cases):
    """Columns and rows: seconds until each level that somebody reaches."""
    best = max((point["accuracy"] for case in cases for point in case.get("curve", [])), default=0.0)
    levels = [level for level in (0.2, 0.4, 0.6, 0.8, 0.9, 0.95) if level <= best]
    columns = ["contender", "step (ms)", "CPU ms per sample", "epochs", "best (%)", "hidden spikes per sample"]
    columns += [f"seconds to {100 * level:.0f} %" for level in levels]
    rows = []
    for case in cases:
        start = [case["contender"], case["step"] or "exact"]
        if "curve" not in case:
            why = case.get("skipped") or case["error"].splitlines()[-1]
            rows.append([*start, why, *["-"] * (len(columns) - 3)])
            continue
        curve = case["curve"]
        there = [[point["seconds"] for point in curve if point["accuracy"] >= level] for level in levels]
        reached = max(point["accuracy"] for point in curve)
        row = [*start, f"{case['ms_per_sample']:.3g}", len(curve), f"{100 * reached:.1f}"]
        row += [f"{curve[-1]['hidden_spikes']:.0f}", *(f"{seconds[0]:.0f}" if seconds else "-" for seconds in there)]
        rows.append(row)
    return columns, rows


if __name__ == "__main__":
    sys.exit(main())
