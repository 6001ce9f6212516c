"""Quantities of the libraries that are installed, and a stand-in for where none is."""

import typing

import numpy as np
import pytest


class Quantity(np.ndarray):
    """A stand-in for those of the quantities library, and neo's spike trains."""

    factors: typing.ClassVar = {"s": 1e3, "ms": 1.0, "Hz": 1.0, "kHz": 1e3, "kg": 1.0, "mV": 1.0, "dimensionless": 1.0}

    def __new__(cls, values, unit):
        new = np.asarray(values, float).view(cls)
        new.dimensionality = unit
        return new

    def __array_finalize__(self, other):
        self.dimensionality = getattr(other, "dimensionality", None)

    @property
    def magnitude(self):
        return self.view(np.ndarray)

    def rescale(self, unit):
        kinds = {"ms": ("s", "ms"), "Hz": ("Hz", "kHz"), "dimensionless": ("dimensionless",)}
        if self.dimensionality not in kinds[unit]:
            raise ValueError(f"{self.dimensionality} is not {unit}")
        return Quantity(self.magnitude * self.factors[self.dimensionality], unit)


def of_quantities():
    pq = pytest.importorskip("quantities")
    return lambda values, unit: pq.Quantity(values, unit)


def of_pint():
    registry = pytest.importorskip("pint").UnitRegistry()
    return lambda values, unit: registry.Quantity(values, unit)


def of_astropy():
    units = pytest.importorskip("astropy.units")
    return lambda values, unit: units.Quantity(values, "" if unit == "dimensionless" else unit)


def of_unyt():
    unyt = pytest.importorskip("unyt")
    return lambda values, unit: unyt.unyt_array(values, unit) if np.ndim(values) else unyt.unyt_quantity(values, unit)


def of_brian2():
    brian2 = pytest.importorskip("brian2")
    units = {"s": "second", "ms": "ms", "Hz": "hertz", "kHz": "kHz", "kg": "kilogram", "mV": "mV"}
    units = {unit: getattr(brian2, name) for unit, name in units.items()} | {"dimensionless": 1.0}
    return lambda values, unit: np.asarray(values, float)[()] * units[unit]


LIBRARIES = {
    "stand-in": lambda: Quantity,
    "quantities": of_quantities,
    "pint": of_pint,
    "astropy": of_astropy,
    "unyt": of_unyt,
    "brian2": of_brian2,
}
