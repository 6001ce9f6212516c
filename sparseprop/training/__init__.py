"""Training spiking networks with exact gradients: tasks, networks, losses, an optimiser and a trainer.

Imported when it is asked for: ``from sparseprop import training``.
"""

from ..batch import SpikeData
from .builders import layered_network, recurrent_network
from .convolution import Convolution
from .data import digits, mnist_5k, yin_yang
from .encoding import latencies, spikes_from_raster
from .events import read_shd, spikes_from_events, write_shd
from .flossing import Flossing
from .history import History
from .losses import (
    Evaluation,
    FirstSpikeCrossEntropy,
    FunctionLoss,
    Loss,
    MembraneCrossEntropy,
    PeakMargin,
    SpikeCountCrossEntropy,
    SpikeCountPenalty,
    SpikeTimeError,
    VanRossumDistance,
)
from .optimizers import Adam, Optimizer
from .pseudospikes import Pseudospikes
from .readings import record_for
from .readout import leaky_readout
from .schedules import CosineDecay, StepDecay
from .silence import SilenceWarning
from .speech import spoken_digits
from .stopping import BestEpoch, EarlyStopping
from .trainer import Trainer

__all__ = [
    "Adam",
    "BestEpoch",
    "Convolution",
    "CosineDecay",
    "EarlyStopping",
    "Evaluation",
    "FirstSpikeCrossEntropy",
    "Flossing",
    "FunctionLoss",
    "History",
    "Loss",
    "MembraneCrossEntropy",
    "Optimizer",
    "PeakMargin",
    "Pseudospikes",
    "SilenceWarning",
    "SpikeCountCrossEntropy",
    "SpikeCountPenalty",
    "SpikeData",
    "SpikeTimeError",
    "StepDecay",
    "Trainer",
    "VanRossumDistance",
    "digits",
    "latencies",
    "layered_network",
    "leaky_readout",
    "mnist_5k",
    "read_shd",
    "recurrent_network",
    "record_for",
    "spikes_from_events",
    "spikes_from_raster",
    "spoken_digits",
    "write_shd",
    "yin_yang",
]


def __dir__():
    """Public names only, as of the package."""
    return __all__
