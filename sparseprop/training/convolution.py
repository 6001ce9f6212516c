"""Convolutional layers: synapses that repeat a kernel over positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .. import _validation, connectivity
from ..errors import ParameterError, named_arguments, shown
from ..network import Network, Projection
from .builders import first_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._types import ArrayLike, Floats, Ints
    from ..connectivity.distributions import Distribution
    from ..network import Network, Population

__all__ = ["Convolution"]


@named_arguments
class Convolution:
    """Which synapses a convolution has, and which of its weights each of them repeats.

    Neurons of a layer are numbered by channel, then by position, the last axis fastest: an array of shape
    ``(channels, height, width)``, flattened. A target at position y has synapses from ``y stride - padding + f`` for
    all places f of the kernel, of all channels; what would be outside is left out (a padding of zeros).

    Parameters
    ----------
    input_shape : sequence of int
        Channels, and the lengths of one to three axes.
    channels : int
        Of the targets.
    kernel_size : int or sequence of int
        One for all axes, or one for each.
    stride, padding : int or sequence of int

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        Channels and positions of sources and of targets.
    kernel_shape : tuple of int
        Channels of targets and of sources, and the kernel's size: as PyTorch's Conv1d, Conv2d and Conv3d have weights.
    n_sources, n_targets : int
    sources, targets : ndarray of int, shape (n_synapses,)
    places : ndarray of int, shape (n_synapses,)
        Which entry of the flattened kernel each synapse has.

    Raises
    ------
    ParameterError
        For values that are not allowed.

    Examples
    --------
    >>> import sparseprop as sp
    >>> from sparseprop import training
    >>> model = sp.LIFExp(tau_m=20.0, tau_syn=5.0)
    >>> convolution = training.Convolution((1, 8, 8), channels=4, kernel_size=3, stride=2, padding=1)
    >>> convolution.output_shape, convolution.kernel_shape, len(convolution.sources)
    ((4, 4, 4), (4, 1, 3, 3), 484)
    >>> net = sp.Network(seed=1)
    >>> source = net.add(convolution.n_sources, sp.SpikeSource([], []), name="input")
    >>> hidden = net.add(convolution.n_targets, model, name="hidden", V=0.0)
    >>> output = net.add(10, training.leaky_readout(model), name="output", V=0.0)
    >>> p = convolution.connect(net, source, hidden)
    >>> _ = net.connect(hidden, output, sp.all_to_all(), weight=sp.normal(0.0, 0.2))
    >>> loss = training.MembraneCrossEntropy(times=[20.0, 30.0, 40.0])
    >>> trainer = training.Trainer(net, loss, duration=40.0, shared={p: convolution}, n_threads=1)
    >>> convolution.kernel(p).shape
    (4, 1, 3, 3)
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    n_sources: int
    n_targets: int
    sources: Ints
    targets: Ints
    places: Ints

    def __init__(
        self,
        input_shape: Sequence[int],
        channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
    ) -> None:
        input_shape = _validation.without_unit(input_shape, "input_shape")
        if not _validation.is_array(input_shape) or not 2 <= len(input_shape) <= 4:
            raise ParameterError(
                f"input_shape must be (channels, length), (channels, height, width) or one axis more, got "
                f"{shown(input_shape)}"
            )
        self.input_shape = tuple(
            _validation.integer(size, f"input_shape[{k}]", "a whole number >= 1", low=1)
            for k, size in enumerate(input_shape)
        )
        axes = len(self.input_shape) - 1
        self.channels = _validation.integer(channels, "channels", "a whole number >= 1", low=1)
        self.kernel_size = _by_axis(kernel_size, "kernel_size", axes, 1)
        self.stride, self.padding = _by_axis(stride, "stride", axes, 1), _by_axis(padding, "padding", axes, 0)
        positions = tuple(
            (length + 2 * padding - kernel) // stride + 1
            for length, kernel, stride, padding in zip(
                self.input_shape[1:], self.kernel_size, self.stride, self.padding, strict=True
            )
        )
        if min(positions) < 1:
            raise ParameterError(
                f"kernel_size must be at most the length of its axis with its padding, got {self.kernel_size} for "
                f"input_shape {self.input_shape} and padding {self.padding}"
            )
        self.output_shape = (self.channels, *positions)
        self.kernel_shape = (self.channels, self.input_shape[0], *self.kernel_size)
        self.n_sources, self.n_targets = math.prod(self.input_shape), math.prod(self.output_shape)
        self.sources, self.targets, self.places = self._synapses()

    def __repr__(self) -> str:
        return (
            f"Convolution({self.input_shape}, channels={self.channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding})"
        )

    def _synapses(self):
        """Of each synapse its source, its target and its place in the kernel."""
        inside = [self._axis(k) for k in range(len(self.kernel_size))]  # (target, place, source) along each axis
        which = np.indices([len(found) for found in inside]).reshape(len(inside), -1)
        target, place, source = (
            np.ravel_multi_index([found[w, column] for found, w in zip(inside, which, strict=True)], shape)
            for column, shape in enumerate((self.output_shape[1:], self.kernel_size, self.input_shape[1:]))
        )
        to, of = np.indices(self.kernel_shape[:2]).reshape(2, -1, 1)
        source = of * math.prod(self.input_shape[1:]) + source
        target = to * math.prod(self.output_shape[1:]) + target
        place = (to * self.input_shape[0] + of) * math.prod(self.kernel_size) + place
        return source.ravel(), target.ravel(), place.ravel()

    def _axis(self, k):
        target, place = np.indices((self.output_shape[1 + k], self.kernel_size[k])).reshape(2, -1)
        source = target * self.stride[k] - self.padding[k] + place
        there = (source >= 0) & (source < self.input_shape[1 + k])
        return np.stack([target, place, source], axis=1)[there]

    def connect(
        self,
        net: Network,
        pre: Population | str,
        post: Population | str,
        *,
        kernel: ArrayLike | None = None,
        delay: float | Distribution = 0.0,
    ) -> Projection:
        """Connect two populations by this convolution.

        Parameters
        ----------
        net : Network
        pre, post : Population
            With as many neurons as `input_shape` and `output_shape` have.
        kernel : array_like of shape kernel_shape, optional
            The weights. Default: normal numbers, as :func:`layered_network` draws them for a first layer of as many
            inputs as a target has.
        delay : float or distribution
            ms.

        Returns
        -------
        Projection

        Raises
        ------
        ParameterError
            For populations of other sizes, and values that are not allowed.
        """
        if not isinstance(net, Network):
            raise ParameterError(f"net must be a Network, got {shown(net)}")
        for population, n, what in ((pre, self.n_sources, "input_shape"), (post, self.n_targets, "output_shape")):
            if getattr(population, "n", None) != n:
                shape = getattr(self, what)
                raise ParameterError(f"{what} {shape} needs a population of {n} neurons, got {shown(population)}")
        if kernel is None:
            kernel = self._first_kernel(net, post)
        kernel = _validation.real_array(kernel, "kernel", ndim=len(self.kernel_shape))
        if kernel.shape != self.kernel_shape:
            raise ParameterError(f"kernel must be of shape {self.kernel_shape}, got {kernel.shape}")
        rule = connectivity.edges(self.sources, self.targets)
        return net.connect(pre, post, rule, weight=kernel.reshape(-1)[self.places], delay=delay)

    def _first_kernel(self, net, post):
        n = math.prod(self.kernel_shape[1:])
        # Seeds are apart from those of layers, and different for each projection.
        return first_weights(post.model, n, self.kernel_shape, [net.seed, 2, len(net.projections)])

    def shared(self, projection: Projection) -> Ints:
        """Which weight each synapse of a projection has, in its order: for ``Trainer(shared={p: ...})``."""
        if not isinstance(projection, Projection) or projection.n_synapses != len(self.places):
            raise ParameterError(
                f"projection must be one that this convolution has made, of {len(self.places)} synapses, got "
                f"{shown(projection)}"
            )
        return self.places[projection.order]

    def kernel(self, projection: Projection) -> Floats:
        """The weights of a projection as a kernel, of shape `kernel_shape`; 0 for places that no synapse has."""
        kernel = np.zeros(math.prod(self.kernel_shape))
        kernel[self.shared(projection)] = projection.weight
        return kernel.reshape(self.kernel_shape)


def _by_axis(value, name, axes, low):
    value = _validation.without_unit(value, name)
    values = list(value) if _validation.is_array(value) else [value] * axes
    if len(values) != axes:
        raise ParameterError(f"{name} must be one number, or one for each of the {axes} axes, got {shown(value)}")
    return tuple(_validation.integer(v, name, f"whole numbers >= {low}", low=low) for v in values)
