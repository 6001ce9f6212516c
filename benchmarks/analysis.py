"""How fast are the statistics of spike trains, and how fast are elephant's?

Independent Poisson spike trains of N neurons, of the same rate, over 10 s of time, as arrays of times and ids as a run
leaves them. Both are timed in two ways. From arrays: ours puts them in the order of neurons, and for elephant a spike
train of neo is made for each neuron, of arrays that are cut already. From objects: our SpikeTrains, and those of neo,
are there. (Elephant's binned spike trains are made with the measure that needs them.) Measures of pairs, which cost
N^2, are of fewer neurons. CPU time, as the median of rounds of ours, and of one of elephant, which takes long.

    python benchmarks/analysis.py -o analysis.json
    python benchmarks/analysis.py --spikes 10000000 --only-ours     # ten million spikes
"""

import argparse
import os
import statistics
import sys
import time
import warnings

import numpy as np
from common import Skip, in_process, memory, options_of, report_head, save, skipped_without, version_of

import sparseprop as sp

DURATION = 10_000.0  # ms
WIDTH, WINDOW, LAG, TAU, COST = 5.0, 100.0, 100.0, 20.0, 100.0
QUICK = {"spikes": 20_000, "neurons": 500, "pair_neurons": 20, "rounds": 1}

OURS = {
    "rates": sp.analysis.rates,
    "isi": sp.analysis.isi,
    "cv": sp.analysis.cv,
    "cv2": sp.analysis.cv2,
    "lv": sp.analysis.lv,
    "fano_factor": lambda spikes: sp.analysis.fano_factor(spikes, WINDOW),
    "time_histogram": lambda spikes: sp.analysis.time_histogram(spikes, WIDTH).counts,
    "power_spectrum": lambda spikes: sp.analysis.power_spectrum(spikes, WIDTH).power,
    "cross_correlation_histogram": lambda spikes: (
        sp.analysis.cross_correlation_histogram(spikes, bin_width=WIDTH, max_lag=LAG).values
    ),
    "mean_correlation": lambda spikes: sp.analysis.mean_correlation(spikes, WIDTH),
    "synchrony_index": lambda spikes: sp.analysis.synchrony_index(spikes, WIDTH),
    "spike_contrast": sp.analysis.spike_contrast,
    "correlation_coefficient": lambda spikes: sp.analysis.correlation_coefficient(spikes, WIDTH),
    "spike_time_tiling_coefficient": lambda spikes: sp.analysis.spike_time_tiling_coefficient(spikes, WIDTH),
    "van_rossum_distance": lambda spikes: sp.analysis.van_rossum_distance(spikes, TAU),
    "victor_purpura_distance": lambda spikes: sp.analysis.victor_purpura_distance(spikes, COST),
}
OF_PAIRS = (
    "correlation_coefficient",
    "spike_time_tiling_coefficient",
    "van_rossum_distance",
    "victor_purpura_distance",
)


def elephants():
    """The same measures of elephant, of neo's spike trains; there is none for some."""
    with skipped_without("elephant"):
        import quantities as pq
        from elephant import conversion, spectral, spike_train_correlation, spike_train_dissimilarity, statistics
        from elephant.spike_train_synchrony import spike_contrast

    def of_intervals(measure):
        return lambda trains: [measure(statistics.isi(train.magnitude)) for train in trains]

    def binned(trains, width=WIDTH):
        return conversion.BinnedSpikeTrain(trains, bin_size=width * pq.ms)

    def histogram(trains, **options):
        return statistics.time_histogram(trains, WIDTH * pq.ms, **options).magnitude.ravel()

    def correlogram(trains):
        # Theirs is of single trains: of all spikes together, as one that is binned.
        counts = histogram(trains)[None]
        pooled = conversion.BinnedSpikeTrain(counts, bin_size=WIDTH * pq.ms, t_start=0.0 * pq.ms)
        n = int(LAG / WIDTH)
        found, _ = spike_train_correlation.cross_correlation_histogram(pooled, pooled, window=[-n, n])
        return found.magnitude.ravel()

    def tiling(trains):
        found = np.ones((len(trains), len(trains)))
        for i, first in enumerate(trains):
            for j in range(i):
                second = trains[j]
                value = spike_train_correlation.spike_time_tiling_coefficient(first, second, dt=WIDTH * pq.ms)
                found[i, j] = found[j, i] = value
        return found

    def mean_correlation(trains):
        found = spike_train_correlation.correlation_coefficient(binned(trains))
        return np.nanmean(found[np.triu_indices(len(trains), 1)])

    return {
        "rates": lambda trains: [statistics.mean_firing_rate(train).rescale("Hz").item() for train in trains],
        "isi": lambda trains: np.concatenate([statistics.isi(train.magnitude) for train in trains]),
        "cv": of_intervals(statistics.cv),
        "cv2": of_intervals(statistics.cv2),
        "lv": of_intervals(statistics.lv),
        "fano_factor": lambda trains: [
            statistics.fanofactor([range(k) for k in row]) for row in binned(trains, WINDOW).to_array()
        ],
        "time_histogram": histogram,
        "power_spectrum": lambda trains: spectral.welch_psd(histogram(trains, output="rate") * 1e3, fs=1e3 / WIDTH)[1],
        "cross_correlation_histogram": correlogram,
        "mean_correlation": mean_correlation,
        "spike_contrast": spike_contrast,
        "correlation_coefficient": lambda trains: spike_train_correlation.correlation_coefficient(binned(trains)),
        "spike_time_tiling_coefficient": tiling,
        "van_rossum_distance": lambda trains: spike_train_dissimilarity.van_rossum_distance(
            trains, time_constant=TAU * pq.ms
        ),
        "victor_purpura_distance": lambda trains: spike_train_dissimilarity.victor_purpura_distance(
            trains, cost_factor=COST * pq.Hz
        ),
    }


def timed(function, *args):
    """CPU seconds, and what came out."""
    began = time.process_time()
    value = function(*args)
    return time.process_time() - began, value


def run_case(case):
    """One measure of both; `case` is what :func:`main` puts together."""
    rng = np.random.default_rng(case["seed"])
    n, n_spikes = case["neurons"], case["spikes"]
    times, ids = np.sort(rng.uniform(0.0, DURATION, n_spikes)), rng.integers(0, n, n_spikes)
    ours, spikes = OURS[case["measure"]], (times, ids, n, 0.0, DURATION)
    trains = sp.analysis.SpikeTrains(*spikes)
    _, expected = timed(ours, spikes)  # the first one loads what it needs
    rounds = [[timed(ours, given)[0] for given in (spikes, trains)] for _ in range(case["rounds"])]
    from_arrays, from_objects = map(statistics.median, zip(*rounds, strict=True))
    done = {
        **case,
        "from_arrays": from_arrays,
        "from_objects": from_objects,
        "rounds_done": rounds,
        "peak_memory_bytes": memory("VmHWM"),
    }
    if not case["only_ours"]:
        done |= of_elephant(case["measure"], trains, expected)
    return done | {"load_average": os.getloadavg()}


def of_elephant(measure, trains, expected):
    """CPU seconds of elephant, and by how much it differs; or why it was not run."""
    try:
        measures = elephants()
    except Skip as reason:
        return {"skipped": str(reason)}
    if measure not in measures:
        return {"skipped": "elephant has none"}
    import neo

    arrays = [trains[k].times for k in range(trains.n)]
    ends = {"units": "ms", "t_start": 0.0, "t_stop": DURATION}
    making, trains = timed(lambda: [neo.SpikeTrain(times, **ends) for times in arrays])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds, found = timed(measures[measure], trains)
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    if measure == "isi":
        expected = expected[0]
    apart = np.nanmax(np.abs(found - expected)) / np.nanmax(np.abs(expected))
    return {"elephant_from_arrays": making + seconds, "elephant_from_objects": seconds, "difference": float(apart)}


COLUMNS = (
    "measure",
    "neurons",
    "spikes",
    "from arrays (s)",
    "elephant (s)",
    "times",
    "from objects (s)",
    "elephant (s)",
)
HEADER = f"| {' | '.join(COLUMNS)} | times | difference |\n| --- {'| ---: ' * 9}|"


def table_row(done):
    """A row of the table, in Markdown."""
    cells = [f"`{done['measure']}`", f"{done['neurons']:,}", f"{done['spikes']:,}"]
    if "error" in done:
        return f"| {' | '.join(cells)} | failed: {done['error'].splitlines()[-1]} |"
    for way in ("from_arrays", "from_objects"):
        theirs = done.get(f"elephant_{way}")
        cells.append(f"{done[way]:.3g}")
        cells += ["", ""] if theirs is None else [f"{theirs:.3g}", f"{theirs / done[way]:.0f}"]
    cells.append(f"{done['difference']:.0e}" if "difference" in done else done.get("skipped", ""))
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spikes", type=int, default=1_000_000, help="of all neurons (default: %(default)s)")
    parser.add_argument("--neurons", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--pair-neurons", type=int, default=100, help="for measures of pairs (default: %(default)s)")
    parser.add_argument("--measures", nargs="+", choices=list(OURS), default=list(OURS))
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--only-ours", action="store_true", help="leave out elephant")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    question = "How fast are the statistics of spike trains, and how fast are elephant's?"
    head = report_head("analysis", question, seed=options.seed)
    report = {**head, "elephant": version_of("elephant"), "neo": version_of("neo"), "cases": []}
    print(HEADER, flush=True)
    for measure in options.measures:
        neurons, spikes = options.neurons, options.spikes
        if measure in OF_PAIRS:
            neurons = min(options.pair_neurons, neurons)
            spikes = spikes * neurons // options.neurons
        case = {"measure": measure, "neurons": neurons, "spikes": spikes}
        case |= {name: getattr(options, name) for name in ("rounds", "only_ours", "seed")}
        report["cases"].append(in_process(__file__, case))
        print(table_row(report["cases"][-1]), flush=True)
        save(report, options.out)
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
