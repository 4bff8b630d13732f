"""Settings of all tests."""

import signal

import pytest


def pytest_configure() -> None:
    """Let Ctrl-C interrupt, even in the background of a shell that has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> range:
    """Return the seeds of a long test: a hundred, and ten for a NumPy twin, which is slow."""
    is_twin = request.node.callspec.params["make"] == "reference"
    return range(10 if is_twin else 100)
