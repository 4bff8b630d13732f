#!/usr/bin/env bash
# clang-tidy over csrc/, with a compile database of its own: tools/clang_tidy.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1

cmake --preset lint -B "$build" -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >"$build.log" || {
    cat "$build.log"
    exit 1
}
# The instruction-set levels compile the same sources: once is enough.
python - "$build/compile_commands.json" <<'PYTHON'
import json, sys
path = sys.argv[1]
with open(path) as file:
    entries = json.load(file)
once = {entry["file"]: entry for entry in entries if "/csrc/" in entry["file"]}
with open(path, "w") as file:
    json.dump(list(once.values()), file, indent=1)
PYTHON

# clang has no omp.h of its own here: after all its own headers, it may look among the compiler's.
headers=$("${CXX:-c++}" -print-file-name=include)
find csrc -name '*.cpp' -print0 |
    xargs -0 -n1 -P"$(nproc)" clang-tidy -p "$build" --quiet \
        --extra-arg=-idirafter"$headers" --extra-arg=-Wno-unknown-warning-option 2>&1 |
    { grep -vE '^[0-9]+ warnings? (generated|and)|^Suppressed|^Use -' || true; }
