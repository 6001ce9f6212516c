"""How long do Results take to become objects of other libraries?

Independent Poisson spike trains of N neurons, as arrays of times and ids. CPU time, the best of some rounds, after one
that loads the library.

    python benchmarks/exports.py -o exports.json
"""

import argparse
import sys
import time

import numpy as np
from common import Skip, in_process, options_of, report_head, save, skipped_without, version_of

from sparseprop.files.populations import PopulationInfo
from sparseprop.run.result import Result

LIBRARIES = ("pandas", "xarray", "neo", "pynapple")
DURATION = 1000.0  # ms
QUICK = {"spikes": 10_000, "sizes": [100], "rounds": 1}


def run_case(case):
    try:
        with skipped_without(case["library"]):
            __import__(case["library"])
    except Skip as reason:
        return {**case, "skipped": str(reason)}
    rng = np.random.default_rng(case["seed"])
    spikes = np.sort(DURATION * rng.random(case["spikes"])), rng.integers(0, case["neurons"], case["spikes"])
    result = Result(spikes, [PopulationInfo("E", case["neurons"])], t_start=0.0, t_stop=DURATION)
    seconds = []
    for _ in range(case["rounds"] + 1):
        began = time.process_time()
        getattr(result, f"to_{case['library']}")()
        seconds.append(time.process_time() - began)
    return {**case, "seconds": min(seconds[1:])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spikes", type=int, default=1_000_000, help="of all neurons (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000], help="neurons (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    options = options_of(parser, run_case, QUICK)
    head = report_head("exports", __doc__.splitlines()[0], seed=options.seed)
    report = {**head, "versions": {name: version_of(name) for name in LIBRARIES}, "cases": []}
    print("| library | neurons | spikes | s |\n| --- | ---: | ---: | ---: |", flush=True)
    for neurons in options.sizes:
        for library in LIBRARIES:
            case = {"library": library, "neurons": neurons, "spikes": options.spikes}
            done = in_process(__file__, case | {"rounds": options.rounds, "seed": options.seed})
            report["cases"].append(done)
            took = f"{done['seconds']:.2g}" if "seconds" in done else done.get("skipped", "failed")
            print(f"| {library} | {neurons:,} | {options.spikes:,} | {took} |", flush=True)
            save(report, options.out)
    return 1 if any("error" in case for case in report["cases"]) else 0


if __name__ == "__main__":
    sys.exit(main())
