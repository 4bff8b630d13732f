"""What is installed, and what importing it costs."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import vemfast

ROOT = Path(__file__).parents[2]


def run(code, *options, **environment):
    """Run Python code in a process of its own, away from the source folder."""
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(sys.executable).parent,
        env={**os.environ, **environment},
        check=False,
    )


def test_import_loads_no_heavy_package_and_starts_no_thread():
    code = """
import json, sys, threading
import vemfast, vemfast._core
vemfast._core.max_threads()
loaded = [name for name in ("numpy", "scipy", "sklearn", "matplotlib") if name in sys.modules]
with open("/proc/self/status") as file:
    threads = next(line.split()[1] for line in file if line.startswith("Threads:"))
print(json.dumps([loaded, int(threads)]))
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("counts threads in /proc")
    assert json.loads(run(code).stdout) == [[], 1]


def test_every_public_name_is_there():
    assert set(vemfast.__all__) <= set(dir(vemfast))
    for name in vemfast.__all__:
        assert getattr(vemfast, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'GausianMixture'"):
        vemfast.GausianMixture  # noqa: B018


def test_the_version_is_the_same_everywhere():
    header = (ROOT / "csrc/include/vemfast/version.hpp").read_text()
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r'VEMFAST_VERSION "(.*)"', header)[1] == vemfast.__version__
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == vemfast.__version__
    assert metadata.version("vemfast") == vemfast.__version__


def test_without_the_extension_the_error_says_what_to_do(tmp_path):
    (tmp_path / "vemfast").mkdir()
    for name in ("__init__.py", "_config.py"):
        (tmp_path / "vemfast" / name).write_text((ROOT / "vemfast" / name).read_text())
    # -S: without site-packages, where the extension is.
    result = run("import vemfast; vemfast.show_config()", "-S", PYTHONPATH=str(tmp_path))
    assert result.returncode != 0
    assert "ImportError: vemfast's compiled extension was not found." in result.stderr
    assert "pip install ." in result.stderr


@pytest.mark.parametrize("level", vemfast.build_info()["levels"])
def test_the_environment_chooses_the_level(level):
    code = "import vemfast; print(vemfast.build_info()['level'])"
    assert run(code, VEMFAST_ISA=level).stdout.strip() == level


def test_an_unknown_level_is_an_import_error_that_names_the_known_ones():
    result = run("import vemfast; vemfast.build_info()", VEMFAST_ISA="v9")
    assert result.returncode != 0
    assert "ImportError: VEMFAST_ISA=v9: unknown instruction-set level; use one of:" in (
        result.stderr
    )


def test_v4_is_not_chosen_unasked():
    code = "import vemfast; print(vemfast.build_info()['level'])"
    assert run(code, VEMFAST_ISA="").stdout.strip() in {"v2", "v3", "base"}


def test_show_config_prints_what_build_info_returns(capsys):
    vemfast.show_config()
    printed = capsys.readouterr().out
    for key in ("level", "compiler", "openmp", "threads", "python", "scikit-learn"):
        assert f"{key}:" in printed
        assert str(vemfast.build_info()[key]) in printed


def test_the_native_parts_are_where_build_systems_are_told():
    answers = subprocess.run(
        [sys.executable, "-m", "vemfast", "--cmake-dir", "--include-dir", "--pkgconfig-dir"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(sys.executable).parent,
        check=True,
    ).stdout.splitlines()
    assert answers == [
        vemfast.cmake_dir(),
        vemfast.get_include(),
        str(Path(vemfast.cmake_dir()).parents[1] / "pkgconfig"),
    ]
    assert (Path(vemfast.cmake_dir()) / "vemfastConfig.cmake").is_file()
    assert (Path(vemfast.get_include()) / "vemfast" / "version.hpp").is_file()
    assert (Path(answers[2]) / "vemfast.pc").is_file()


def test_other_builds_find_the_package_through_its_entry_points():
    for group in ("cmake.prefix", "pkg_config"):
        (entry,) = (e for e in metadata.entry_points(group=group) if e.name == "vemfast")
        assert entry.value.startswith("vemfast")
