"""A sweep: the balanced network reaches the rate that is wanted of it only as the out-degree K grows.

The points run in as many processes as there are cores. Each is in sweep_rate.csv as soon as it has finished, so that
a sweep that was stopped can go on from there (`resume=True`).

Run it with `python sweep_rate.py`; it writes sweep_rate.csv and sweep_rate.png.
"""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor

from matplotlib.figure import Figure

import sparseprop as sp


def build(n: int, wanted: float, K: int, seed: int) -> sp.Network:
    """The network of one point; the processes import this function from this file."""
    return sp.balanced_network(n, sp.LIF(tau_m=10.0), outdegree=K, rate=wanted, seed=seed)


def measure(result: sp.Result) -> dict[str, float]:
    """What becomes of its spikes, which themselves stay in the process."""
    return {"rate": result.rate, "cv": result.cv_isi}


def plot(result: sp.SweepResult, path: str) -> None:
    """The mean rate over the seeds against K, one line for each rate that was wanted."""
    rates: dict[float, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in result:
        if row["error"] is None:
            rates[row["wanted"]][row["K"]].append(row["rate"])
    figure = Figure(layout="constrained")
    ax = figure.add_subplot(xlabel="K", ylabel="rate / wanted rate", xscale="log")
    for wanted, found in rates.items():
        means = [sum(values) / len(values) / wanted for values in found.values()]
        ax.plot(list(found), means, "o-", label=f"{wanted:g} Hz wanted")
    ax.axhline(1.0, color="gray", linewidth=0.5)
    ax.legend()
    figure.savefig(path, dpi=150)


def main(n: int = 5000, duration: float = 1000.0, executor: Executor | None = None) -> sp.SweepResult:
    """Simulate 24 networks of `n` neurons for `duration` ms each."""
    grid: dict[str, Sequence[float]] = {"n": [n], "wanted": [1.0, 4.0], "K": [50, 100, 200, 400], "seed": [1, 2, 3]}
    result = sp.sweep(build, grid, duration=duration, measure=measure, executor=executor, out="sweep_rate.csv")
    print(result)
    plot(result, "sweep_rate.png")
    return result


if __name__ == "__main__":
    main()
