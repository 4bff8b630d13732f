"""The machine as it is in this run: processor, versions, rate of the BLAS's matrix product."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.timing import Sample

SIZE = 2048
PACKAGES = ("numpy", "scipy", "sklearn", "vemfast")


def processor() -> str:
    """Return the processor's name, from Linux's table where there is one."""
    table = Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def widest_vectors() -> str:
    """Return the widest vector extension of the processor, where Linux tells."""
    table = Path("/proc/cpuinfo")
    flags = set(table.read_text().split()) if table.exists() else set()
    return next((name for name in ("avx512f", "avx2", "sse4_2") if name in flags), "unknown")


def version(package: str) -> str:
    try:
        return str(importlib.import_module(package).__version__)
    except ImportError:
        return "absent"


def build_info() -> dict[str, Any]:
    """Return level, compiler and OpenMP of the compiled core."""
    try:
        import vemfast

        return dict(vemfast.build_info())
    except (ImportError, AttributeError):
        return {}


def gemm_rates(dtype: str, threads: int, repeats: int = 5, size: int = SIZE) -> list[float]:
    """Return GFLOP/s of `repeats` size x size products, after one that is not counted."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size)).astype(dtype) for _ in range(2))
    out = np.empty_like(a)
    rates = []
    with threadpool_limits(threads):
        np.matmul(a, b, out=out)
        for _ in range(repeats):
            start = perf_counter()
            np.matmul(a, b, out=out)
            rates.append(2e-9 * size**3 / (perf_counter() - start))
    return rates


def settings_of_environment() -> dict[str, str]:
    """Return the environment's variables that steer threads and kernels: they change the figures.

    With OMP_WAIT_POLICY=passive, for one, a thread that waits sleeps, and is late for each region.
    """
    names = ("OMP_", "GOMP_", "KMP_BLOCKTIME", "OPENBLAS_", "MKL_", "VEMFAST_ISA")
    return {name: os.environ[name] for name in sorted(os.environ) if name.startswith(names)}


def avx2_gemm_rates(dtype: str, threads: int) -> list[float]:
    """Return the rates of OpenBLAS told to use its AVX2 kernel, in a process of its own."""
    code = f"from benchmarks.machine import gemm_rates; print(gemm_rates({dtype!r}, {threads}))"
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell"}
    root = Path(__file__).resolve().parents[1]
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True
    )
    return [float(x) for x in answer.stdout.strip("[]\n").split(",")] if answer.stdout else []


def rates(threads: int) -> dict[str, float]:
    """Return median rates `dgemm 2`, ..., `dgemm 2 best`, and on AVX-512 `dgemm 2 avx2`."""
    result = {}
    for name, dtype in (("dgemm", "float64"), ("sgemm", "float32")):
        for count in sorted({1, threads}):
            measured = gemm_rates(dtype, count)
            result[f"{name} {count}"] = Sample(tuple(measured)).median
            result[f"{name} {count} best"] = max(measured)
            if widest_vectors() == "avx512f" and (narrow := avx2_gemm_rates(dtype, count)):
                result[f"{name} {count} avx2"] = Sample(tuple(narrow)).median
    return result


def describe(threads: int, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Return what the tables need to be read: one record.

    The system's full name stays out: it can name the machine, and says nothing about speed.
    """
    system = f"{platform.system()} {platform.machine()}"
    return {
        "section": "machine",
        "time": time(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "vectors": widest_vectors(),
        "system": system,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "blas": sorted(
            " ".join(str(pool.get(key, "")) for key in ("internal_api", "version", "architecture"))
            for pool in threadpool_info()
            if pool.get("user_api") == "blas"
        ),
        "vemfast": {**build_info(), "platform": system},
        "threads": threads,
        "environment": settings_of_environment(),
        "gflops": rates(threads),
    }


def preamble(machine: dict[str, Any]) -> str:
    """Put the record into words."""
    rates = {name: f"{value:.0f}" for name, value in machine["gflops"].items()}
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    core = ", ".join(f"{name} {value}" for name, value in machine["vemfast"].items())
    environment = " ".join(f"{k}={v}" for k, v in machine.get("environment", {}).items())
    return (
        f"{machine['processor']}, {machine['cores']} cores ({machine['vectors']}), "
        f"{machine['threads']} threads. Python {machine['python']}, {versions}. "
        f"BLAS: {'; '.join(machine['blas'])}. Core: {core or 'absent'}. "
        f"Load at the start {machine['load']:.2f}."
        f"{f' Set in the environment: {environment}.' if environment else ''}\n\n"
        "Matrix product of 2,048 x 2,048, median GFLOP/s by threads: "
        + ", ".join(f"{name} {rate}" for name, rate in rates.items())
        + ".\n\nAll times are seconds, the median of interleaved rounds [least, most]; a ratio is "
        "the median of the rounds' ratios."
    )
