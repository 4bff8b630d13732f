"""Settings of all tests."""

import signal


def pytest_configure() -> None:
    """Let Ctrl-C interrupt, even in the background of a shell that has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
