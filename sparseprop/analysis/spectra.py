"""Power spectra of the activity of a population."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._validation import integer, real
from ..errors import ParameterError, named_arguments
from ..numerics._functions import cos_many
from .counts import time_histogram
from .trains import SpikeTrains, width_of

if TYPE_CHECKING:
    from .._types import Floats, Spikes

__all__ = ["PowerSpectrum", "power_spectrum"]


class PowerSpectrum(NamedTuple):
    """Frequencies in Hz, shape (n,), and the power spectral density at each, in Hz^2 / Hz.

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(1000.0)
    >>> found = sp.analysis.power_spectrum(res, frequency_resolution=10.0)
    >>> found.frequencies[-1], found.power.shape
    (np.float64(500.0), (51,))
    """

    frequencies: Floats
    power: Floats


@named_arguments
def power_spectrum(
    spikes: Spikes, bin_width: float = 1.0, *, frequency_resolution: float | None = None, n_segments: int = 8
) -> PowerSpectrum:
    """The power spectral density of the mean rate of all neurons, by Welch's method.

    One-sided, of half-overlapping segments with a Hann window, each without its mean. For n independent Poisson
    processes of rate r it is flat at 2 r / n.

    Parameters
    ----------
    spikes : Result, SpikeTrains, path-like, tuple or neo.SpikeTrain(s)
        As for :meth:`SpikeTrains.of`. Sources are left out, unless there is nothing else; ``res["E"]`` is one
        population.
    bin_width : float
        ms, of the :func:`time_histogram` whose `rate` it is of. The highest frequency is ``500 / bin_width`` Hz.
    frequency_resolution : float, optional
        Hz: segments are as long as this asks for. Default: as long as `n_segments` of them allow.
    n_segments : int
        Where no `frequency_resolution` is given.

    Returns
    -------
    PowerSpectrum
        ``(frequencies, power)``, in Hz and Hz^2 / Hz. NaN where nobody knows how many neurons were recorded.

    Raises
    ------
    ParameterError
        If the interval has not enough bins.

    References
    ----------
    Welch (1967), IEEE Trans. Audio Electroacoust. 15:70, doi:10.1109/TAU.1967.1161901.

    Examples
    --------
    >>> import sparseprop as sp
    >>> res = sp.balanced_network(200, sp.LIF(tau_m=10.0), outdegree=50, seed=1).run(1000.0)
    >>> frequencies, power = sp.analysis.power_spectrum(res, frequency_resolution=10.0)
    >>> frequencies[:3].tolist(), bool((power >= 0.0).all())
    ([0.0, 10.0, 20.0], True)
    """
    width = width_of(bin_width, "power_spectrum: bin_width")
    n_segments = integer(n_segments, "power_spectrum: n_segments", "a whole number >= 1", low=1)
    trains = SpikeTrains.of(spikes)
    rate = time_histogram(trains, width).rate
    sampling = 1e3 / width
    if frequency_resolution is None:
        length = int(rate.size / (n_segments - 0.5 * (n_segments - 1)))
        remedy = f"take narrower bins or fewer than {n_segments} segments"
    else:
        resolution = real(
            frequency_resolution,
            "power_spectrum: frequency_resolution",
            "a finite frequency > 0 Hz",
            unit="Hz",
            low=0.0,
            low_open=True,
        )
        length = int(sampling / resolution * (1.0 + 1e-12))
        remedy = "take narrower bins, or another frequency_resolution"
    if not 2 <= length <= rate.size:
        raise ParameterError(
            f"power_spectrum: segments must have 2 to {rate.size} bins, as many as the interval has, got {length}; "
            f"{remedy}"
        )
    return PowerSpectrum(*_welch(rate, sampling, length))


def _welch(signal, sampling, length):
    """Frequencies and the one-sided density of segments of so many points; as scipy.signal.welch, but light to load."""
    segments = np.lib.stride_tricks.sliding_window_view(signal, length)[:: length - length // 2]
    window = 0.5 - 0.5 * cos_many(2.0 * np.pi / length * np.arange(length))
    power = np.zeros(length // 2 + 1)
    for segment in segments:
        found = np.fft.rfft((segment - segment.mean()) * window)
        power += found.real**2 + found.imag**2
    power *= 2.0 / (len(segments) * sampling * (window @ window))
    power[0] /= 2.0
    if length % 2 == 0:
        power[-1] /= 2.0
    return sampling / length * np.arange(power.size), power
