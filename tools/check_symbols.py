"""Check that no instruction-set level shares code with another, or with the rest.

The linker keeps one copy of a weak symbol (an inline function, a template's instance). If a
kernel object defined one outside its level's namespace, that copy could be AVX code, called from
everywhere, and end a program on an older processor with an illegal instruction.

    python tools/check_symbols.py BUILD_FOLDER
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_FOLDER = re.compile(r"vemfast_kernels_(\w+)\.dir")


def strangers(objects: Path, level: str) -> list[str]:
    """Symbols that the object defines for others to see, outside the namespace of its level."""
    own = re.compile(rf"_+Z(GV|TV|TI|TS)?N[KVRO]*7vemfast{len(level)}{level}")
    listing = subprocess.run(
        ["nm", "--defined-only", "--format=posix", str(objects)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = []
    for line in listing.splitlines():
        name, kind = line.split()[:2]
        shared = kind.isupper() or kind in "wvu"  # small letters else: local to the object
        if shared and not own.match(name):
            found.append(f"{kind} {name}")
    return found


def main() -> int:
    """Print what is out of place; the exit status says whether anything is."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} BUILD_FOLDER")
    objects = [
        (path, match.group(1))
        for path in sorted(Path(sys.argv[1]).rglob("*.o"))
        if (match := _FOLDER.search(str(path)))
    ]
    if not objects:
        sys.exit(f"no kernel objects in {sys.argv[1]}: build the library there first")
    bad = [f"{path}: {symbol}" for path, level in objects for symbol in strangers(path, level)]
    filtered = subprocess.run(["c++filt"], input="\n".join(bad), capture_output=True, text=True)
    print(filtered.stdout or f"{len(objects)} kernel objects, each within its own namespace")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
