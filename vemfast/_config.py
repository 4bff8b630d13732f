"""Where the native parts are, and what this build and this machine have."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from vemfast import _core

_PACKAGES = ("numpy", "scipy", "scikit-learn")


def _native_root() -> Path:
    # Not vemfast.__file__: in an editable install that lies in the source tree, while the
    # extension, the headers and the library are in site-packages.
    return Path(_core.__file__).resolve().parent


def get_include() -> str:
    """Folder of the C and C++ headers, for ``-I``."""
    return str(_native_root() / "include")


def cmake_dir() -> str:
    """Folder of the CMake package, for ``-Dvemfast_DIR=``."""
    return str(_native_root() / "lib" / "cmake" / "vemfast")


def pkgconfig_dir() -> str:
    """Folder of ``vemfast.pc``, for ``PKG_CONFIG_PATH``."""
    return str(_native_root() / "lib" / "pkgconfig")


def build_info() -> dict[str, Any]:
    """Describe this build, this machine and the packages beneath.

    Returns
    -------
    dict
        ``version``, ``level`` (the instruction-set level in use), ``levels`` (those that this
        processor has), ``vector_bytes``, ``compiler``, ``build_type``, ``openmp`` (the standard,
        as yyyymm), ``threads`` (what ``n_jobs=None`` uses), ``python``, ``platform`` and one
        version for each of NumPy, SciPy and scikit-learn.
    """
    info: dict[str, Any] = dict(_core.build_info())
    info["threads"] = _core.max_threads()
    info["python"] = platform.python_version()
    info["platform"] = platform.platform()
    for name in _PACKAGES:
        info[name] = metadata.version(name)
    return info


def show_config() -> None:
    """Print what `build_info` returns, for bug reports."""
    for key, value in build_info().items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"{key + ':':<14}{text}")
