"""A file is replaced whole or not at all, whatever fails, and wherever a kill strikes."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from vemfast.io import atomic
from vemfast.io.atomic import SUFFIX, atomic_write

OLD = b"old" * 1000
NEW = b"new" * 100_000

# Alone, without the packages that the rest of `vemfast.io` loads.
LOAD = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("atomic", {atomic.__file__!r})
atomic = importlib.util.module_from_spec(spec)
spec.loader.exec_module(atomic)
"""

# Replace the file at argv[1] by NEW, but for a kill before call number argv[2] of those that touch
# files.
KILLED = LOAD + textwrap.dedent("""
    import os, signal

    calls = 0

    def counted(call):
        def wrapper(*args, **options):
            global calls
            if calls == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            return call(*args, **options)
        return wrapper

    for name in ("listdir", "open", "fstat", "fchmod", "fsync", "replace", "close"):
        setattr(os, name, counted(getattr(os, name)))
    with atomic.atomic_write(sys.argv[1]) as file:
        for _ in range(4):
            counted(file.write)(b"new" * 25_000)
    print(calls)
""")


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(OLD)
    return path


def write(path, content=NEW):
    with atomic_write(path) as file:
        file.write(content)


def temporaries(path):
    return [entry.name for entry in path.parent.iterdir() if entry.name.endswith(SUFFIX)]


def run(code, *args, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


# ---- when all is well -----------------------------------------------------------------------


def test_a_new_file_and_an_old_one(target):
    write(target)
    assert target.read_bytes() == NEW
    write(target.with_name("another"), OLD)
    assert target.with_name("another").read_bytes() == OLD
    assert temporaries(target) == []


def test_the_permissions_stay_and_a_new_file_follows_the_mask(target):
    target.chmod(0o640)
    write(target)
    assert target.stat().st_mode & 0o777 == 0o640
    mask = os.umask(0o027)
    try:
        write(target.with_name("another"))
    finally:
        os.umask(mask)
    assert target.with_name("another").stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_stays_one(target):
    link = target.with_name("latest")
    link.symlink_to(target.name)
    write(link)
    assert link.is_symlink()
    assert target.read_bytes() == NEW


def test_a_name_of_the_greatest_length(tmp_path):
    path = tmp_path / ("é" * 127)
    write(path)
    assert path.read_bytes() == NEW


def test_what_is_no_regular_file_is_written_directly():
    write(os.devnull)
    assert not os.path.isfile(os.devnull)


# ---- when something fails -------------------------------------------------------------------


def fail(code):
    def call(*args, **options):
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_an_error_leaves_the_old_file(target, monkeypatch, call, code):
    monkeypatch.setattr(atomic.os, call, fail(code))
    with pytest.raises(OSError, match=os.strerror(code)) as info:
        write(target)
    assert info.value.errno == code
    assert info.value.filename == str(target)
    assert target.read_bytes() == OLD
    assert temporaries(target) == []


def test_a_failure_within_the_block_leaves_the_old_file(target):
    def half():
        with atomic_write(target) as file:
            file.write(NEW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert target.read_bytes() == OLD
    assert temporaries(target) == []


def test_a_full_disk_leaves_the_old_file(target):
    code = LOAD + textwrap.dedent("""
        try:
            with atomic.atomic_write(sys.argv[1]) as file:
                file.write(b"new" * 100_000)
        except OSError as error:
            print(error)
    """)
    limit = 100_000

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = run(code, target, preexec_fn=limited)
    assert result.stdout == f"[Errno {errno.EFBIG}] File too large: '{target}'\n"
    assert target.read_bytes() == OLD
    assert temporaries(target) == []


def test_the_error_names_the_target_where_no_file_can_be_made(tmp_path):
    with pytest.raises(FileNotFoundError) as info:
        write(tmp_path / "missing" / "model")
    assert info.value.filename == str(tmp_path / "missing" / "model")
    with pytest.raises(IsADirectoryError):
        write(tmp_path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_not_replaced(target):
    target.chmod(0o444)
    with pytest.raises(PermissionError):
        write(target)


def test_a_folder_that_cannot_be_synced_is_no_failure(target, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    write(target)
    assert target.read_bytes() == NEW


# ---- kills ----------------------------------------------------------------------------------


def killed_at(target, call):
    """Start a write and kill it before a call."""
    result = run(KILLED, target, call)
    assert result.returncode == -signal.SIGKILL, result.stderr


def test_a_kill_before_any_call_leaves_the_old_file_or_the_new_one(target):
    calls = int(run(KILLED, target, -1).stdout)
    assert calls >= 12
    seen = []
    for call in range(calls):
        target.write_bytes(OLD)
        killed_at(target, call)
        content = target.read_bytes()
        assert content in (OLD, NEW)
        assert len(temporaries(target)) <= 1
        seen.append(content == OLD)
    assert seen == sorted(seen, reverse=True)  # the old one up to the replacement, then the new one
    assert seen[0]
    assert not seen[-1]
    write(target)
    assert temporaries(target) == []


def test_the_next_write_removes_what_a_kill_left(target):
    killed_at(target, 4)
    assert target.read_bytes() == OLD
    (left,) = temporaries(target)
    assert left.startswith(".model.safetensors.")
    other = target.with_name(left.replace("model", "other"))
    other.touch()  # belongs to another file
    write(target)
    assert temporaries(target) == [other.name]


def test_the_temporary_file_of_a_write_at_work_is_left_alone(target):
    with atomic_write(target) as file:
        file.write(NEW)
        write(target, b"the other")
        assert len(temporaries(target)) == 1
        assert target.read_bytes() == b"the other"
    assert target.read_bytes() == NEW


@pytest.mark.nightly
def test_kills_at_random_times(target):
    code = LOAD + textwrap.dedent("""
        print("ready", flush=True)
        while True:
            for letter in b"ab":
                with atomic.atomic_write(sys.argv[1]) as file:
                    file.write(bytes([letter]) * 3_000_000)
    """)
    target.write_bytes(b"a" * 3_000_000)
    rng = random.Random(0)
    for _ in range(50):
        process = subprocess.Popen([sys.executable, "-c", code, target], stdout=subprocess.PIPE)
        process.stdout.readline()
        try:
            process.wait(rng.uniform(0, 0.2))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        content = target.read_bytes()
        assert len(content) == 3_000_000
        assert len(set(content)) == 1
        assert len(temporaries(target)) <= 1
    write(target)
    assert temporaries(target) == []
    assert list(Path(target.parent).iterdir()) == [target]
