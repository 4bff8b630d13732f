"""A C++ program outside the repository builds against the installed package."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import vemfast

PROGRAM = """
#include <cstdio>
#include <stdexcept>
#include <vemfast/errors.hpp>
#include <vemfast/require.hpp>
#include <vemfast/version.hpp>

int main() {
    try {
        vemfast::require(false, "K=", 3, " exceeds the rows, n=", 2);
    } catch (const std::invalid_argument& error) {
        std::printf("%s: %s", VEMFAST_VERSION, error.what());
    }
}
"""
EXPECTED = f"{vemfast.__version__}: K=3 exceeds the rows, n=2"

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(vemfast {version} REQUIRED)
add_executable(consumer consumer.cpp)
target_link_libraries(consumer PRIVATE vemfast::vemfast)
"""


def run(*command, **options):
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def source(tmp_path):
    (tmp_path / "consumer.cpp").write_text(PROGRAM)
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs CMake")
def test_with_cmake(source):
    (source / "CMakeLists.txt").write_text(PROJECT.replace("{version}", vemfast.__version__))
    run("cmake", "-S", source, "-B", source / "build", f"-Dvemfast_DIR={vemfast.cmake_dir()}")
    run("cmake", "--build", source / "build")
    assert run(source / "build" / "consumer") == EXPECTED


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("pkg-config") is None or shutil.which("c++") is None, reason="needs pkg-config"
)
def test_with_pkg_config(source):
    folder = Path(vemfast.cmake_dir()).parents[1] / "pkgconfig"
    flags = run(
        "pkg-config",
        "--cflags",
        "--libs",
        "vemfast",
        env={**os.environ, "PKG_CONFIG_PATH": str(folder)},
    ).split()
    program = source / "consumer"
    run("c++", "-std=c++20", source / "consumer.cpp", *flags, "-o", program)
    library = str(folder.parent)
    assert run(program, env={**os.environ, "LD_LIBRARY_PATH": library}) == EXPECTED


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="compiles")
def test_an_older_standard_is_told(source):
    command = ("c++", "-std=c++17", "-fsyntax-only", f"-I{vemfast.get_include()}")
    result = subprocess.run(
        [*command, source / "consumer.cpp"], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode != 0
    assert "vemfast needs C++20: compile with -std=c++20" in result.stderr
