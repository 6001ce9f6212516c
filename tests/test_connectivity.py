"""Connection rules: what they draw, how it is distributed, what it depends on, and what they refuse.

Seeds are fixed, so a statistical test passes always or never; its limits are those of one in ten thousand or
so.
"""

import hashlib
import io
import itertools
import json
import math
import os
import pickle
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import sparseprop as sp
from sparseprop import _machine, errors
from sparseprop.connectivity import (
    Adjacency,
    Purpose,
    Rule,
    _wiring,
    all_to_all,
    build,
    edges,
    fixed_indegree,
    fixed_outdegree,
    fixed_total_number,
    matrix,
    one_to_one,
    pairwise_bernoulli,
    random_key,
    rule_from_dict,
    site,
)

KEY = random_key(1)
DRAWN = [fixed_outdegree(5), fixed_indegree(5), pairwise_bernoulli(0.1), fixed_total_number(250)]


def wire(rule, n_pre, n_post=None, *, key=KEY, projection=0, **options):
    """Within one population if `n_post` is left out."""
    same = n_post is None
    return build(
        rule,
        n_pre,
        n_pre if same else n_post,
        same_population=same,
        key=key,
        projection=projection,
        **options,
    )


def rows(adjacency):
    return [row.tolist() for row in np.split(adjacency.targets, adjacency.offsets[1:-1])]


def pairs(adjacency):
    return list(zip(adjacency.sources.tolist(), adjacency.targets.tolist(), strict=True))


def assert_chi_square(observed, expected, limit=1e-4):
    """Neither further from what is expected than chance allows, nor nearer."""
    observed, expected = np.asarray(observed, float), np.asarray(expected, float)
    assert math.isclose(observed.sum(), expected.sum(), rel_tol=1e-9)
    p = stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), observed.size - 1)
    assert limit < p < 1 - limit


def assert_equally_likely(seen, outcomes):
    seen, outcomes = Counter(seen), list(outcomes)
    assert set(seen) <= set(outcomes)
    assert_chi_square([seen[o] for o in outcomes], np.full(len(outcomes), seen.total() / len(outcomes)))


# ---------------------------------------------------------------------------------------------------
# An executable specification, in whole numbers only


class Stream:
    """The numbers of one (key, purpose, index, neuron)."""

    def __init__(self, key, purpose, index, neuron):
        self.halves = self.blocks(key, purpose, index, neuron)

    @staticmethod
    def blocks(key, purpose, index, neuron):
        for block in itertools.count():
            for word in _wiring.philox([block, neuron, index, purpose], key).tolist():
                yield word & 0xFFFFFFFF
                yield word >> 32

    def below(self, bound):
        while True:
            product = next(self.halves) * bound
            if product % 2**32 >= 2**32 % bound:
                return product >> 32

    def distinct(self, k, n):
        found = set()
        while len(found) < k:
            found.add(self.below(n))
        return found


def reference_row(stream, k, n, skip, with_replacement):
    if with_replacement:
        row = [stream.below(n) for _ in range(k)]
    elif 2 * k <= n:
        row = stream.distinct(k, n)
    else:
        row = set(range(n)) - stream.distinct(n - k, n)
    return sorted(v + (v >= skip) for v in row)


@pytest.mark.parametrize("with_replacement", [False, True])
@pytest.mark.parametrize("skip_self", [False, True])
@pytest.mark.parametrize(
    ("k", "n"),
    [(0, 9), (1, 2), (1, 3), (2, 5), (3, 5), (4, 5), (4, 9), (5, 9), (7, 8), (10, 21), (50, 101), (60, 101),
     (99, 101), (3, 10_000), (100, 65_537), (40, 2**31 - 1)],
)  # fmt: skip
def test_rows_are_those_of_the_specification(k, n, skip_self, with_replacement):
    available = n - skip_self
    offsets = np.arange(8) * k
    ids = _wiring.draw_rows(KEY, 1, 3, offsets, n, skip_self, with_replacement)
    assert ids.dtype == np.int32
    for j in range(7):
        skip = j if skip_self else available
        expected = reference_row(Stream(KEY, 1, 3, j), k, available, skip, with_replacement)
        assert ids[offsets[j] : offsets[j + 1]].tolist() == expected


def test_row_lengths_are_those_of_the_specification():
    for with_replacement in (False, True):
        stream, lengths = Stream(KEY, 3, 4, 0), [0] * 10
        while sum(lengths) < 60:
            r = stream.below(10)
            if with_replacement or stream.below(13) >= lengths[r]:
                lengths[r] += 1
        assert _wiring.draw_row_lengths(KEY, 3, 4, 10, 13, 60, with_replacement).tolist() == lengths


def test_bounded_numbers_are_exactly_uniform_near_the_end_of_the_range():
    """A bound of 3/4 2^31: without rejection some numbers would come up twice as often as others."""
    n = 3 * 2**29
    ids = _wiring.draw_rows(KEY, 1, 0, np.arange(301) * 1000, n, False, True)
    assert_chi_square(np.bincount(ids % 3, minlength=3), np.full(3, 100_000))
    assert_chi_square(np.bincount(ids // 2**22, minlength=384), np.full(384, 300_000 / 384))


# ---------------------------------------------------------------------------------------------------
# Distribution: every outcome of small cases


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("rule", [fixed_outdegree, fixed_indegree])
def test_all_subsets_are_equally_likely(rule, k):
    """Up to half by drawing members, above by drawing the complement."""
    n = 20_000
    if rule is fixed_outdegree:
        seen = map(tuple, rows(wire(rule(k), n, 5)))
    else:
        a = wire(rule(k), 5, n)
        seen = map(tuple, a.sources[np.argsort(a.targets, kind="stable")].reshape(n, k).tolist())
    assert_equally_likely(seen, itertools.combinations(range(5), k))


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("rule", [fixed_outdegree, fixed_indegree])
def test_all_subsets_without_oneself_are_equally_likely(rule, k):
    seen = [[] for _ in range(5)]
    for projection in range(1500):
        a = wire(rule(k), 5, projection=projection)
        near, far = (a.sources, a.targets) if rule is fixed_outdegree else (a.targets, a.sources)
        for j in range(5):
            seen[j].append(tuple(far[near == j].tolist()))
    for j in range(5):
        assert_equally_likely(seen[j], itertools.combinations([i for i in range(5) if i != j], k))


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5])
def test_all_sets_of_pairs_are_equally_likely(total):
    cells = list(itertools.product(range(3), range(2)))
    seen = [tuple(pairs(wire(fixed_total_number(total), 3, 2, projection=i))) for i in range(4000)]
    assert_equally_likely(seen, itertools.combinations(cells, total))


@pytest.mark.parametrize("total", [2, 4])
def test_all_sets_of_pairs_of_different_neurons_are_equally_likely(total):
    cells = list(itertools.permutations(range(3), 2))
    seen = [tuple(pairs(wire(fixed_total_number(total), 3, projection=i))) for i in range(4000)]
    assert_equally_likely(seen, itertools.combinations(cells, total))


def assert_multisets(seen, cells, k):
    """Drawn with replacement: multinomial."""
    outcomes = list(itertools.combinations_with_replacement(cells, k))
    chances = [
        math.factorial(k) / math.prod(map(math.factorial, Counter(o).values())) / len(cells) ** k for o in outcomes
    ]
    seen = Counter(seen)
    assert set(seen) <= set(outcomes)
    assert_chi_square([seen[o] for o in outcomes], np.array(chances) * seen.total())


@pytest.mark.parametrize(("k", "n"), [(2, 5), (2, 3), (4, 3)])
def test_multapses_are_drawn_with_replacement(k, n):
    a = wire(fixed_outdegree(k), 20_000, n, allow_multapses=True)
    assert_multisets(map(tuple, rows(a)), range(n), k)
    a = wire(fixed_indegree(k), n, 20_000, allow_multapses=True)
    order = np.argsort(a.targets, kind="stable")
    assert_multisets(map(tuple, a.sources[order].reshape(20_000, k).tolist()), range(n), k)


def test_total_number_with_multapses_is_drawn_with_replacement():
    cells = list(itertools.product(range(2), range(2)))
    built = [wire(fixed_total_number(5), 2, 2, projection=i, allow_multapses=True) for i in range(4000)]
    assert_multisets([tuple(pairs(a)) for a in built], cells, 5)


@pytest.mark.parametrize("p", [0.03, 0.3, 0.9])
def test_bernoulli_pairs_are_independent(p):
    n = 40_000
    masks = [sum(1 << t for t in row) for row in rows(wire(pairwise_bernoulli(p), n, 4))]
    expected = [n * p ** m.bit_count() * (1 - p) ** (4 - m.bit_count()) for m in range(16)]
    if p == 0.03:  # too rare one by one
        masks = [0 if m == 0 else 1 + (m.bit_count() > 1) for m in masks]
        expected = [n * 0.97**4, n * 4 * 0.03 * 0.97**3, n * (1 - 0.97**4 - 4 * 0.03 * 0.97**3)]
    assert_chi_square(np.bincount(masks, minlength=len(expected)), expected)


@pytest.mark.parametrize("p", [1e-3, 0.02, 0.5, 0.99])
def test_bernoulli_counts_and_gaps(p):
    n = 2000
    a = wire(pairwise_bernoulli(p), n)
    cells = n * (n - 1)
    assert abs(a.n_synapses - p * cells) < 4 * math.sqrt(cells * p * (1 - p))
    degrees = np.bincount(a.targets, minlength=n)
    assert 1e-4 < stats.chi2.sf(((degrees - p * n) ** 2).sum() / (p * (1 - p) * n), n - 1) < 1 - 1e-4
    # Positions within the row, self taken out; the distance to the next one is geometric.
    position = a.targets - (a.targets > a.sources)
    gaps = np.diff(position + a.sources.astype(np.int64) * (n - 1)) - 1
    limit = max(1, int(1 / p))
    chances = [p * (1 - p) ** g for g in range(limit)]
    short = np.bincount(np.minimum(gaps, limit), minlength=limit + 1)
    expected = np.array([*chances, 1 - sum(chances)]) * gaps.size
    assert 1e-4 < stats.chi2.sf(((short - expected) ** 2 / expected).sum(), limit) < 1 - 1e-4


def test_bernoulli_with_tiny_probabilities():
    assert wire(pairwise_bernoulli(5e-324), 1000).n_synapses == 0
    assert wire(pairwise_bernoulli(1e-17), 1000).n_synapses == 0
    a = wire(pairwise_bernoulli(1e-7), 20_000, 20_000)
    assert 10 < a.n_synapses < 80


def test_bernoulli_grows_when_it_has_too_little_room():
    expected = wire(pairwise_bernoulli(0.5), 50, 300)
    for room in (0, 1, 100, 7000):
        offsets, ids = _wiring.draw_bernoulli(KEY, 1, 0, 50, 300, 0.5, False, room)
        np.testing.assert_array_equal(offsets, expected.offsets)
        np.testing.assert_array_equal(ids, expected.targets)
        assert ids.flags.owndata


@pytest.mark.parametrize("k", [30, 1200])
@pytest.mark.parametrize("rule", [fixed_outdegree, fixed_indegree])
def test_degrees_on_the_other_side_are_those_of_uniform_drawing(rule, k):
    n = 2000
    a = wire(rule(k), n)
    degrees = np.bincount(a.targets if rule is fixed_outdegree else a.sources, minlength=n)
    variance = k * (1 - k / n)
    assert 1e-4 < stats.chi2.sf(((degrees - k) ** 2).sum() / variance, n - 1) < 1 - 1e-4


@pytest.mark.parametrize("total", [40_000, 600_000])
def test_degrees_of_total_number(total):
    n = 1000
    a = wire(fixed_total_number(total), n)
    p = total / n**2
    for ids in (a.sources, a.targets):
        degrees = np.bincount(ids, minlength=n)
        statistic = ((degrees - total / n) ** 2).sum() / (n * p * (1 - p))
        assert 1e-4 < stats.chi2.sf(statistic, n - 1) < 1 - 1e-4


# ---------------------------------------------------------------------------------------------------
# Exactness: counts, order, what is left out


@pytest.mark.parametrize(("k", "n"), [(0, 50), (1, 2), (20, 50), (40, 50), (49, 50), (100, 20_000)])
def test_degrees_are_exact(k, n):
    out, into = wire(fixed_outdegree(k), n), wire(fixed_indegree(k), n)
    assert (np.bincount(out.sources, minlength=n) == k).all()
    assert (np.bincount(into.targets, minlength=n) == k).all()
    assert out.n_synapses == into.n_synapses == n * k


@settings(max_examples=300, derandomize=True, deadline=None)
@given(data=st.data())
def test_what_every_rule_keeps(data):
    """Shapes, types, order and counts, for any rule and sizes."""
    n_pre = data.draw(st.integers(0, 12), label="n_pre")
    same = data.draw(st.booleans(), label="same")
    n_post = n_pre if same else data.draw(st.integers(0, 12), label="n_post")
    autapses, multapses = data.draw(st.booleans()), data.draw(st.booleans())
    skip = same and not autapses
    cells = n_pre * max(n_post - skip, 0)
    most = 30 if multapses and cells else 0

    def upto(n):
        return st.integers(0, max(n, most, 0))

    rule = data.draw(
        st.one_of(
            upto(n_post - skip).map(fixed_outdegree),
            upto(n_pre - skip).map(fixed_indegree),
            upto(cells).map(fixed_total_number),
            st.floats(0, 1).map(pairwise_bernoulli),
            st.just(all_to_all()),
        ),
        label="rule",
    )
    a = build(
        rule, n_pre, n_post, same_population=same, key=KEY, projection=5, allow_autapses=autapses,
        allow_multapses=multapses,
    )  # fmt: skip
    assert a.offsets.dtype == np.int64
    assert a.targets.dtype == a.sources.dtype == np.int32
    assert a.weights is None
    assert a.order is None
    assert a.targets.flags.owndata
    assert a.offsets.shape == (n_pre + 1,)
    assert a.offsets[0] == 0
    assert a.offsets[-1] == a.n_synapses == a.targets.shape[0]
    assert ((a.targets >= 0) & (a.targets < n_post)).all()
    found = pairs(a)
    assert found == sorted(found)
    assert a.n_autapses == (sum(s == t for s, t in found) if same else 0)
    assert a.n_multapses == len(found) - len(set(found))
    assert autapses or a.n_autapses == 0
    assert multapses or a.n_multapses == 0
    match rule.to_dict():
        case {"name": "fixed_outdegree", "k": k}:
            assert (np.diff(a.offsets) == k).all()
        case {"name": "fixed_indegree", "k": k}:
            assert (np.bincount(a.targets, minlength=n_post) == k).all()
        case {"name": "fixed_total_number", "n": n}:
            assert a.n_synapses == n
        case {"name": "all_to_all"}:
            assert a.n_synapses == cells


@pytest.mark.parametrize("where", [{}, {"n_post": 7}])
def test_bernoulli_is_exact_at_both_ends(where):
    assert wire(pairwise_bernoulli(0), 9, **where).n_synapses == 0
    assert pairs(wire(pairwise_bernoulli(1), 9, **where)) == pairs(wire(all_to_all(), 9, **where))


def test_all_to_all():
    everything = list(itertools.product(range(4), range(4)))
    assert pairs(wire(all_to_all(), 4)) == [(s, t) for s, t in everything if s != t]
    a = wire(all_to_all(), 4, allow_autapses=True, allow_multapses=True)
    assert pairs(a) == everything
    assert (a.n_autapses, a.n_multapses) == (4, 0)
    assert pairs(wire(all_to_all(), 4, 4)) == everything


def test_one_to_one():
    a = wire(one_to_one(), 4, 4)
    assert pairs(a) == [(i, i) for i in range(4)]
    assert a.n_autapses == 0
    assert wire(one_to_one(), 4, allow_autapses=True).n_autapses == 4
    assert wire(one_to_one(), 0).n_synapses == 0


def test_many_blocks_give_what_one_gives():
    """More synapses than are made between two looks for Ctrl-C."""
    n, k = 30_000, 100
    a = wire(fixed_outdegree(k), n)
    ids = a.targets.reshape(n, k)
    assert (np.diff(ids) > 0).all()
    assert not (ids == np.arange(n)[:, None]).any()
    for j in (0, 12_345, n - 1):
        assert ids[j].tolist() == reference_row(Stream(KEY, 1, 0, j), k, n - 1, j, False)
    b = wire(fixed_indegree(k), n)
    transposed = np.lexsort((b.sources, b.targets))
    np.testing.assert_array_equal(b.sources[transposed].reshape(n, k), ids)
    np.testing.assert_array_equal(np.sort(b.sources, kind="stable"), b.sources)
    shuffled = np.random.default_rng(0).permutation(n * k)
    c = wire(edges(a.sources[shuffled], a.targets[shuffled]), n)
    np.testing.assert_array_equal(c.offsets, a.offsets)
    np.testing.assert_array_equal(np.sort(c.targets.reshape(n, k)), ids)
    assert wire(fixed_total_number(n * k), n).n_synapses == n * k


def wired_by(n_threads, monkeypatch, rule, *arguments, **options):
    """What a process that may use so many cores makes of a rule, and its draws of delays and weights."""
    monkeypatch.setattr(_machine, "cores", lambda: n_threads)
    monkeypatch.setattr(_wiring, "cores", lambda: n_threads)
    a = wire(rule, *arguments, **options)
    values = [d.draw(KEY, Purpose.DELAY, 3, a.offsets) for d in DISTRIBUTIONS]
    sorted_by = [array for drawn in values for array in _wiring.sort_rows(a.offsets, drawn, a.targets)]
    return a.n_autapses, a.n_multapses, [a.offsets, a.targets, *values, *map(np.asarray, sorted_by)]


DISTRIBUTIONS = (sp.uniform(0.5, 2.5), sp.normal(1.5, 1.0, low=0.1, high=9.0), sp.lognormal(0.1, 0.5))


@pytest.mark.parametrize("piece", [1, 500, 2**18])
@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize(
    "rule",
    [fixed_outdegree(20), fixed_outdegree(140), fixed_indegree(20), fixed_indegree(140), pairwise_bernoulli(0.1),
     pairwise_bernoulli(1e-3), fixed_total_number(3000), all_to_all()],
    ids=repr,
)  # fmt: skip
def test_any_number_of_threads_draws_the_same(rule, allowed, piece, monkeypatch):
    """Of a network that is one piece of work for one thread, and of many."""
    started = []
    options = {"allow_autapses": allowed, "allow_multapses": allowed}
    expected = wired_by(1, monkeypatch, rule, 150, **options)
    monkeypatch.setattr(_wiring, "PIECE", piece)
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread) or start(thread))
    for n_threads in (1, 2, 3):
        *counts, arrays = wired_by(n_threads, monkeypatch, rule, 150, **options)
        assert counts == list(expected[:2])
        for ours, theirs in zip(arrays, expected[2], strict=True):
            np.testing.assert_array_equal(ours, theirs, strict=True)
        if n_threads == 1 or piece == 2**18:
            assert not started
        elif piece == 1:
            assert started
        assert not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize("piece", [64, 2**18])
def test_rows_are_sorted_as_numpy_sorts_them(piece, monkeypatch):
    """With ties, zeros of both signs, and rows of all lengths about those of the runs that are merged."""
    monkeypatch.setattr(_wiring, "PIECE", piece)
    rng = np.random.default_rng(5)
    lengths = np.concatenate([np.arange(70), [0, 0, 127, 128, 129, 1000, 5000, 0]])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    n = offsets[-1]
    targets = rng.integers(0, 10**6, n).astype(np.int32)
    sources = np.repeat(np.arange(len(lengths)), lengths)
    for values in (rng.random(n), rng.integers(0, 4, n) * 1.5, rng.choice([-0.0, 0.0, 5e-324], n), np.arange(n) * -1.0):
        order = np.lexsort((values, sources))
        new_targets, places, new_values = map(np.asarray, _wiring.sort_rows(offsets, values, targets))
        np.testing.assert_array_equal(new_targets, targets[order])
        np.testing.assert_array_equal(places, order - offsets[sources])
        assert new_values.tobytes() == values[order].tobytes()
        out = np.empty(n)
        _wiring.take_places(offsets, places, targets * 0.5, out)
        np.testing.assert_array_equal(out, targets[order] * 0.5)


def test_what_has_the_wrong_length_is_not_sorted():
    offsets, targets = np.array([0, 2, 3]), np.zeros(3, np.int32)
    with pytest.raises(ValueError, match="2 values and 3 targets for 3 synapses"):
        _wiring.sort_rows(offsets, np.zeros(2), targets)
    with pytest.raises(ValueError, match="2 values for 3 synapses"):
        _wiring.take_places(offsets, targets, np.zeros(2), np.zeros(3))


def test_an_error_in_any_thread_is_raised_when_all_are_done(monkeypatch):
    monkeypatch.setattr(_machine, "cores", lambda: 3)
    for failing in range(3):
        running, met = set(), threading.Barrier(3)

        def work(k, failing=failing, running=running, met=met):
            running.add(k)
            met.wait(10.0)
            if k == failing:
                raise Alarm(k)
            time.sleep(0.01)
            running.remove(k)

        with pytest.raises(Alarm, match=str(failing)):
            _machine.share_out(work, [(k,) for k in range(3)])
        assert running == {failing}


def test_a_machine_that_allows_no_more_threads_does_it_with_those_there_are(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_machine, "cores", lambda: 3)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    _machine.share_out(done.append, [(k,) for k in range(5)])
    assert done == list(range(5))


# ---------------------------------------------------------------------------------------------------
# What the draw depends on


@pytest.mark.parametrize("k", [3, 60])
def test_a_row_depends_on_its_own_neuron_only(k):
    few, many = wire(fixed_outdegree(k), 10, 100), wire(fixed_outdegree(k), 1000, 100)
    np.testing.assert_array_equal(few.targets, many.targets[: 10 * k])
    few, many = wire(fixed_indegree(k), 100, 10), wire(fixed_indegree(k), 100, 1000)
    among_few = many.targets < 10
    np.testing.assert_array_equal(few.targets, many.targets[among_few])
    np.testing.assert_array_equal(few.sources, many.sources[among_few])
    few, many = wire(pairwise_bernoulli(k / 100), 10, 100), wire(pairwise_bernoulli(k / 100), 1000, 100)
    np.testing.assert_array_equal(few.targets, many.targets[: few.n_synapses])


@pytest.mark.parametrize("rule", DRAWN, ids=repr)
def test_the_same_again_and_another_for_another_seed_or_projection(rule):
    first = pairs(wire(rule, 50))
    assert pairs(wire(rule, 50)) == first
    assert pairs(wire(rule, 50, projection=1)) != first
    assert pairs(wire(rule, 50, key=random_key(2))) != first
    assert pairs(wire(rule, 50, projection=2**64 - 1)) != first


def overlaps(a, b):
    return np.array([np.intersect1d(x, y, assume_unique=True).size for x, y in zip(a, b, strict=True)])


def test_neighbouring_neurons_seeds_and_projections_have_nothing_in_common():
    """The published code seeds neuron j's generator with seed + j: seeds 1 and 2 share nearly all rows."""
    n, k = 1000, 50
    nets = {
        (seed, projection): wire(fixed_outdegree(k), n, n, key=random_key(seed), projection=projection).targets.reshape(
            n, k
        )
        for seed in (1, 2, 3)
        for projection in (0, 1)
    }
    base = nets[1, 0]
    comparisons = {"neighbours": (base[:-1], base[1:]), "next but one": (base[:-2], base[2:])}
    for name, other in nets.items():
        if name != (1, 0):
            comparisons[name] = (base, other)
            comparisons[name, "up"] = (base[1:], other[:-1])
            comparisons[name, "down"] = (base[:-1], other[1:])
    law = stats.hypergeom(n, k, k)
    for a, b in comparisons.values():
        common = overlaps(a, b)
        assert common.max() < 15
        assert abs(common.mean() - law.mean()) < 4 * law.std() / math.sqrt(len(common))
        assert stats.chi2.sf(((common - law.mean()) ** 2).sum() / law.var(), len(common)) > 1e-4


def test_no_two_streams_of_one_seed_share_a_block():
    """Every purpose has a number of its own, and the numbers are not to change."""
    assert {p.name: p.value for p in Purpose} == {
        "CONNECTIVITY": 1,
        "INITIAL_STATE": 2,
        "ROW_LENGTHS": 3,
        "DRIVE": 4,
        "POISSON_SOURCE": 5,
        "WEIGHT": 6,
        "DELAY": 7,
        "PARAMETER": 8,
        "STATE": 9,
    }


def test_random_key():
    assert random_key(1).dtype == np.uint64
    assert random_key(1).tolist() == np.random.SeedSequence(1).generate_state(2, np.uint64).tolist()
    assert random_key([1, 2]).tolist() != random_key(1).tolist()


def test_what_was_drawn_in_earlier_versions():
    """Drawn with whole numbers only, so the same on every machine; a change of it is a change of everyone's
    networks."""
    digest = hashlib.sha256()
    for rule, n_pre, n_post, options in [
        (fixed_outdegree(100), 50, 100_000, {}),
        (fixed_outdegree(70), 100, None, {}),
        (fixed_outdegree(4), 100, None, {"allow_autapses": True, "allow_multapses": True}),
        (fixed_indegree(10), 100, None, {}),
        (fixed_indegree(7), 5, 20, {"allow_multapses": True}),
        (fixed_total_number(300), 100, None, {}),
        (fixed_total_number(900), 10, 100, {}),
        (fixed_total_number(300), 10, 10, {"allow_multapses": True}),
    ]:
        a = wire(rule, n_pre, n_post, projection=2, **options)
        digest.update(a.offsets.astype("<i8").tobytes())
        digest.update(a.targets.astype("<i4").tobytes())
    assert digest.hexdigest() == "92354a72882cb59f51d095f338f767f985662663f2f72733454543c740eb962f"


# ---------------------------------------------------------------------------------------------------
# Given edges


def test_edges_are_sorted_by_source_and_keep_their_order_within():
    sources, targets = [2, 0, 2, 1, 0], [4, 3, 1, 0, 2]
    a = wire(edges(sources, targets), 3, 5)
    assert a.offsets.tolist() == [0, 2, 3, 5]
    assert pairs(a) == [(0, 3), (0, 2), (1, 0), (2, 4), (2, 1)]
    assert a.order.dtype == np.int64
    assert a.order.tolist() == [1, 4, 3, 0, 2]
    assert np.array(sources)[a.order].tolist() == a.sources.tolist()
    assert np.array(targets)[a.order].tolist() == a.targets.tolist()
    assert a.weights is None


def test_edges_that_are_sorted_already_need_no_permutation():
    a = wire(edges([0, 0, 1, 2], [3, 2, 0, 1]), 3, 5)
    assert a.order is None
    assert pairs(a) == [(0, 3), (0, 2), (1, 0), (2, 1)]


@pytest.mark.parametrize("rule", [edges([], []), matrix(np.zeros((4, 3))), matrix(scipy.sparse.coo_array((4, 3)))])
def test_no_edges(rule):
    a = wire(rule, 3, 4)
    assert a.n_synapses == 0
    assert a.offsets.tolist() == [0, 0, 0, 0]


def test_given_edges_with_what_is_allowed():
    rule = edges([1, 0, 1, 1, 1], [1, 2, 1, 0, 1])
    a = wire(rule, 3, allow_autapses=True, allow_multapses=True)
    assert pairs(a) == [(0, 2), (1, 1), (1, 1), (1, 0), (1, 1)]
    assert (a.n_autapses, a.n_multapses) == (3, 2)
    a = wire(rule, 3, 3, allow_multapses=True)
    assert (a.n_autapses, a.n_multapses) == (0, 2)


def test_arrays_belong_to_whom_they_were_given():
    sources, targets = np.array([0, 1]), np.array([1, 0])
    rule = edges(sources, targets)
    sources[:] = 1
    a = wire(rule, 2)
    assert pairs(a) == [(0, 1), (1, 0)]
    a.targets[:] = 0
    assert pairs(wire(rule, 2)) == [(0, 1), (1, 0)]
    with pytest.raises(ValueError, match="read-only"):
        rule.sources[0] = 1
    weighted = matrix([[0.0, 2.0], [3.0, 0.0]])
    wire(weighted, 2).weights[:] = 0
    assert wire(weighted, 2).weights.tolist() == [3.0, 2.0]


def test_dense_matrix():
    W = np.array([[0.0, 2.0, 0.0], [-1.5, 0.0, 4.0]])
    for given_matrix in (W, np.asfortranarray(W), W.tolist(), W.astype(np.float32)):
        a = wire(matrix(given_matrix), 3, 2)
        assert pairs(a) == [(0, 1), (1, 0), (2, 1)]
        assert a.weights.tolist() == [-1.5, 2.0, 4.0]
        assert a.weights.dtype == np.float64
        assert a.order.tolist() == [1, 0, 2]  # in W[W != 0]
    assert wire(matrix([[0, 1], [2, 0]]), 2).weights.tolist() == [2.0, 1.0]


@pytest.mark.parametrize("form", ["coo", "csr", "csc", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("kind", [scipy.sparse.coo_array, scipy.sparse.coo_matrix])
def test_sparse_matrix(kind, form):
    rng = np.random.default_rng(3)
    W = np.where(rng.random((7, 5)) < 0.4, rng.normal(size=(7, 5)), 0.0)
    a = wire(matrix(kind(W).asformat(form)), 5, 7)
    stored = a.weights != 0  # the blocks of BSR store zeros
    assert form == "bsr" or stored.all()
    back = np.zeros((7, 5))
    back[a.targets[stored], a.sources[stored]] = a.weights[stored]
    np.testing.assert_array_equal(back, W)


def test_entries_of_a_sparse_matrix_are_synapses_as_they_are():
    """Repeated ones are not added up, and stored zeros are kept."""
    W = scipy.sparse.coo_array(([1.0, 2.0, 0.0, 4.0], ([0, 1, 1, 0], [1, 0, 1, 1])), (2, 2))
    a = wire(matrix(W), 2, 2, allow_multapses=True)
    assert pairs(a) == [(0, 1), (1, 0), (1, 1), (1, 0)]
    assert a.weights.tolist() == [2.0, 1.0, 0.0, 4.0]
    assert a.order.tolist() == [1, 0, 2, 3]
    assert a.n_multapses == 1
    assert W.nnz == 4
    twice = scipy.sparse.csr_array((np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 2, 2])), (2, 2))
    assert wire(matrix(twice), 2, 2, allow_multapses=True).weights.tolist() == [1.0, 2.0]


def test_duplicates_are_found_however_the_targets_lie():
    """All in one row, close together, in any order."""
    targets = np.random.default_rng(1).permutation(np.r_[np.arange(5000), 17])
    a = wire(edges(np.full(5001, 3), targets), 5, 10**6, allow_multapses=True)
    assert a.n_multapses == 1


# ---------------------------------------------------------------------------------------------------
# Rules as data


ALL_RULES = [
    (fixed_outdegree(3), {"name": "fixed_outdegree", "k": 3, "procedural": False}),
    (fixed_indegree(np.int64(100)), {"name": "fixed_indegree", "k": 100}),
    (pairwise_bernoulli(0.25), {"name": "pairwise_bernoulli", "p": 0.25}),
    (fixed_total_number(10), {"name": "fixed_total_number", "n": 10}),
    (one_to_one(), {"name": "one_to_one"}),
    (all_to_all(), {"name": "all_to_all"}),
    (edges([1, 0], [2, 3]), {"name": "edges", "sources": [1, 0], "targets": [2, 3]}),
    (
        matrix([[0, 0.1], [-2, 0]]),
        {"name": "matrix", "shape": [2, 2], "sources": [1, 0], "targets": [0, 1], "weights": [0.1, -2.0]},
    ),
]


@pytest.mark.parametrize(("rule", "d"), ALL_RULES, ids=lambda x: getattr(x, "name", ""))
def test_rules_are_data(rule, d):
    assert isinstance(rule, Rule)
    assert rule.name == d["name"]
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in rule.to_dict().items()}
    assert plain == d
    for again in (rule_from_dict(json.loads(json.dumps(d))), pickle.loads(pickle.dumps(rule))):
        assert again == rule
        assert hash(again) == hash(rule)
    assert all((rule == other) == (rule is other) for other, _ in ALL_RULES)
    assert rule != "a string"
    with pytest.raises(AttributeError):
        rule.k = 5


def test_rules_of_the_same_kind_differ_by_their_parameters():
    assert fixed_indegree(3) != fixed_indegree(4)
    assert edges([0], [1]) != edges([0], [2])
    assert edges([0], [1]) == edges([0], [1])


def test_repr():
    assert repr(fixed_outdegree(3)) == "fixed_outdegree(k=3, procedural=False)"
    assert repr(one_to_one()) == "one_to_one()"
    assert repr(edges([0] * 1000, [1] * 1000)) == "edges(<1000 edges>)"
    assert repr(matrix(np.eye(3))) == "matrix(<3 edges>)"


@pytest.mark.parametrize(
    ("d", "message"),
    [
        ({"name": "fixed_indegre", "k": 3}, "rule: 'fixed_indegre'.*did you mean 'fixed_indegree'"),
        ({"name": 3}, "unknown connection rule: 3"),
        ({"name": ["edges"]}, "unknown connection rule"),
        ({"k": 3}, "must be described as .*got {'k': 3}"),
        ("fixed_indegree", "must be described as"),
        ({"name": "edges", "source": 3}, "unknown parameter of edges: 'source' .*did you mean 'sources'"),
        ({"name": "one_to_one", "k": 3}, "unknown parameter of one_to_one: 'k'"),
        ({"name": "fixed_indegree"}, "fixed_indegree: k is missing"),
        ({"name": "fixed_indegree", "k": -3}, "k must be a whole number >= 0 of sources, got -3"),
        (
            {"name": "matrix", "shape": 3, "sources": [], "targets": [], "weights": []},
            "matrix: shape must be",
        ),
        (
            {"name": "matrix", "shape": [3], "sources": [], "targets": [], "weights": []},
            "matrix: shape must be",
        ),
        (
            {"name": "matrix", "shape": [2, -1], "sources": [], "targets": [], "weights": []},
            "matrix: number of columns must be a whole number, got -1",
        ),
        (
            {"name": "matrix", "shape": [2, 3], "sources": [2], "targets": [2], "weights": [1.0]},
            r"matrix: targets must be in \[0, 2\), got 2",
        ),
        (
            {"name": "matrix", "shape": [2, 3], "sources": [2], "targets": [1], "weights": []},
            "matrix: weights must have 1 entries, got 0",
        ),
        (
            {"name": "matrix", "shape": [2, 3], "sources": [2], "targets": [1], "weights": [math.nan]},
            "matrix: weights must be finite numbers, one per edge, got nan at index 0",
        ),
    ],
)
def test_bad_descriptions(d, message):
    with pytest.raises(errors.ParameterError, match=message):
        rule_from_dict(d)


# ---------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fixed_outdegree(-1), "fixed_outdegree: k must be a whole number >= 0 of targets, got -1"),
        (lambda: fixed_outdegree(2.0), "fixed_outdegree: k must be a whole number >= 0 of targets, got 2.0"),
        (lambda: fixed_outdegree(True), "fixed_outdegree: k must be .*, got True"),
        (lambda: fixed_outdegree(3, procedural=1), "procedural must be True or False, got 1"),
        (lambda: fixed_indegree("3"), "fixed_indegree: k must be a whole number >= 0 of sources, got '3'"),
        (lambda: pairwise_bernoulli(1.5), r"p must be a probability in \[0, 1\], got 1.5"),
        (lambda: pairwise_bernoulli(-1e-9), "pairwise_bernoulli: p must be"),
        (lambda: pairwise_bernoulli(math.nan), "pairwise_bernoulli: p must be .*, got nan"),
        (lambda: fixed_total_number(1e6), "fixed_total_number: n must be a whole number >= 0 of synapses"),
        (lambda: edges([0, 1], [1]), "edges: sources and targets must have the same length, .* 2 and 1"),
        (lambda: edges([0.0], [1]), "edges: sources must be an array of integers"),
        (lambda: edges([0], [-1]), r"edges: targets must be in \[0, 2147483647\), got -1 at index 0"),
        (lambda: edges([0], [2**31]), "edges: targets must be in"),
        (lambda: edges([[0]], [[1]]), "edges: sources must be one-dimensional"),
        (lambda: matrix([1.0, 2.0]), r"a connection must be a rule .*, got ndarray with shape \(2,\)"),
        (lambda: matrix(fixed_indegree), r"must be a rule, got <function .*; call it: sp\.fixed_indegree\(k\)"),
        (lambda: matrix([[1.0, 2.0], [3.0]]), "matrix: W must be an array of numbers, got list"),
        (lambda: matrix(np.ones((2, 2), bool)), r"real numbers, got dtype bool; .* use edges\(sources"),
        (lambda: matrix(scipy.sparse.eye_array(2, dtype=complex)), "real numbers, got dtype complex128"),
        (lambda: matrix([["a"]]), "real numbers, got dtype <U1"),
        (lambda: matrix(scipy.sparse.coo_array([1.0, 2.0])), r"matrix: W must be two-dimensional.*\(2,\)"),
        (lambda: matrix([[1.0, math.inf]]), r"must be finite, got W\[0, 1\] = inf; leave the entry out"),
        (lambda: matrix([[1.0], [math.nan]]), r"weights must be finite, got W\[1, 0\] = nan"),
        (
            lambda: matrix(scipy.sparse.csr_array([[0.0, math.nan]])),
            r"weights must be finite, got W\[0, 1\] = nan",
        ),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused_at_the_call(make, message):
    with pytest.raises(errors.ParameterError, match=message):
        make()


WHERE = {"where": "projection 'E' -> 'I'"}


@pytest.mark.parametrize(
    ("rule", "n_pre", "n_post", "options", "message"),
    [
        (fixed_outdegree(5), 5, None, {},
         "asks for 5 different targets of each source, but there are 4 beside the neuron itself; choose "
         "k <= 4 or allow_autapses=True or allow_multapses=True"),
        (fixed_outdegree(6), 9, 5, {},
         "asks for 6 different targets of each source, but there are 5; choose k <= 5 or "
         "allow_multapses=True"),
        (fixed_indegree(10), 9, 5, {},
         "asks for 10 different sources of each target, but there are 9; choose k <= 9"),
        (fixed_outdegree(1), 1, None, {"allow_multapses": True},
         "asks for 1 targets of each source, but there are 0 beside the neuron itself; choose k <= 0 or "
         "allow_autapses=True"),
        (fixed_indegree(1), 0, 3, {"allow_multapses": True}, "but there are 0; choose k <= 0"),
        (fixed_outdegree(1), 0, None, {}, "but there are 0 beside the neuron itself"),
        (fixed_total_number(13), 3, 4, {},
         "asks for 13 different pairs, but there are 12 pairs between 3 sources and 4 targets; choose "
         "n <= 12 or allow_multapses=True"),
        (fixed_total_number(7), 3, None, {}, "there are 6 pairs of different neurons between 3"),
        (fixed_total_number(1), 1, None, {"allow_multapses": True}, "asks for 1 pairs, .* choose n <= 0"),
        (one_to_one(), 3, 4, {},
         r"needs as many sources as targets, got 3 and 4; use edges\(sources, targets\)"),
        (one_to_one(), 3, None, {}, "connects each of its 3 neurons to itself; .*allow_autapses=True"),
        (edges([0, 2, 1, 2, 1], [1, 2, 1, 2, 1]), 3, None, {"allow_multapses": True},
         r"edges: 4 of 5 connections connect a neuron to itself, the first is 1 -> 1 \(at index 2\); .*"
         "allow_autapses=True"),
        (edges([2, 1, 2, 1], [1, 0, 1, 0]), 3, None, {},
         r"edges: 2 of 4 connections repeat another one, the first is 1 -> 0 \(at index 3\); .*"
         "allow_multapses=True"),
        (matrix(np.eye(3)), 3, None, {}, r"the matrix: 3 of 3 connections connect a neuron.*0 -> 0"),
        (matrix(np.ones((2, 3))), 2, 3, {},
         r"must have shape \(3, 2\), got \(2, 3\); it looks transposed, give W.T"),
        (matrix(np.ones((2, 3))), 5, 3, {}, r"must have shape \(3, 5\), got \(2, 3\)$"),
    ],
)  # fmt: skip
def test_impossible_connections(rule, n_pre, n_post, options, message):
    with pytest.raises(errors.ConnectivityError, match="^projection 'E' -> 'I': .*" + message):
        wire(rule, n_pre, n_post, **options, **WHERE)
    with pytest.raises(errors.ConnectivityError, match=message) as caught:
        wire(rule, n_pre, n_post, **options)
    assert not str(caught.value).startswith(":")


@pytest.mark.parametrize(
    ("sources", "targets", "message"),
    [([0, 3], [1, 1], r"edges: sources must be in \[0, 3\), got 3 at index 1"),
     ([0, 2], [1, 4], r"edges: targets must be in \[0, 4\), got 4 at index 1")],
)  # fmt: skip
def test_edges_outside_their_populations(sources, targets, message):
    with pytest.raises(errors.ParameterError, match="^projection 'E' -> 'I': " + message):
        wire(edges(sources, targets), 3, 4, **WHERE)
    with pytest.raises(errors.ParameterError, match="^" + message):
        wire(edges(sources, targets), 3, 4)


@pytest.mark.parametrize("rule", [fixed_outdegree(2**31), fixed_indegree(2**40)])
def test_rows_longer_than_neurons_can_be_counted(rule):
    with pytest.raises(errors.CapacityError, match="^projection 'E' -> 'I': .* at most 2147483647"):
        wire(rule, 3, 4, allow_multapses=True, **WHERE)


def test_too_many_neurons():
    with pytest.raises(errors.CapacityError, match="at most 2147483647 neurons, got 2147483648; split it"):
        wire(pairwise_bernoulli(0.0), 5, 2**31)


MUCH = [
    (fixed_outdegree(100), 1000, 1000, 400_000),
    (fixed_indegree(100), 1000, 1000, 800_000),
    (fixed_total_number(100_000), 1000, 1000, 400_000),
    (pairwise_bernoulli(0.1), 1000, 1000, 400_000),
    (pairwise_bernoulli(1.0), 1000, 1000, 4_000_000),
    (all_to_all(), 1000, 1000, 4_000_000),
    (one_to_one(), 100_000, 100_000, 400_000),
    (edges(np.arange(1000), np.arange(1000)), 1000, 1000, 12_000),
    (matrix(scipy.sparse.eye_array(1000)), 1000, 1000, 20_000),
]


@pytest.mark.parametrize(("rule", "n_pre", "n_post", "needed"), MUCH, ids=lambda x: getattr(x, "name", ""))
def test_too_little_memory_is_told_before_the_work_begins(monkeypatch, rule, n_pre, n_post, needed):
    monkeypatch.setattr(site, "available_memory", lambda: needed)
    message = r"^projection 'E' -> 'I': \d+ synapses need .* GiB while they are made, and .* are available; "
    with pytest.raises(errors.InsufficientMemoryError, match=message):
        wire(rule, n_pre, n_post, **WHERE)
    monkeypatch.setattr(site, "available_memory", lambda: needed + 30 * n_pre + 10_000)
    wire(rule, n_pre, n_post)


def test_absurd_sizes_are_refused_at_once():
    for rule in (
        fixed_outdegree(2**31 - 1),
        all_to_all(),
        pairwise_bernoulli(0.5),
        fixed_total_number(2**60),
    ):
        with pytest.raises(errors.InsufficientMemoryError, match="GiB of memory are available; "):
            wire(rule, 2**31 - 1, 2**31 - 1)
    with pytest.raises(errors.InsufficientMemoryError):
        wire(fixed_total_number(10**30), 10, 10, allow_multapses=True)


def test_available_memory(monkeypatch):
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < _machine.available_memory() <= whole

    def refuse(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    assert _machine.available_memory() == whole


def test_little_memory_is_not_refused_when_the_estimate_is_0_for_a_moment(monkeypatch):
    monkeypatch.setattr(_machine, "open", lambda *_, **__: io.StringIO("MemAvailable: 0 kB\n"), raising=False)
    assert _machine.available_memory() == 2**26


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "fixed_indegree"}, r"rule must be a connection rule such as .*, got 'fixed_indegree'"),
        ({"n_pre": -1}, "n_pre must be a number of neurons, got -1"),
        ({"n_post": 1.5}, "n_post must be a number of neurons, got 1.5"),
        ({"same_population": 1}, "same_population must be True or False, got 1"),
        ({"same_population": True}, "one population has one size, got n_pre=3 and n_post=4"),
        ({"projection": -1}, "projection must be a whole number >= 0, got -1"),
        ({"allow_autapses": None}, "allow_autapses must be True or False, got None"),
        ({"allow_multapses": "no"}, "allow_multapses must be True or False, got 'no'"),
    ],
)
def test_bad_arguments_of_build(arguments, message):
    good = {
        "rule": one_to_one(),
        "n_pre": 3,
        "n_post": 4,
        "same_population": False,
        "key": KEY,
        "projection": 0,
    }
    with pytest.raises(errors.ParameterError, match=message):
        build(**{**good, **arguments})


def test_the_compiled_functions_protect_their_memory():
    good = np.array([0, 2, 4])
    for call in (
        lambda key: _wiring.draw_rows(key, 1, 0, good, 5, False, False),
        lambda key: _wiring.draw_bernoulli(key, 1, 0, 5, 5, 0.5, False, 10),
        lambda key: _wiring.draw_row_lengths(key, 1, 0, 5, 5, 5, False),
    ):
        with pytest.raises(ValueError, match="a key has 2 words, got 1"):
            call(np.zeros(1, np.uint64))
    for offsets, n, skip_self, with_replacement in (
        ([0, 2, 8], 5, False, False),
        ([0, 5], 5, True, False),
        ([0, 2, 1], 5, False, True),
        ([0, 1], 1, True, True),
        ([0, 1], 0, True, True),
        ([0, 2**31], 5, False, True),
    ):
        with pytest.raises(ValueError, match=r"row \d cannot have -?\d+ of \d ids"):
            _wiring.draw_rows(KEY, 1, 0, np.array(offsets), n, skip_self, with_replacement)
    for n_rows, width, total, with_replacement in ((2, 3, 7, False), (0, 3, 1, True), (3, 0, 1, True)):
        with pytest.raises(ValueError, match=rf"there are not {total} cells in {n_rows} rows of {width}"):
            _wiring.draw_row_lengths(KEY, 3, 0, n_rows, width, total, with_replacement)


class Alarm(Exception):
    pass


@pytest.mark.parametrize(
    "rule",
    [fixed_outdegree(1000), fixed_indegree(1000), pairwise_bernoulli(0.01), fixed_total_number(10**8)],
    ids=repr,
)  # fmt: skip
def test_long_builds_can_be_interrupted(rule):
    """10^8 synapses, which take seconds; the timer also shows that the GIL is free."""

    def handler(*_):
        raise Alarm

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with pytest.raises(Alarm):
            timer.start()
            wire(rule, 100_000)
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(
    "work",
    [
        lambda offsets: sp.normal(1.0, 0.1).draw(KEY, Purpose.WEIGHT, 0, offsets),
        lambda offsets: _wiring.sort_rows(offsets, np.zeros(offsets[-1]), np.zeros(offsets[-1], np.int32)),
        lambda offsets: _wiring.draw_rows(KEY, 1, 0, offsets, 10**6, False, False),
    ],
    ids=["values", "sorting", "rows"],
)
def test_what_is_shared_out_can_be_interrupted(work, n_threads, monkeypatch):
    """4 * 10^7 synapses; after a signal no piece is begun, and no thread goes on."""
    monkeypatch.setattr(_machine, "cores", lambda: n_threads)
    wanted, begun = [], []

    def share_out(work, pieces):
        wanted.extend(pieces)
        timer.start()
        _machine.share_out(lambda *piece: begun.append(piece) or work(*piece), pieces)

    def handler(*_):
        raise Alarm

    monkeypatch.setattr(_wiring, "share_out", share_out)
    timer = threading.Timer(0.03, os.kill, (os.getpid(), signal.SIGUSR1))
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(Alarm):
            work(np.arange(0, 4 * 10**7 + 1, 1000))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert sorted(begun) == wanted[: len(begun)]
    assert 0 < len(begun) < len(wanted)
    assert not any(thread.name == "sparseprop" for thread in threading.enumerate())


def test_adjacency_of_nothing():
    a = Adjacency(np.zeros(1, np.int64), np.zeros(0, np.int32))
    assert a.n_synapses == 0
    assert a.sources.shape == (0,)
