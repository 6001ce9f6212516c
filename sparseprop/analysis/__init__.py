"""Statistics of spike trains: of results, of rasters in files, of populations, of arrays and of spike trains of neo.

Imported when it is asked for: ``sp.analysis.cv(res)``. Times are in ms, rates and frequencies in Hz. What is not known
is NaN: of neurons that were not recorded, and of such as have too few spikes.
"""

from .correlations import (
    CrossCorrelation,
    correlation_coefficient,
    covariance,
    cross_correlation_histogram,
    mean_correlation,
)
from .counts import TimeHistogram, fano_factor, spike_counts, time_histogram
from .distances import van_rossum_distance, victor_purpura_distance
from .figures import (
    plot_cross_correlation,
    plot_distribution,
    plot_isi,
    plot_matrix,
    plot_power_spectrum,
    plot_time_histogram,
)
from .intervals import Histogram, Intervals, cv, cv2, isi, isi_histogram, lv, lvr, rates
from .spectra import PowerSpectrum, power_spectrum
from .synchrony import spike_contrast, spike_time_tiling_coefficient, synchrony_index
from .trains import SpikeTrains

__all__ = [
    "CrossCorrelation",
    "Histogram",
    "Intervals",
    "PowerSpectrum",
    "SpikeTrains",
    "TimeHistogram",
    "correlation_coefficient",
    "covariance",
    "cross_correlation_histogram",
    "cv",
    "cv2",
    "fano_factor",
    "isi",
    "isi_histogram",
    "lv",
    "lvr",
    "mean_correlation",
    "plot_cross_correlation",
    "plot_distribution",
    "plot_isi",
    "plot_matrix",
    "plot_power_spectrum",
    "plot_time_histogram",
    "power_spectrum",
    "rates",
    "spike_contrast",
    "spike_counts",
    "spike_time_tiling_coefficient",
    "synchrony_index",
    "time_histogram",
    "van_rossum_distance",
    "victor_purpura_distance",
]


def __dir__():
    """Public names only, as of the package."""
    return __all__
