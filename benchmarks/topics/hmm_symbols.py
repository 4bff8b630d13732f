"""A hidden Markov model of many states and symbols (H2) beside hmmlearn, at the same parameters.

As the topic `hmm`; a topic of its own because hmmlearn takes half a minute a round.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.topics import Record, Settings
from benchmarks.topics.hmm import compared

TITLE = "Hidden Markov models of symbols"


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record of an iteration, and one of each use."""
    yield from compared("H2", settings)
