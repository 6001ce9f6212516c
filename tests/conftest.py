"""Fixtures of all tests."""

import signal

import pytest

from sparseprop.run import watching


@pytest.fixture
def ctrl_c(monkeypatch):
    """This process, and those that it starts, hear Ctrl-C: a shell tells jobs in the background to ignore it."""
    monkeypatch.setattr(watching, "_last_interrupt", float("-inf"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_collection_modifyitems(items):
    """Processes that share the tests must give them the same names, so no addresses: give the parameters ids."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid} has an address in its name; give pytest.mark.parametrize ids=")
