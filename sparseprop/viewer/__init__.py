"""A page to look at a raster in: pan, zoom, select; one file, without a server and without network.

``page.html`` and ``page.css`` are the page, ``spikes.js``, ``raster.js``, ``drawing.js`` and ``moving.js`` what goes
on in it, and ``content.py`` puts the spikes into it.
"""

from .page import view

__all__ = ["view"]
