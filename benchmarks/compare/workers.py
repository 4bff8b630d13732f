"""Peers in processes of their own, which answer a line with a line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["ROOT", "can_import", "peer_python", "worker"]

ROOT = Path(__file__).resolve().parents[2]


def peer_python() -> str:
    """Return the interpreter that peers run in: VEMFAST_PEER_PYTHON, default this one."""
    return os.environ.get("VEMFAST_PEER_PYTHON", sys.executable)


def can_import(name: str) -> bool:
    """Return whether the peers' interpreter can import a library."""
    command = [peer_python(), "-c", f"import {name}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def worker(
    python: str, module: str, *arguments: str, **told: str
) -> Iterator[Callable[[str], list[str]]]:
    """Start a module of `benchmarks.compare`; yield what asks it and returns its words.

    `told` goes into its environment.
    """
    command: Sequence[str] = [python, "-m", f"benchmarks.compare.{module}", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **told},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(line: str) -> list[str]:
        words: list[str] = []
        with suppress(BrokenPipeError):
            print(line, file=process.stdin, flush=True)
            words = process.stdout.readline().split()
        if not words:
            raise RuntimeError(
                f"{module} ended when asked to {line!r}; run it to see why: {command}"
            )
        return words

    try:
        yield ask
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
