"""Local state of blocks: what an E-step reached for each unit, from which the next one goes on.

The E-step of a model stays pure: it reads `block.local` and returns the new state with its
statistics. It waits in `block.pending` until the iteration is accepted, so that one that is
rejected, tried or interrupted leaves the state of the last full iteration.
Decision record: docs/decisions/006-local-state.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vemfast.stats import Stats

__all__ = ["accept", "forget", "forked", "put_aside"]


def forked(blocks: Sequence[Any]) -> list[Any]:
    """Return blocks whose state goes its own way; those that have none are the same."""
    return [block.fork() if hasattr(block, "fork") else block for block in blocks]


def put_aside(stats: Stats, block: Any) -> Stats:
    """Let the state that comes with a block's statistics wait in the block.

    A block that has no place for it, such as a part of a stream, starts afresh each time.
    """
    if stats.local is not None:
        if hasattr(block, "pending"):
            block.pending = stats.local
        stats.local = None
    return stats


def accept(blocks: Iterable[Any]) -> None:
    """Make the waiting states those that the next E-steps go on from."""
    for block in blocks:
        if getattr(block, "pending", None) is not None:
            block.local, block.pending = block.pending, None


def forget(blocks: Iterable[Any]) -> None:
    """Drop the waiting states."""
    for block in blocks:
        if getattr(block, "pending", None) is not None:
            block.pending = None
