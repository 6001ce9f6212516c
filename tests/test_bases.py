"""The decompositions of the tangent pass: what numpy's are to rounding, and the same bits on any number of threads."""

import numpy as np
import pytest

import sparseprop as sp
from sparseprop.engine._tangent import Tangent, product

SHAPES = [(1, 1), (5, 5), (7, 3), (40, 40), (100, 70), (130, 130), (330, 257)]


def tangent(n_rows, n_columns, block=64):
    net = sp.Network(seed=1)
    net.add(n_rows, sp.LIF(tau_m=10.0, I_e=1.2))
    return Tangent(net.engine_input(None), n_columns, block)


def decomposed(matrix, kind, block=64, n_threads=1):
    """The basis, the triangular factor and its diagonal."""
    n, m = matrix.shape
    vectors, ones = tangent(n, m, block), np.ones(n)
    vectors.put(matrix, ones)
    triangle = np.zeros((vectors.padded, vectors.padded))
    diagonal = getattr(vectors, f"make_{kind}")(ones, triangle, n_threads)
    basis = np.empty((n, m))
    vectors.get(basis, ones)
    assert (triangle[m:] == 0.0).all() and (triangle[:, m:] == 0.0).all()
    return basis, triangle[:m, :m], diagonal


def random(n, m, seed=1):
    return np.random.default_rng(seed).normal(size=(n, m))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [8, 24, 64])
def test_lu_is_a_lower_triangle_of_exchanged_rows_times_an_upper_one(shape, block):
    matrix = random(*shape)
    basis, upper, diagonal = decomposed(matrix, "lower", block)
    np.testing.assert_allclose(basis @ upper, matrix, rtol=0.0, atol=1e-13 * shape[0])
    assert (np.tril(upper, -1) == 0.0).all() and (np.diagonal(upper) == diagonal).all()
    assert np.abs(basis).max() == 1.0
    # The pivots' rows, each with a 1 behind which there are zeros.
    pivots = [
        int(np.flatnonzero((basis[:, k] == 1.0) & (basis[:, k + 1 :] == 0.0).all(axis=1))[0]) for k in range(shape[1])
    ]
    assert len(set(pivots)) == shape[1] and (np.triu(basis[pivots], 1) == 0.0).all()
    assert np.prod(np.sign(diagonal)) * np.sign(np.linalg.det(basis[pivots])) != 0.0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [8, 24, 64])
def test_qr_is_that_of_numpy(shape, block):
    matrix = random(*shape) * np.geomspace(1.0, 1e-9, shape[1])
    basis, upper, diagonal = decomposed(matrix, "orthonormal", block)
    q, r = np.linalg.qr(matrix)
    signs = np.sign(np.diagonal(r))
    np.testing.assert_allclose(basis, q * signs, rtol=0.0, atol=1e-13 * shape[0])
    np.testing.assert_allclose(diagonal, np.abs(np.diagonal(r)), rtol=1e-13 * shape[0])
    np.testing.assert_allclose(basis @ upper, matrix, rtol=0.0, atol=1e-13)
    assert (np.tril(upper, -1) == 0.0).all() and (np.diagonal(upper) == diagonal).all()


@pytest.mark.parametrize("kind", ["lower", "orthonormal"])
@pytest.mark.parametrize("shape", [(330, 257), (700, 200)])
def test_number_of_threads_changes_no_bit(kind, shape):
    matrix = random(*shape)
    one = decomposed(matrix, kind)
    for n_threads in (2, 3, 8):
        assert all((x == y).all() for x, y in zip(one, decomposed(matrix, kind, 64, n_threads), strict=True))


@pytest.mark.parametrize("kind", ["lower", "orthonormal"])
@pytest.mark.parametrize("block", [8, 64])
def test_rows_are_multiplied_first(kind, block):
    matrix, gain = random(100, 90), np.geomspace(0.1, 10.0, 100)
    expected, _, diagonal = decomposed(matrix * gain[:, None], kind, block)
    vectors, ones, basis = tangent(100, 90, block), np.ones(100), np.empty((100, 90))
    vectors.put(matrix, ones)
    assert (getattr(vectors, f"make_{kind}")(gain) == diagonal).all()
    vectors.get(basis, ones)
    assert (basis == expected).all()
    vectors.put_back(gain)
    vectors.get(basis, ones)
    assert (basis == expected * (1.0 / gain)[:, None]).all()


@pytest.mark.parametrize("block", [8, 64])
def test_columns_that_depend_on_others_have_no_part_in_the_volume(block):
    matrix = random(60, 20)
    matrix[:, 7] = 0.0
    matrix[:, 12] = matrix[:, 3]
    for kind in ("lower", "orthonormal"):
        basis, upper, diagonal = decomposed(matrix, kind, block)
        assert diagonal[7] == 0.0 and abs(diagonal[12]) < 1e-13 and (np.abs(np.delete(diagonal, [7, 12])) > 0.1).all()
        np.testing.assert_allclose(basis @ upper, matrix, rtol=0.0, atol=1e-12)
        if kind == "orthonormal":
            np.testing.assert_allclose(basis.T @ basis, np.eye(20), rtol=0.0, atol=1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 0), (50, 3), (99, 69)])
def test_what_is_no_number_is_seen_on_the_diagonal(value, where):
    matrix = random(100, 70)
    matrix[where] = value
    for kind in ("lower", "orthonormal"):
        vectors, ones = tangent(100, 70), np.ones(100)
        vectors.put(matrix, ones)
        assert not np.isfinite(getattr(vectors, f"make_{kind}")(ones)).all()
        # And it does not stay behind.
        matrix_after, basis = random(100, 70), np.empty((100, 70))
        vectors.put(matrix_after, ones)
        diagonal = getattr(vectors, f"make_{kind}")(ones)
        vectors.get(basis, ones)
        expected = decomposed(matrix_after, kind)
        assert (basis == expected[0]).all() and (diagonal == expected[2]).all()


@pytest.mark.parametrize("n", [1, 5, 8, 70, 200])
def test_a_product_of_triangles(n):
    padded = -(-n // 64) * 64
    first, second = np.zeros((padded, padded)), np.zeros((padded, padded))
    first[:n, :n], second[:n, :n] = np.triu(random(n, n, 1)), np.triu(random(n, n, 2))
    np.testing.assert_allclose(product(first, second, n), first @ second, rtol=0.0, atol=1e-13 * n)
