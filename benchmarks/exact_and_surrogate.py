"""What do exact and surrogate gradients learn in the same CPU time, and how far do they point apart?

Yin-Yang, by LIFExp networks with one and with two hidden layers and leaky readouts, whose mean potential at 16
times says the class. Each is trained by our exact gradients, and by the surrogate gradients of snnTorch (fast sigmoid,
slope 25) and Norse (SuperSpike, alpha 100; steps of Euler), their defaults, if these are installed (`pip install torch
snntorch`, `pip install --no-deps norse`): the same initial weights, loss, batches, and CPU time on one thread, and
Adam, whose learning rate falls from epoch to epoch as the cosine of the time that is spent.
After training, weights are also put into our network: *run exactly* is their accuracy without steps of time.

Then angles, layer by layer, with the weights as drawn and after a training by exact gradients: between the gradient of
the loss of our run, which is exact, and that which each surrogate has of its own run in steps, for the same weights,
samples and loss. A run in steps is another one, its spikes come later, up to a step for each layer, and the loss is
another number, so that part of an angle is due to the steps and not to the surrogate: shorter steps tell how much. The
last row of each is a yardstick, the angle between the exact gradients of two halves of the samples.

    python benchmarks/exact_and_surrogate.py -o result.json
    python benchmarks/exact_and_surrogate.py --seconds 120 --steps 1 0.25
"""

import argparse
import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its idle threads would be counted

import numpy as np
from common import Skip, in_process, markdown, options_of, report_head, save, skipped_without, version_of
from surrogate import DenseWeights, binned, norse_neurons, readout_kernel, snntorch_neurons

import sparseprop as sp
from sparseprop import training

MODEL, DURATION, SCALE, BATCH = sp.LIFExp(tau_m=20.0, tau_syn=5.0), 50.0, 20.0, 32
# Readouts are read the more often the earlier it is, so that a spike that comes sooner counts more (spoken_digits.py).
TIMES = -20.0 * np.log(1.0 - np.arange(1, 17) / 17.0 * (1.0 - np.exp(-2.5)))
NETWORKS = {"5-120-3": [5, 120, 3], "5-60-60-3": [5, 60, 60, 3]}
LIBRARIES = ("snntorch", "norse")
QUICK = {"seconds": 0.5, "samples": 320, "tests": 200, "angle_samples": 40, "steps": [2.0], "networks": ["5-60-60-3"]}


def network(case):
    return training.layered_network(NETWORKS[case["network"]], MODEL, readout=True, seed=case["seed"])


def samples(n, seed):
    values, labels = training.yin_yang(n, seed)
    return training.latencies(values, 1.0, 25.0, bias=1.0), labels


def rate(case, spent):
    """The learning rate after so many seconds."""
    return case["lr"] * (0.5 + 0.5 * np.cos(np.pi * min(spent / case["seconds"], 0.98)))


def trainer_of(case, net):
    loss = training.MembraneCrossEntropy(times=TIMES, scale=SCALE, reduce="mean")
    metrics = {"hidden_spikes": lambda result, targets: result.n_spikes / result.n_samples}
    return training.Trainer(
        net, loss, duration=DURATION, optimizer=training.Adam(lr=case["lr"]), batch_size=BATCH, metrics=metrics,
        n_threads=1,
    )  # fmt: skip


class Steps:
    """A network of ours in steps of time, by snnTorch or Norse."""

    def __init__(self, net, library, step):
        with skipped_without(library):
            __import__(library)
            import torch
        torch.set_num_threads(1)
        self.torch, self.net, self.step, self.n_steps = torch, net, step, round(DURATION / step)
        self.weights = [DenseWeights(torch, p) for p in net.projections]
        if library == "snntorch":
            import snntorch

            self.gain, self.advance = snntorch_neurons(snntorch, MODEL, step, slope=25.0)
        else:
            self.gain, self.advance = norse_neurons(torch, MODEL, step, alpha=100.0)
        self.kernel = readout_kernel(torch, MODEL, TIMES, step, self.n_steps).mean(dim=0)  # of the mean of what is read

    def __call__(self, inputs):
        """(Arguments of the softmax, spikes of hidden neurons in all samples)."""
        torch, (n, sources) = self.torch, inputs.shape
        sample, ids = np.divmod(np.arange(n * sources), sources)
        spikes = torch.tensor(binned(inputs.ravel(), sample, ids, (self.n_steps, n, sources), self.step))
        total = 0.0
        for weights in self.weights[:-1]:
            currents, fired = self.gain * spikes @ weights().T, []
            state = (torch.zeros_like(currents[0]), torch.zeros_like(currents[0]))
            for current in currents:
                now, state = self.advance(current, state)
                fired.append(now)
            spikes = torch.stack(fired)
            total += float(spikes.detach().sum())
        return SCALE * torch.einsum("t,tbn->bn", self.kernel, spikes) @ self.weights[-1]().T, total

    def gradient(self, inputs, labels):
        """The loss, and its gradient by the synapses of each projection."""
        logits, _ = self(inputs)
        loss = self.torch.nn.functional.cross_entropy(logits, self.torch.tensor(labels))
        found = self.torch.autograd.grad(loss, [w.values for w in self.weights])
        return float(loss), [w.of_synapses(g) for w, g in zip(self.weights, found, strict=True)]

    def evaluate(self, inputs, labels):
        """(Accuracy, hidden spikes per sample)."""
        right = total = 0.0
        with self.torch.no_grad():
            for first in range(0, len(labels), 500):
                logits, spikes = self(inputs[first : first + 500])
                right, total = right + (logits.argmax(1).numpy() == labels[first : first + 500]).sum(), total + spikes
        return float(right) / len(labels), total / len(labels)

    def give_back(self):
        """Put its weights into our network."""
        for p, weights in zip(self.net.projections, self.weights, strict=True):
            p.weight = weights.of_synapses(weights.values)


# Training -------------------------------------------------------------------------------------------------------------


def train_exact(case, net, tests):
    trainer = trainer_of(case, net)
    inputs, labels = samples(case["samples"], 42)
    trainer.optimizer = training.Adam(lr=lambda epoch: rate(case, trainer.history["seconds"].sum() if epoch else 0.0))

    def is_over(trainer):
        return trainer.history["seconds"].sum() > case["seconds"]

    history = trainer.fit(inputs, labels, 10**6, callback=is_over, progress=False)
    done = trainer.evaluate(*tests)
    return len(history["seconds"]), float(history["seconds"].sum()), done["accuracy"], done["hidden_spikes"]


def train_surrogate(case, net, tests):
    steps = Steps(net, case["contender"], case["step"])
    torch, (inputs, labels) = steps.torch, samples(case["samples"], 42)
    optimizer = torch.optim.Adam([w.values for w in steps.weights], lr=case["lr"])
    order, spent, epochs = np.random.default_rng(case["seed"]), 0.0, 0
    while spent <= case["seconds"]:
        for group in optimizer.param_groups:
            group["lr"] = rate(case, spent)
        began = time.process_time()
        mixed = order.permutation(len(labels))
        for first in range(0, len(labels), BATCH):
            part = mixed[first : first + BATCH]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(steps(inputs[part])[0], torch.tensor(labels[part])).backward()
            optimizer.step()
        spent, epochs = spent + time.process_time() - began, epochs + 1
    steps.give_back()
    return epochs, spent, *steps.evaluate(*tests)


def train(case):
    """One contender: what it reaches, and what its weights do without steps of time."""
    net, tests = network(case), samples(case["tests"], 40)
    contender = train_exact if case["contender"] == "sparseprop" else train_surrogate
    epochs, seconds, accuracy, hidden_spikes = contender(case, net, tests)
    exactly = trainer_of(case, net).evaluate(*tests)
    return {
        "epochs": epochs,
        "ms_per_sample": 1e3 * seconds / (epochs * case["samples"]),
        "accuracy": accuracy,
        "hidden_spikes": hidden_spikes,
        "accuracy_run_exactly": exactly["accuracy"],
    }


# Angles ---------------------------------------------------------------------------------------------------------------


def exact_gradient(trainer, inputs, labels):
    """The loss, and its gradient by the synapses of each projection."""
    result = trainer.run(inputs, tape=True)
    evaluation = trainer.loss(result, labels)
    gradients = result.backward(evaluation.dL_dtimes, dL_dV=evaluation.dL_dV)
    return evaluation.value, [np.array(gradients.weight[p]) for p in trainer.network.projections]


def angles(gradients, others):
    """Degrees between two gradients, by layer."""
    pairs = zip(gradients, others, strict=True)
    cosines = [g @ h / max(np.sqrt((g @ g) * (h @ h)), 1e-300) for g, h in pairs]
    return [float(np.degrees(np.arccos(np.clip(c, -1.0, 1.0)))) for c in cosines]


def compare(case):
    """Angles between exact and surrogate gradients before and after a training by the exact ones."""
    net = network(case)
    trainer, found = trainer_of(case, net), []
    inputs, labels = samples(case["angle_samples"], 7)
    half = len(labels) // 2
    for when, epochs in (("as drawn", 0), (f"after {case['angle_epochs']} epochs", case["angle_epochs"])):
        trainer.fit(*samples(case["samples"], 42), epochs, progress=False)
        loss, exact = exact_gradient(trainer, inputs, labels)
        halves = [exact_gradient(trainer, inputs[part], labels[part])[1] for part in (slice(half), slice(half, None))]
        for library in LIBRARIES:
            for step in case["steps"]:
                row = {"when": when, "library": library, "step": step, "exact_loss": loss}
                try:
                    row["loss"], others = Steps(net, library, step).gradient(inputs, labels)
                    row["degrees"] = angles(exact, others)
                    row["length"] = [
                        float(np.linalg.norm(h) / np.linalg.norm(g)) for g, h in zip(exact, others, strict=True)
                    ]
                except Skip as skip:
                    row["skipped"] = str(skip)
                found.append(row)
        found.append({"when": when, "library": "two halves", "step": None, "degrees": angles(*halves)})
    return {"angles": found}


# All of it ------------------------------------------------------------------------------------------------------------


def run_case(case):
    """A training, or all angles of a network."""
    try:
        done = compare(case) if case["contender"] == "angles" else train(case)
    except Skip as skip:
        return {**case, "skipped": str(skip)}
    versions = {name: version_of(name) for name in ("torch", *LIBRARIES)}
    return {**case, **done, "versions": versions, "load_average": os.getloadavg()}


def rows_of_trainings(cases):
    for case in cases:
        start = [case["network"], case["contender"], case["step"] or "exact"]
        if "accuracy" not in case:
            yield [*start, case.get("skipped") or case["error"].splitlines()[-1], *["-"] * 4]
            continue
        percent = [f"{100 * case[name]:.2f}" for name in ("accuracy", "accuracy_run_exactly")]
        yield [*start, f"{case['ms_per_sample']:.3g}", case["epochs"], *percent, f"{case['hidden_spikes']:.1f}"]


def rows_of_angles(cases):
    for case in cases:
        for row in case.get("angles", []):
            start = [case["network"], row["when"], row["library"], row["step"] or "exact"]
            loss = f"{row['loss']:.3f} ({row['exact_loss']:.3f})" if "loss" in row else row.get("skipped", "-")
            length = ", ".join(f"{ratio:.2g}" for ratio in row.get("length", []))
            yield [*start, loss, ", ".join(f"{angle:.0f}" for angle in row.get("degrees", [])), length]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--seconds", type=float, default=60.0, help="of CPU for training, each (default: %(default)s)")
    parser.add_argument("--steps", type=float, nargs="+", default=[1.0, 0.25], metavar="MS", help="default: 1 0.25")
    parser.add_argument("--samples", type=int, default=5000, help="for training (default: %(default)s)")
    parser.add_argument("--tests", type=int, default=5000, help="default: %(default)s")
    parser.add_argument("--angle-samples", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--angle-epochs", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=0.01, help="of Adam (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    question = "What do exact and surrogate gradients learn in the same CPU time, and how far do they point apart?"
    report = {**report_head("exact_and_surrogate", question, seed=options.seed), "cases": []}
    names = ("seconds", "steps", "samples", "tests", "angle_samples", "angle_epochs", "lr", "seed")
    shared = {name: getattr(options, name) for name in names}
    runs = [("sparseprop", None), *((name, options.steps[0]) for name in LIBRARIES), ("angles", None)]
    for name in options.networks:
        for contender, step in runs:
            case = {**shared, "network": name, "contender": contender, "step": step}
            report["cases"].append(in_process(__file__, case))
            save(report, options.out)
    cases = report["cases"]
    columns = ["network", "gradients", "step (ms)", "CPU ms per sample", "epochs", "right (%)", "run exactly (%)"]
    columns += ["hidden spikes per sample"]
    print(markdown(columns, list(rows_of_trainings([case for case in cases if case["contender"] != "angles"]))))
    columns = ["network", "weights", "beside exact gradients", "step (ms)", "loss (exact)", "degrees by layer"]
    columns += ["length by layer, exact = 1"]
    print("\n" + markdown(columns, list(rows_of_angles(cases))))
    for case in cases:
        if "error" in case:
            print(f"\n{case['contender']}:\n{case['error']}", file=sys.stderr)
    return 1 if any("error" in case for case in cases) else 0


if __name__ == "__main__":
    sys.exit(main())
