"""Spoken digits, made here: spikes of 700 channels in answer to words of three sounds, as a cochlea would send them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _validation
from ..batch import SpikeData
from ..errors import ParameterError, named_arguments

if TYPE_CHECKING:
    from .._types import ArrayLike

__all__ = ["spoken_digits"]

N_CHANNELS, N_SPEAKERS, N_SPIKES = 700, 12, 8000
# Ten words of three sounds each, of eight; ten others are these in reverse order.
WORDS = ((0, 1, 2), (0, 3, 4), (1, 5, 3), (2, 6, 0), (3, 7, 1), (4, 2, 5), (5, 0, 7), (6, 4, 1), (7, 6, 3), (2, 4, 7))
N_SOUNDS, N_FORMANTS = 8, 3


def _sounds():
    """Where the formants of each sound begin and end (channels), how wide they are, and how loud."""
    draws = np.random.Generator(np.random.PCG64(7))
    # Each formant has a third of the channels for itself.
    middle = (np.arange(N_FORMANTS) + 0.15 + 0.7 * draws.random((N_SOUNDS, N_FORMANTS))) * (N_CHANNELS / N_FORMANTS)
    glide = 160.0 * (draws.random((N_SOUNDS, N_FORMANTS)) - 0.5)
    width = 25.0 + 50.0 * draws.random((N_SOUNDS, N_FORMANTS))
    loudness = 0.3 + 0.7 * draws.random((N_SOUNDS, N_FORMANTS))
    return middle - 0.5 * glide, middle + 0.5 * glide, width, loudness


def _speakers():
    """How each speaker shifts and stretches channels, the pace, and how much noise there is."""
    draws = np.random.Generator(np.random.PCG64(11)).random((4, N_SPEAKERS))
    return 160.0 * (draws[0] - 0.5), 0.85 + 0.3 * draws[1], 0.7 + 0.6 * draws[2], 0.1 + 0.3 * draws[3]


SOUNDS, SPEAKERS = _sounds(), _speakers()


@named_arguments
def spoken_digits(n: int, seed: int, *, speakers: ArrayLike | None = None) -> SpikeData:
    """Words of three sounds in spikes of 700 channels: a stand-in for the Spiking Heidelberg Digits, made of numbers.

    A word is three of eight sounds, one after the other, and a sound is three bands of channels that glide up or down
    while it lasts. There are ten words, classes 0 to 9; **class k + 10 has the sounds of class k in reverse order**, so
    that numbers of spikes by channel do not tell them apart. Each of twelve speakers shifts and stretches the channels
    and has a pace and a share of noise; each sample has its own onset, lengths of sounds, loudness, and scatter. Some
    8000 spikes in some 600 ms; the sizes are those of SHD, the words are not.

    Parameters
    ----------
    n : int
        Number of samples. Classes are equally probable.
    seed : int
        Of samples. Words and speakers are the same for all.
    speakers : array_like of int, optional
        Who of the twelve (0 to 11) speaks; default: all. Others for testing than for training make it harder.

    Returns
    -------
    SpikeData
        Of 700 sources, times in ms, with labels 0 to 19. :func:`write_shd` makes a file of them.

    Raises
    ------
    ParameterError
        For values that are not allowed.

    References
    ----------
    Cramer et al. (2022), The Heidelberg spiking data sets for the systematic evaluation of spiking neural networks,
    doi:10.1109/TNNLS.2020.3044364: the recordings and the cochlea that this is not.

    Examples
    --------
    >>> from sparseprop import training
    >>> data = training.spoken_digits(40, seed=1)
    >>> data.n, len(data), bool(data.labels.max() < 20)
    (700, 40, True)
    >>> bool(3000 < data.counts.min() and data.counts.max() < 10_100 and data.times.max() < 1000.0)
    True
    """
    n = _validation.integer(n, "n of spoken_digits", "a whole number from 0 to 10^6", low=0, high=10**6)
    seed = _validation.integer(seed, "seed of spoken_digits", "a whole number >= 0", low=0)
    who = np.arange(N_SPEAKERS) if speakers is None else _validation.index_array(speakers, "speakers", N_SPEAKERS)
    if not len(who):
        raise ParameterError("speakers must name at least one of 0 to 11, got none")
    draws = np.random.Generator(np.random.PCG64([seed, 700]))
    labels, speakers = draws.integers(0, 2 * len(WORDS), n), who[draws.integers(0, len(who), n)]
    spoken = [_word(draws, label, speaker) for label, speaker in zip(labels.tolist(), speakers.tolist(), strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(times) for times, _ in spoken], dtype=np.int64)])
    times = np.concatenate([np.zeros(0), *(times for times, _ in spoken)])
    ids = np.concatenate([np.zeros(0, np.int64), *(channels for _, channels in spoken)])
    return SpikeData(times, ids, offsets, labels, n=N_CHANNELS)


def _word(draws, label, speaker):
    """(times in ms, channels) of one sample. Arithmetic alone, so that it has the same bits everywhere."""
    begin, end, width, loudness = SOUNDS
    shift, stretch, pace, noise = (trait[speaker] for trait in SPEAKERS)
    word = np.array(WORDS[label % len(WORDS)])
    word = word[::-1] if label >= len(WORDS) else word
    lengths = 170.0 * pace * (0.6 + 0.8 * draws.random(3))
    starts = 20.0 + 60.0 * draws.random() + np.concatenate([[0.0], np.cumsum(lengths[:2])])
    loud = loudness[word] * (0.7 + 0.6 * draws.random((3, N_FORMANTS))) * lengths[:, None]
    own_shift = shift + 30.0 * (draws.random() - 0.5)
    size = int(N_SPIKES * (0.75 + 0.5 * draws.random()))
    # Which band each spike is of, by loudness.
    shares = np.cumsum(loud.ravel())
    band = np.minimum(np.searchsorted(shares, draws.random(size) * shares[-1], side="right"), loud.size - 1)
    place, formant = np.divmod(band, N_FORMANTS)
    sound, passed = word[place], draws.random(size)
    # Sums of three uniform numbers, nearly normal.
    times = starts[place] + lengths[place] * passed + 8.0 * (draws.random((3, size)).sum(axis=0) - 1.5)
    scatter = width[sound, formant] * (draws.random((3, size)).sum(axis=0) - 1.5)
    centre = begin[sound, formant] + passed * (end[sound, formant] - begin[sound, formant])
    channels = N_CHANNELS / 2 + stretch * (centre - N_CHANNELS / 2) + own_shift + scatter
    is_noise = draws.random(size) < noise
    channels = np.where(is_noise, N_CHANNELS * draws.random(size), channels)
    times = np.where(is_noise, (starts[2] + lengths[2] + 50.0) * draws.random(size), times)
    heard = (channels >= 0.0) & (channels < N_CHANNELS)
    return times[heard], channels[heard].astype(np.int64)
