"""Networks and spikes in the files and graphs of others.

Spikes: :func:`convert`, :func:`read_spikes`, :func:`write_spikes` (SONATA in several layouts, NWB, CSV, npz; the
command is ``sparseprop convert``). Networks: :func:`write_sonata_network`, :func:`read_sonata_network`, and
:func:`to_nir`, :func:`from_nir`. Results as
objects of other libraries are methods: :meth:`sparseprop.Result.to_neo` and so on.
"""

from .nir_export import to_nir
from .nir_import import from_nir
from .sonata_network import read_sonata_network, write_sonata_network
from .spikes import FORMATS, convert, read_spikes, write_spikes

__all__ = [
    "FORMATS",
    "convert",
    "from_nir",
    "read_sonata_network",
    "read_spikes",
    "to_nir",
    "write_sonata_network",
    "write_spikes",
]


def __dir__():
    return list(__all__)
