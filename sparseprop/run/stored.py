"""Spikes that stay in a file until they are asked for, and what the file says of the pieces they belong to."""

from ..errors import StorageError
from ..files.raster_reader import read_raster

__all__ = ["SpikesInFile", "entries_of"]


class SpikesInFile:
    """The spikes of a streamed run, read from its file when they are first asked for.

    Parameters
    ----------
    path : str
    run_id : str
    t_start : float
        With `run_id`, what tells the run from all others in files of that name.
    n_spikes : int
        How many of them: the first ones, where the run was resumed later.
    """

    def __init__(self, path, run_id, t_start, n_spikes):
        self.path, self.run_id, self.t_start, self.n_spikes = path, run_id, t_start, n_spikes

    def __call__(self):
        data = read_raster(self.path)
        for header, _, first, last in entries_of(data.header, data.footer, len(data.times)):
            same = header.get("run_id") == self.run_id and header.get("t_start") == self.t_start
            if same and last - first >= self.n_spikes:
                mine = slice(first, first + self.n_spikes)
                return data.times[mine], data.ids[mine]
        raise StorageError(
            f"{self.path} does not have the {self.n_spikes} spikes that this run ({self.run_id}) recorded there: the "
            "file was replaced since. Record each run in a file of its own, or look at `times` before the next run"
        )


def entries_of(header, footer, n_spikes):
    """(header, footer, first spike, end) of each piece that is in a raster."""
    header, first, entries = dict(header), 0, []
    for entry in header.pop("earlier", ()):
        end = first + entry["n_recorded"]
        entries.append((header | entry["header"], entry["footer"], first, end))
        first = end
    return [*entries, (header, footer, first, n_spikes)]
