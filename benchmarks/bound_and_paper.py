"""How close to the machine's bound are the engines, and how far from the paper's algorithm?

The measurement of `sparseprop bench` with the sizes, K and rates of your choice: for each network the window and the
heap engine, the paper's algorithm (as it is and with prefetching), the conventional one (for few spikes) and the
machine's bound take turns in one process, from the same initial state, the stationary one. Ratios are medians of the
ratios within a round.

    python benchmarks/bound_and_paper.py -o result.json
    python benchmarks/bound_and_paper.py --sizes 100000 --outdegrees 10 100 1000 --models LIF
"""

import argparse
import sys

from common import report_head

from sparseprop.bench import suite as bench


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="other defaults, for a minute")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--models", nargs="+", choices=list(bench.MODELS), default=list(bench.MODELS))
    parser.add_argument("--outdegrees", type=int, nargs="+", default=[100], metavar="K")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0], metavar="HZ", help="wanted; more comes out")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--events", type=int, default=20_000_000, help="synaptic events per turn, of the slow a fifth")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("-o", "--out", metavar="FILE.json", help="where the figures go, and FILE.png")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(sizes=[10_000, 100_000], rounds=3, events=5_000_000)
    options = parser.parse_args()
    cases = [
        bench.Case(
            *(model, n, outdegree, rate, options.rounds),
            *(max(options.events // outdegree, 10), max(options.events // (5 * outdegree), 10), options.seed),
        )
        for model in options.models
        for outdegree in options.outdegrees
        for rate in options.rates
        for n in options.sizes
    ]
    head = report_head("bound_and_paper", bench.QUESTION)
    report = bench.measure(cases, lambda line: print(line, file=sys.stderr), options.out, head)
    print(bench.table(report))
    if options.out is not None:
        try:
            bench.plot(report, f"{options.out.removesuffix('.json')}.png")
        except ImportError as error:
            print(f"the picture was skipped: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
