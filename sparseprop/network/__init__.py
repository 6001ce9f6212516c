"""Networks, as users describe them, and the way from there to what engines get."""

from .configuration import ENTRIES
from .network import Network
from .parts import Drive, Population, Projection
from .ready_made import balanced_network, calibrate_rate

__all__ = ["ENTRIES", "Drive", "Network", "Population", "Projection", "balanced_network", "calibrate_rate"]
