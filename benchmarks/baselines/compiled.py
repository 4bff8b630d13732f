"""Compile `loops.pyx` with Cython and the C compiler, once for each of its versions."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["absent", "loops"]

SOURCE = Path(__file__).with_name("loops.pyx")
FLAGS = ("-O3", "-march=native", "-fPIC", "-shared", "-w")


def absent() -> str:
    """Return why the loops cannot be compiled here, or nothing."""
    if importlib.util.find_spec("Cython") is None:
        return "Cython is not installed"
    return "" if shutil.which("cc") else "there is no C compiler (cc)"


def loops() -> Any:
    """Return the compiled module."""
    digest = hashlib.sha256(SOURCE.read_bytes() + sys.version.encode()).hexdigest()[:16]
    # Of this user alone: a module from a folder that others can write to would run their code.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "vemfast-baselines" / digest
    library = folder / f"loops{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            code, made = Path(place) / "loops.c", Path(place) / "loops.so"
            cython = (sys.executable, "-m", "cython", "-3", "--module-name", "loops")
            subprocess.run([*cython, SOURCE, "-o", code], check=True)
            include = f"-I{sysconfig.get_path('include')}"
            subprocess.run(["cc", *FLAGS, include, code, "-o", made, "-lm"], check=True)
            made.replace(library)
    spec = importlib.util.spec_from_file_location("loops", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
