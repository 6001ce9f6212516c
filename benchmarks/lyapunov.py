"""What does a Lyapunov spectrum cost, beside the least that its vectors and decompositions need?

The balanced theta network of the SparseProp paper (j0 = 1, tau_m = 10 ms, 1 Hz wanted), each case in a process of its
own. Our decompositions need no LAPACK; that of numpy, for the yardsticks, has one thread:

- full: all exponents; beside it two yardsticks of the same process: "streaming", the same vectors taken through the
  same kicks spike by spike in one block, as they would be without blocks of columns (a part of the spikes, scaled up),
  and a QR decomposition of a matrix of that size, of which fifty are counted;
- first: the first exponents of a large network;
- dense: numpy, J @ Q for each spike with J as a dense matrix, for a part of the spikes, scaled up;
- threads: all exponents with one and with two threads, three times in turns, by the wall clock: on an idle machine. The
  shortest of each count; where CPU seconds are less than wall seconds with one thread, others had the core.

    python benchmarks/lyapunov.py -o result.json
    python benchmarks/lyapunov.py --cases full
"""

import argparse
import os
import sys
import time

import numpy as np
from common import in_process, memory, options_of, report_head, save

import sparseprop as sp
from sparseprop.engine._tangent import Tangent

TAU_M = 10.0
CASES = {
    "full": {"n": 2000, "n_exponents": 2000, "spikes": 100_000},
    "first": {"n": 100_000, "n_exponents": 100, "spikes": 1_000_000},
    "dense": {"n": 500, "n_exponents": 500, "spikes": 10_000},
    "threads": {"n": 1000, "n_exponents": 1000, "spikes": 20_000},
}
QUICK = {"scale": 20, "outdegree": 20}


def timed(work):
    """CPU and wall seconds, and the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}, result


def measure(net, case, n_threads=1):
    return timed(
        lambda: sp.lyapunov_spectrum(
            net, case["n_exponents"], case["spikes"], warmup=case["n"], n_threads=n_threads, progress=False
        )
    )


def streaming(net, case):
    """CPU seconds for all spikes, with all columns in one block."""
    spikes = max(case["spikes"] // 50, 10)
    measured = sp.dynamics.Lyapunov(net, case["n_exponents"], every=spikes, n_threads=1)
    engine = measured._engine
    tangent = Tangent(net.engine_input(None), case["n_exponents"], 8 * (case["n_exponents"] // 8 + 1))
    tangent.put(measured._first_vectors(), tangent.begin(engine))
    engine.start_tape(1e-9)
    engine.advance((1 << 40, 0.0), spikes, 1 << 60)
    part = engine.stop_tape()

    def follow():
        tangent.load(part)
        tangent.apply()

    return timed(follow)[0]["cpu_seconds"] * case["spikes"] / spikes


def one_qr(case):
    """CPU seconds of a QR decomposition with its Q."""
    matrix = np.asfortranarray(np.random.default_rng(case["seed"]).normal(size=(case["n"], case["n_exponents"])))
    return timed(lambda: np.linalg.qr(matrix))[0]["cpu_seconds"]


def dense(net, case):
    """CPU seconds for all spikes with dense Jacobians in numpy, and a QR decomposition for each N of them."""
    population, p = net.populations[0], net.projections[0]
    n, root, tau = population.n, np.sqrt(population.model.I_e), population.model.tau_m
    spikes = max(case["spikes"] // 100, 10)
    result = net.run(n_spikes=spikes)
    a, t = np.zeros(n), 0.0  # the numbers do not matter here
    targets = p.targets.reshape(n, -1)
    Q = np.linalg.qr(np.random.default_rng(case["seed"]).normal(size=(n, case["n_exponents"])))[0]

    def go():
        nonlocal Q, a, t
        for time_of_spike, j in zip(result.times, result.ids, strict=True):
            a += root * (time_of_spike - t) / tau
            t = time_of_spike
            before = np.tan(a[targets[j]])
            after = before + p.weight / root
            D = (1.0 + before**2) / (1.0 + after**2)
            J = np.eye(n)
            J[targets[j], targets[j]] = D
            J[targets[j], j] = 1.0 - D
            Q = J @ Q
            a[targets[j]], a[j] = np.arctan(after), -np.pi / 2.0

    times, _ = timed(go)
    return times["cpu_seconds"] * case["spikes"] / spikes + one_qr(case) * case["spikes"] / case["n"]


def run_case(case):
    net = sp.balanced_network(case["n"], sp.Theta(tau_m=TAU_M), outdegree=case["outdegree"], seed=case["seed"])
    if case["name"] == "threads":
        turns = [[measure(net, case, n_threads)[0] for n_threads in (1, 2)] for _ in range(3)]
        wall, cpu = ([[one[name] for one in pair] for pair in turns] for name in ("wall_seconds", "cpu_seconds"))
        one, two = (min(times) for times in zip(*wall, strict=True))
        return {**case, "wall_seconds": wall, "cpu_seconds": cpu, "times_faster": one / two}
    times, spectrum = measure(net, case)
    done = {
        **case,
        **times,
        "rate_hz": spectrum.rate,
        "largest": spectrum.exponents[0],
        "peak_memory_bytes": memory("VmHWM"),
        "load_average": os.getloadavg(),
    }
    if case["name"] == "full":
        done["streaming_seconds"], done["fifty_qr_seconds"] = streaming(net, case), 50.0 * one_qr(case)
        done["times_bound"] = done["cpu_seconds"] / (done["streaming_seconds"] + done["fifty_qr_seconds"])
    if case["name"] == "dense":
        done["dense_seconds"] = dense(net, case)
        done["times_faster"] = done["dense_seconds"] / done["cpu_seconds"]
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--outdegree", type=int, default=100, help="K (default: %(default)s)")
    parser.add_argument("--scale", type=int, default=1, help="divides all sizes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    question = "What does a Lyapunov spectrum cost, beside the least that its vectors and decompositions need?"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    report = {**report_head("lyapunov", question, seed=options.seed), "cases": []}
    for name in options.cases:
        sizes = {key: value // options.scale for key, value in CASES[name].items()}
        case = {"name": name, **sizes, "outdegree": options.outdegree, "seed": options.seed}
        done = in_process(__file__, case)
        report["cases"].append(done)
        shown = {key: value for key, value in done.items() if key not in case}
        print(f"{name} {sizes}: {shown}", flush=True)
        save(report, options.out)
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
