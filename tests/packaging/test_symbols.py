"""The check of the kernels' symbols finds what it looks for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "check_symbols.py"
COMPILER = shutil.which("c++")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="compiles a small program")

OWN = """
namespace vemfast::v3 {
namespace { int hidden(int x) { return x + 1; } }
template <class T> T shared(T x) { return hidden(x); }
extern const int table;
const int table = 1;
int entry(int x) { return shared(x); }
}
"""
STRANGER = "inline int add(int x) { return x + 1; }\nint (*pointer)(int) = &add;\n"


def check(tmp_path, code):
    folder = tmp_path / "vemfast_kernels_v3.dir"
    folder.mkdir()
    source = folder / "kernel.cpp"
    source.write_text(code)
    subprocess.run([COMPILER, "-O0", "-c", source, "-o", folder / "kernel.cpp.o"], check=True)
    return subprocess.run(
        [sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False
    )


def test_code_inside_its_level_passes(tmp_path):
    result = check(tmp_path, OWN)
    assert result.returncode == 0, result.stdout
    assert "1 kernel objects" in result.stdout


@pytest.mark.parametrize(
    ("code", "symbol"),
    [
        (STRANGER, "add(int)"),
        ("#include <vector>\nvoid f(std::vector<int>& v) { v.push_back(1); }", "std::vector"),
        (OWN.replace("v3", "v2"), "vemfast::v2::entry(int)"),
    ],
)
def test_a_symbol_outside_the_level_is_named(tmp_path, code, symbol):
    result = check(tmp_path, code)
    assert result.returncode == 1
    assert symbol in result.stdout


def test_a_folder_without_kernels_is_an_error(tmp_path):
    result = subprocess.run(
        [sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "no kernel objects" in result.stderr
