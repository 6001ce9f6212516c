"""What to cite: BibTeX for the methods and models that a network, or what came out of it, stands on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import ParameterError, named_arguments, shown, unknown_name

if TYPE_CHECKING:
    pass

__all__ = ["WORKS", "Work", "cite"]


@dataclass(frozen=True)
class Work:
    """A published work.

    Attributes
    ----------
    kind : {"article", "inproceedings", "misc"}
        Of BibTeX.
    title : str
    authors : tuple of (str, str)
        Family and given names.
    year : int
    fields : dict
        The others of BibTeX, such as ``journal`` and ``doi``.
    reason : str
        What it is cited for.
    """

    kind: str
    title: str
    authors: tuple[tuple[str, str], ...]
    year: int
    reason: str
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What BibTeX calls it: the first author, the year and the first word of the title."""
        words = (self.authors[0][0], str(self.year), re.findall(r"\w+", self.title)[0])
        return re.sub(r"\W", "", "".join(words).lower().replace("é", "e"))

    def bibtex(self) -> str:
        """The entry, with a comment that says what it is cited for."""
        rows = {"author": " and ".join(f"{family}, {given}" for family, given in self.authors)}
        rows |= {"title": f"{{{self.title}}}", "year": str(self.year)} | self.fields
        body = "".join(f"  {name} = {{{value}}},\n" for name, value in rows.items())
        return f"% {self.reason}\n@{self.kind}{{{self.key},\n{body}}}\n".replace("é", r"{\'e}")


_ENGELKEN, _WOLF, _MONTEFORTE = ("Engelken", "Rainer"), ("Wolf", "Fred"), ("Monteforte", "Michael")

# By the keys that what can be cited has in `_cites`; tests hold CITATION.cff to them.
WORKS = {
    "sparseprop": Work(
        "inproceedings",
        "SparseProp: Efficient Event-Based Simulation and Training of Sparse Recurrent Spiking Neural Networks",
        (_ENGELKEN,),
        2023,
        "The algorithm of the simulation.",
        {
            "booktitle": "Advances in Neural Information Processing Systems",
            "volume": "36",
            "eprint": "2312.17216",
            "archiveprefix": "arXiv",
            "doi": "10.48550/arXiv.2312.17216",
        },
    ),
    "gradients": Work(
        "article",
        "Event-based backpropagation can compute exact gradients for spiking neural networks",
        (("Wunderlich", "Timo C."), ("Pehle", "Christian")),
        2021,
        "Exact gradients by the adjoint method (EventProp).",
        {
            "journal": "Scientific Reports",
            "volume": "11",
            "pages": "12829",
            "doi": "10.1038/s41598-021-91786-z",
        },
    ),
    "pseudospikes": Work(
        "article",
        "Smooth Exact Gradient Descent Learning in Spiking Neural Networks",
        (("Klos", "Christian"), ("Memmesheimer", "Raoul-Martin")),
        2025,
        "Pseudospikes.",
        {
            "journal": "Physical Review Letters",
            "volume": "134",
            "pages": "027301",
            "doi": "10.1103/PhysRevLett.134.027301",
        },
    ),
    "lyapunov": Work(
        "article",
        "Lyapunov spectra of chaotic recurrent neural networks",
        (_ENGELKEN, _WOLF, ("Abbott", "L. F.")),
        2023,
        "Lyapunov spectra, and what is made of them.",
        {
            "journal": "Physical Review Research",
            "volume": "5",
            "pages": "043044",
            "doi": "10.1103/PhysRevResearch.5.043044",
        },
    ),
    "lyapunov_spiking": Work(
        "article",
        "Dynamical Entropy Production in Spiking Neuron Networks in the Balanced State",
        (_MONTEFORTE, _WOLF),
        2010,
        "Lyapunov spectra of spiking networks.",
        {
            "journal": "Physical Review Letters",
            "volume": "105",
            "pages": "268104",
            "doi": "10.1103/PhysRevLett.105.268104",
        },
    ),
    "covariant": Work(
        "article",
        "Characterizing Dynamics with Covariant Lyapunov Vectors",
        (
            ("Ginelli", "F."),
            ("Poggi", "P."),
            ("Turchi", "A."),
            ("Chaté", "H."),
            ("Livi", "R."),
            ("Politi", "A."),
        ),
        2007,
        "Covariant Lyapunov vectors.",
        {
            "journal": "Physical Review Letters",
            "volume": "99",
            "pages": "130601",
            "doi": "10.1103/PhysRevLett.99.130601",
        },
    ),
    "perturbation": Work(
        "article",
        "Dynamic Flux Tubes Form Reservoirs of Stability in Neuronal Circuits",
        (_MONTEFORTE, _WOLF),
        2012,
        "Perturbations and flux tubes.",
        {"journal": "Physical Review X", "volume": "2", "pages": "041007"},
    ),
    "balanced": Work(
        "article",
        "Chaos in Neuronal Networks with Balanced Excitatory and Inhibitory Activity",
        (("van Vreeswijk", "Carl"), ("Sompolinsky", "Haim")),
        1996,
        "Balanced networks.",
        {
            "journal": "Science",
            "volume": "274",
            "number": "5293",
            "pages": "1724--1726",
            "doi": "10.1126/science.274.5293.1724",
        },
    ),
    "exponential currents": Work(
        "article",
        "Exact digital simulation of time-invariant linear systems with applications to neuronal modeling",
        (("Rotter", "Stefan"), ("Diesmann", "Markus")),
        1999,
        "Leaky integrate-and-fire neurons with exponential currents.",
        {
            "journal": "Biological Cybernetics",
            "volume": "81",
            "pages": "381--402",
            "doi": "10.1007/s004220050570",
        },
    ),
    "quadratic": Work(
        "article",
        "Parabolic bursting in an excitable system coupled with a slow oscillation",
        (("Ermentrout", "G. Bard"), ("Kopell", "Nancy")),
        1986,
        "Quadratic integrate-and-fire and theta neurons.",
        {
            "journal": "SIAM Journal on Applied Mathematics",
            "volume": "46",
            "number": "2",
            "pages": "233--253",
            "doi": "10.1137/0146017",
        },
    ),
    "rapid theta": Work(
        "misc",
        "Sparse chaos in cortical circuits",
        (_ENGELKEN, _MONTEFORTE, _WOLF),
        2024,
        "Rapid theta neurons.",
        {"eprint": "2412.21188", "archiveprefix": "arXiv", "doi": "10.48550/arXiv.2412.21188"},
    ),
    "exponential": Work(
        "article",
        "How Spike Generation Mechanisms Determine the Neuronal Response to Fluctuating Inputs",
        (
            ("Fourcaud-Trocmé", "Nicolas"),
            ("Hansel", "David"),
            ("van Vreeswijk", "Carl"),
            ("Brunel", "Nicolas"),
        ),
        2003,
        "Exponential integrate-and-fire neurons.",
        {
            "journal": "Journal of Neuroscience",
            "volume": "23",
            "number": "37",
            "pages": "11628--11640",
            "doi": "10.1523/JNEUROSCI.23-37-11628.2003",
        },
    ),
}
# What else a name stands for.
_ALSO = {"lyapunov": ("lyapunov_spiking",), "covariant": ("lyapunov", "lyapunov_spiking")}
# What a user can name.
_FEATURES = [name for name in WORKS if name != "lyapunov_spiking"]


@named_arguments
def cite(*things: object) -> str:
    """BibTeX for what was used: this package, the algorithm, and the works behind models and methods.

    Parameters
    ----------
    *things : Network, Simulation, Result, BatchResult, Gradients, LyapunovSpectrum, Perturbation, Trainer, model or str
        What to look at, any number. A text names a method that cannot be seen: ``"gradients"``, ``"pseudospikes"``,
        ``"lyapunov"``, ``"covariant"``, ``"perturbation"``, ``"balanced"``, or a model. Nothing: the package alone.

    Returns
    -------
    str
        One entry for each work, with a line that says what it is for. It is a beginning: what a network is a model of,
        and where its numbers are from, nobody but its author knows. Models without an entry (LIF, PWLIF and
        NumericalIF) have their sources, if any, in their docstrings.

    Raises
    ------
    ParameterError
        For anything else.

    Examples
    --------
    >>> import sparseprop as sp
    >>> net = sp.balanced_network(100, sp.EIF(tau_m=10.0), outdegree=10, seed=1)
    >>> entries = sp.cite(net, "gradients")
    >>> for line in entries.splitlines():
    ...     if line.startswith("@"):
    ...         print(line)
    @misc{sparseprop_package,
    @inproceedings{engelken2023sparseprop,
    @article{wunderlich2021event,
    @article{fourcaudtrocme2003how,
    """
    keys = {"sparseprop"}
    for thing in things:
        if isinstance(thing, str):
            if thing not in _FEATURES:
                raise unknown_name("feature to cite", thing, _FEATURES)
            found = [thing]
        elif hasattr(thing, "_cites"):
            found = thing._cites
        else:
            raise ParameterError(
                f"cite takes networks, what came out of them, models, and names of features ({', '.join(_FEATURES)}), "
                f"got {shown(thing)}"
            )
        keys.update(*((key, *_ALSO.get(key, ())) for key in found))
    return "\n".join([_package(), *(work.bibtex() for key, work in WORKS.items() if key in keys)])


def _package():
    from importlib.metadata import version

    return (
        "% This package.\n@misc{sparseprop_package,\n  author = {{The sparseprop developers}},\n"
        "  title = {{sparseprop: exact event-based simulation of sparse spiking neural networks}},\n"
        f"  note = {{Version {version('sparseprop-sim')}}},\n}}\n"
    )
