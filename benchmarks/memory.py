"""Peak resident memory of a fit above its data, in a fresh process.

`python -m benchmarks.memory PEER WORKLOAD DTYPE SCALE THREADS DATA.npy` prints the bytes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.compare import Options, load
from benchmarks.suite.workloads import WORKLOADS, Problem, make

ROOT = Path(__file__).resolve().parents[1]
STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """Bytes of `VmRSS` (now) or `VmHWM` (the peak since the last reset)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def peak_of_fit(peer: str, problem: Problem, warm: Problem, threads: int) -> int:
    """Fit `warm` (imports, thread stacks), then `problem`, whose peak above its data counts."""
    adapter = load(peer)
    with adapter.runner(warm, threads, Options()) as run:
        run(2)
    with adapter.runner(problem, threads, Options()) as run:
        RESET.write_text("5")  # Linux: the peak starts again at the present size
        before = resident("VmRSS")
        run(2)
        return resident("VmHWM") - before


def measure(peer: str, problem: Problem, threads: int) -> int:
    """Bytes above the data at the peak of a fit of two iterations. Linux only."""
    workload = problem.workload
    arguments = [peer, workload.name, str(problem.X.dtype), problem.scale, threads]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "X.npy"
        np.save(data, problem.X)
        command = [sys.executable, "-m", "benchmarks.memory", *map(str, arguments), str(data)]
        answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return int(answer.stdout)


def main() -> None:
    peer, name, dtype, scale, threads, data = sys.argv[1:]
    warm = make(name, dtype, scale=1e-4)
    X = np.load(data)  # straight into place: generating it here would raise the peak
    rows = np.linspace(0, len(X) - 1, warm.workload.k).astype(int)
    means = X[rows].astype(np.float64)
    problem = Problem(WORKLOADS[name].scaled(float(scale)), X, means, float(scale), 0)
    print(peak_of_fit(peer, problem, warm, int(threads)))


if __name__ == "__main__":
    main()
