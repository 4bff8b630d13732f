"""Answer the questions of build systems: ``python -m vemfast --cmake-dir``."""

from __future__ import annotations

import argparse

from vemfast import __version__
from vemfast._config import cmake_dir, get_include, pkgconfig_dir


def main() -> None:
    """Print what was asked for, one a line."""
    parser = argparse.ArgumentParser(prog="python -m vemfast", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--cmake-dir", action="store_true", help="folder of the CMake package")
    parser.add_argument("--include-dir", action="store_true", help="folder of the headers")
    parser.add_argument("--pkgconfig-dir", action="store_true", help="folder of vemfast.pc")
    args = parser.parse_args()
    answers = {
        "cmake_dir": cmake_dir,
        "include_dir": get_include,
        "pkgconfig_dir": pkgconfig_dir,
    }
    asked = [answer for name, answer in answers.items() if getattr(args, name)]
    if not asked:
        parser.error("ask for --cmake-dir, --include-dir or --pkgconfig-dir")
    for answer in asked:
        print(answer())


if __name__ == "__main__":
    main()
