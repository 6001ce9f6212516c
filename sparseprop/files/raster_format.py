"""Spike rasters in files: written while a simulation runs, safe against crashes, readable by SONATA tools.

A raster is a SONATA spike file (HDF5), so libsonata and what is built on it read it; what SONATA has no place
for is in the group ``/run``::

    /                       magic = 0x0A7A, version = [0, 1]
    /spikes/<population>    sorting = by_time; n_neurons, n_recorded (where they are known)
        timestamps          float64, units = "ms"
        node_ids            uint64, local to the population
    /run                    sparseprop_raster = 1 (the version of what follows; 2 with several pieces)
        header              JSON text: populations with their sizes, the caller's header (with what is known of
                            earlier pieces, under "earlier"); attribute sha256
        arrays/<k>          the arrays of the header (their SHA-256 is in the header text)
        order               population of each spike in the merged order (only with several populations)
        tails               two slots for records that do not fill a chunk yet (only in streamed files)
        footer              JSON text, written at the end
        values              the arrays of the footer, byte after byte (their SHA-256 is in the footer text)
        committed           two rows of 64-bit words: what of all this is valid (see :class:`Row`)

How a raster survives ``kill -9`` at any moment. Bulk data have a checksum per chunk, so a chunk is written
once and whole: rewriting one can tear it. Records that do not fill a chunk go into one of two slots of
``tails``, and then a row of ``committed`` (with a sequence number and its own SHA-256) says how many records
of each dataset count, with a CRC of them. Slots and rows alternate: while one is written, the other one and
the chunks that it speaks of are left alone. A reader takes the newest row whose checks hold. The last rows,
written when the file is closed, are both the same, so damage to one of them loses nothing. To go on with a
raster, or to append another piece to it, the spikes to be kept are copied into a new file, which takes the name
once they are committed there, and whose header says all that is known of the pieces before.

HDF5 is never shown a full disk if that can be helped, as it takes the interpreter down with it: the space is
checked before each commit, and a hidden ballast file beside the raster is emptied at the first error, so that
the file can be closed. The ballast file carries the lock that keeps a second writer out.
"""

import zlib
from typing import NamedTuple

import numpy as np

from .storage import sha256

FORMAT, FORMAT_OF_PIECES = 1, 2
MAGIC = 0x0A7A
SORTING = {"none": 0, "by_id": 1, "by_time": 2}

# HDF5's own metadata carry checksums from version 1.10 on; "latest" might be too new for other readers.
LIBVER = ("v110", "v110")

# How far a file has come; in the rows of `committed`.
RUNNING, UNFINISHED, FINISHED = 0, 1, 2

# What h5py raises when HDF5 reports an error.
HDF5_ERRORS = (OSError, RuntimeError, ValueError)


def crc_of(records, before=0):
    """CRC of `records`, going on from that of the ones before them."""
    return zlib.crc32(records, before)


class Row(NamedTuple):
    """What of a file is valid. On disk: the fields in this order as 64-bit words, then a SHA-256 of them.

    The streams are the datasets ``timestamps`` and ``node_ids`` of each population in turn, and then
    ``order``. While a file is running, the records of a stream that do not fill a chunk are in the slot of
    ``tails`` with the parity of the sequence number, stream after stream.
    """

    sequence: int
    stage: int
    n_spikes: int
    footer_size: int
    footer_sha256: bytes
    counts: tuple[int, ...]
    crcs: tuple[int, ...]

    def words(self):
        """The row as it is on disk."""
        head = np.array([self.sequence, self.stage, self.n_spikes, self.footer_size], "<u8")
        body = np.concatenate(
            [head, np.frombuffer(self.footer_sha256, "<u8"), np.array(self.counts, "<u8"), np.array(self.crcs, "<u8")]
        )
        return np.concatenate([body, np.frombuffer(sha256(body), "<u8")])

    @classmethod
    def from_words(cls, words):
        """The row, or None if it is torn, damaged or was never written."""
        words = np.ascontiguousarray(words, "<u8")
        body = words[:-4]
        if sha256(body) != words[-4:].tobytes():
            return None
        n_streams = (body.size - 8) // 2
        sequence, stage, n_spikes, footer_size = body[:4].tolist()
        return cls(
            sequence,
            stage,
            n_spikes,
            footer_size,
            body[4:8].tobytes(),
            tuple(body[8 : 8 + n_streams].tolist()),
            tuple(body[8 + n_streams :].tolist()),
        )


def row_words(n_streams):
    """How many words a row has."""
    return 8 + 2 * n_streams + 4
