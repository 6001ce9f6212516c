"""What does training cost, per sample, and how soon is Yin-Yang learnt?

Networks of 5-120-3 neurons on one thread, or as many as are given: Theta with pseudospikes and LIFExp with PeakMargin,
5000 samples (seed 42 of the published program), batches of 32, tested on 10,000 others after each epoch. The cost of a
sample (forward, backward, update, in CPU time) is the median over the last quarter of the epochs; *early* is that of
the first epoch, and *wall* the wall time of two more epochs. "Seconds to 97.5 %" is the CPU time of training alone
until the test accuracy is that for the first time. jaxsnn, if it is installed (`pip install jaxsnn`), trains its own
example with as many hidden neurons; its cost is the difference between more epochs and fewer, so that compilation is
not in it. Each contender has a process of its own.

    python benchmarks/train_yin_yang.py -o result.json
    python benchmarks/train_yin_yang.py --contenders Theta --epochs 10 --seeds 1 2 3
    python benchmarks/train_yin_yang.py --contenders Theta LIFExp --epochs 10 --threads 1 2
    python benchmarks/train_yin_yang.py --contenders Theta --epochs 120 --decay 0.97 --seeds 1 2 3 4 5 6 7 8 9 10
    python benchmarks/train_yin_yang.py --contenders LIFExp --epochs 100 --decay cosine --seeds 1 2 3 4 5 6 7 8 9 10

*Others* are 10,000 samples more (seed 777), by which nothing was chosen.
"""

import argparse
import importlib.util
import itertools
import os
import statistics
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its idle threads would be counted

import numpy as np
from common import in_process, memory, options_of, report_head, save

import sparseprop as sp
from sparseprop import training

HEADER = (
    "| contender | seed | threads | epochs | CPU ms per sample | early | wall | accuracy (%) | of others | "
    "seconds to 97.5 % | peak memory (MiB) |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)
BATCH = 32
QUICK = {"epochs": 5, "jaxsnn_epochs": 1}


def samples(n, seed):
    """Times of five spikes each, and classes."""
    values, labels = training.yin_yang(n, seed)
    return training.latencies(values, bias=15.0), labels


def theta(seed=1, *, decay=0.92, penalties=(), n_threads=None, **options):
    """A trainer of theta neurons; `options` go to the network."""
    net = training.layered_network([5, 120, 3], sp.Theta(tau_m=20.0, I_e=0.25), seed=seed, **options)
    loss = training.FirstSpikeCrossEntropy(tau=1.0, tau_late=20.0, pseudospikes=True)
    optimizer = training.Adam(lr=0.01, decay=decay)
    return training.Trainer(
        net, loss, duration=35.0, optimizer=optimizer, batch_size=BATCH, seed=seed, penalties=penalties,
        n_threads=n_threads,
    )  # fmt: skip


def lifexp(seed=1, *, n_threads=None):
    """A trainer of LIF neurons with exponential currents."""
    net = training.layered_network([5, 120, 3], sp.LIFExp(tau_m=20.0, tau_syn=5.0), seed=seed)
    wake = training.PeakMargin("output", times=np.arange(5.0, 45.0, 4.0), strength=60.0, of_label=True)
    optimizer = training.Adam(lr=5e-3, decay=0.92)
    return training.Trainer(
        net, training.FirstSpikeCrossEntropy(), duration=45.0, optimizer=optimizer, batch_size=BATCH, seed=seed,
        penalties=[wake], n_threads=n_threads,
    )  # fmt: skip


CONTENDERS = {"Theta": theta, "LIFExp": lifexp}


def train(case):
    """One of ours."""
    trainer = CONTENDERS[case["contender"]](case["seed"], n_threads=case["threads"])
    if case["decay"] is not None:
        lr, is_cosine = trainer.optimizer.lr, case["decay"] == "cosine"
        lr = training.CosineDecay(lr, case["epochs"]) if is_cosine else lr
        trainer.optimizer = training.Adam(lr=lr, decay=1.0 if is_cosine else case["decay"])
    inputs, labels = samples(case["samples"], 42)
    history = trainer.fit(inputs, labels, case["epochs"], validation=samples(2 * case["samples"], 40), progress=False)
    seconds, accuracy = history["seconds"], history["validation_accuracy"]
    late = seconds[-max(len(seconds) // 4, 1) :]
    there = np.flatnonzero(accuracy >= 0.975)
    others = trainer.evaluate(*samples(2 * case["samples"], 777))["accuracy"]
    trainer.optimizer = training.Adam(lr=1e-3)  # wherever a schedule ends
    began = time.perf_counter()
    trainer.fit(inputs, labels, case["epochs"] + 2, progress=False)
    return {
        "ms_per_sample": 1e3 * statistics.median(late.tolist()) / case["samples"],
        "early_ms_per_sample": 1e3 * float(seconds[0]) / case["samples"],
        "wall_ms_per_sample": 1e3 * (time.perf_counter() - began) / (2 * case["samples"]),
        "accuracy": float(accuracy[-1]),
        "accuracy_of_others": others,
        "seconds_to_975": float(seconds[: there[0] + 1].sum()) if len(there) else None,
    }


def train_jaxsnn(case):
    """The example of jaxsnn, with as many hidden neurons."""
    from jaxsnn.examples.event import yinyang_layered_event_prop as example

    seconds = []
    for epochs in (1, 1, 1 + case["epochs"]):  # the first begins everything
        options = (
            f"--epochs {epochs} --hidden-size 120 --n-spikes-hidden 145 --batch-size {BATCH} --testset-size {BATCH}"
        )
        options += f" --trainset-size {case['samples'] // BATCH * BATCH} --seed {case['seed']}"
        began = time.process_time()
        example.main(example.get_parser().parse_args(options.split()))
        seconds.append(time.process_time() - began)
    done = case["epochs"] * (case["samples"] // BATCH * BATCH)
    return {"ms_per_sample": 1e3 * (seconds[2] - seconds[1]) / done, "accuracy": None, "seconds_to_975": None}


def run_case(case):
    """One contender."""
    done = (train_jaxsnn if case["contender"] == "jaxsnn" else train)(case)
    return {**case, **done, "peak_memory_bytes": memory("VmHWM"), "load_average": os.getloadavg()}


def table_row(done):
    """One row of the table, in Markdown."""
    start = f"| {done['contender']} | {done['seed']} | {done['threads']} | {done['epochs']} |"
    if "error" in done:
        return f"{start} failed: {done['error'].splitlines()[-1]} |"
    accuracy = "" if done["accuracy"] is None else f"{100 * done['accuracy']:.2f}"
    others = f"{100 * done['accuracy_of_others']:.2f}" if "accuracy_of_others" in done else ""
    seconds = "" if done["seconds_to_975"] is None else f"{done['seconds_to_975']:.1f}"
    early, wall = (
        f"{done[name]:.3f}" if name in done else "" for name in ("early_ms_per_sample", "wall_ms_per_sample")
    )
    times = f"{done['ms_per_sample']:.3f} | {early} | {wall}"
    return f"{start} {times} | {accuracy} | {others} | {seconds} | {done['peak_memory_bytes'] / 2**20:.0f} |"


def decay_of(text):
    """A number, or the word."""
    return text if text == "cosine" else float(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*CONTENDERS, "jaxsnn"]
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--epochs", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--decay", type=decay_of, metavar="FACTOR", help="of lr by epoch, or cosine; default: 0.92")
    parser.add_argument("--jaxsnn-epochs", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=5000, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="default: 1")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="of ours; default: 1")
    options = options_of(parser, run_case, QUICK)
    question = "What does training cost, per sample, and how soon is Yin-Yang learnt?"
    report = {**report_head("train_yin_yang", question, seeds=options.seeds), "cases": []}
    print(HEADER, flush=True)
    for contender in options.contenders:
        if contender == "jaxsnn" and importlib.util.find_spec("jaxsnn") is None:
            report["cases"].append({"contender": contender, "skipped": "pip install jaxsnn"})
            print("| jaxsnn | skipped: pip install jaxsnn |", flush=True)
            continue
        threads = [1] if contender == "jaxsnn" else options.threads
        for seed, n_threads in itertools.product(options.seeds, threads):
            epochs = options.jaxsnn_epochs if contender == "jaxsnn" else options.epochs
            case = {"contender": contender, "seed": seed, "threads": n_threads}
            case |= {"epochs": epochs, "samples": options.samples, "decay": options.decay}
            report["cases"].append(in_process(__file__, case))
            print(table_row(report["cases"][-1]), flush=True)
            save(report, options.out)
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
