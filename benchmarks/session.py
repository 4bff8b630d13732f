"""What a run of the benchmarks chose, and the form of its records."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.compare import Options, load
from benchmarks.suite.workloads import Problem, make

Record = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What the command line chose."""

    only: Sequence[str]
    peers: Sequence[str]
    dtypes: Sequence[str]
    repeats: int
    scale: float
    threads: int
    target: float
    seed: int
    options: Options

    def problems(self, names: Sequence[str], dtypes: Sequence[str]) -> Iterator[Problem]:
        for name in names:
            if not self.only or name.split()[0] in self.only:
                for dtype in dtypes:
                    yield make(name, dtype, self.scale, self.seed)

    def present(self) -> list[str]:
        return [name for name in self.peers if not load(name).absent(self.options)]


def note(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def header(section: str, problem: Problem, settings: Settings) -> Record:
    workload = problem.workload
    return {
        "section": section,
        "workload": workload.name,
        "shape": workload.shape,
        "rows": workload.n,
        "dtype": str(problem.X.dtype),
        "scale": problem.scale,
        "threads": settings.threads,
        "flops": workload.flops,
    }
