"""The container of a model file: safetensors, with one JSON document as its metadata.

Under the metadata key ``vemfast`` stands one line of JSON: ``format``, ``version``, ``estimator``,
``parameters``, ``fitted`` and, always last, ``sha256``. The digest covers the document's bytes up
to ``,"sha256"`` and then, for every tensor in the order of their names, its name, data type and
shape as text, each ended by a zero byte, and its bytes. So a reader in any language checks it
without writing JSON, and no changed byte goes unnoticed.

Nothing here knows what a model is; what the document and the tensors mean is for `schemas`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vemfast.errors import ModelFileError
from vemfast.io.atomic import atomic_write

__all__ = ["FORMAT", "VERSION", "read", "write"]

FORMAT = "vemfast-model"
# Major: older readers must refuse. Minor: they may ignore what they do not know.
VERSION = (1, 0)

_KEY = "vemfast"
_DIGEST = re.compile(r',"sha256":"([0-9a-f]{64})"\}')
_DIGEST_LENGTH = len(',"sha256":""}') + 64

Tensors = dict[str, NDArray[Any]]


def write(
    path: str | os.PathLike[str], document: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    """Write a document and its tensors, atomically.

    Raises
    ------
    OSError
        If the file cannot be written; an older one is then as it was.
    """
    from safetensors.numpy import save

    whole = {"format": FORMAT, "version": "{}.{}".format(*VERSION), **document}
    text = json.dumps(whole, separators=(",", ":"), allow_nan=False)[:-1]
    # np.ascontiguousarray would make a vector of a scalar.
    ordered = {name: np.array(tensors[name], order="C") for name in sorted(tensors)}
    text += f',"sha256":"{_digest(text, ordered)}"}}'
    content = save(ordered, {_KEY: text})
    with atomic_write(path) as file:
        file.write(content)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Tensors, bool]:
    """Read a document and its tensors.

    Returns
    -------
    document : dict
        With the keys ``estimator``, ``parameters`` and ``fitted`` at least.
    tensors : dict of str to ndarray
    is_newer : bool
        Whether the file is of a later minor version, and may hold what is not known here.

    Raises
    ------
    ModelFileError
        If the file is damaged, or not a model file, or of a newer major version.
    OSError
        If it cannot be read.
    """
    content = _content(path)
    tensors = _tensors(content)
    text = _metadata(content)
    document = _parse(text)
    is_newer = _check_version(document)
    _check_digest(text, tensors)
    for name, kind in (("estimator", str), ("parameters", dict), ("fitted", dict)):
        if not isinstance(document.get(name), kind):
            raise ModelFileError(f"{name}: missing, or not a {kind.__name__}")
    return document, tensors, is_newer


def _content(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file, read once: what is checked is what is used."""
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ModelFileError("not a regular file")
        return file.read()


def _tensors(content: bytes) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        views = load(content)
    except SafetensorError as error:
        raise ModelFileError(f"not a safetensors file, or damaged: {error}") from error
    except (KeyError, ValueError, TypeError) as error:  # a data type that NumPy does not have
        raise ModelFileError(f"a tensor that is not an array of numbers: {error}") from error
    return {name: np.array(view) for name, view in views.items()}


def _metadata(content: bytes) -> str:
    # The library gives metadata only for a path; by now it has accepted this header.
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    if _KEY not in metadata:
        raise ModelFileError(f"format: a safetensors file, but not a {FORMAT}")
    return str(metadata[_KEY])


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"metadata: not a JSON document ({error})") from error
    if not isinstance(document, dict):
        raise ModelFileError("metadata: not a JSON object")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _check_version(document: dict[str, Any]) -> bool:
    if document.get("format") != FORMAT:
        raise ModelFileError(f"format: {document.get('format')!r}, not {FORMAT!r}")
    version = document.get("version")
    parts = re.fullmatch(r"([0-9]{1,6})\.([0-9]{1,6})", version) if type(version) is str else None
    if parts is None:
        raise ModelFileError(f"version: {version!r} is not a version such as '1.0'")
    major, minor = int(parts[1]), int(parts[2])
    if major > VERSION[0]:
        raise ModelFileError(
            f"version: the file has format {version}, this vemfast reads up to {VERSION[0]}.x; "
            "use a newer vemfast"
        )
    if major < 1:
        raise ModelFileError(f"version: there is no format {version}")
    return (major, minor) > VERSION


def _check_digest(text: str, tensors: Tensors) -> None:
    end = _DIGEST.fullmatch(text, max(len(text) - _DIGEST_LENGTH, 0))
    if end is None:
        raise ModelFileError("sha256: missing")
    if end[1] != _digest(text[:-_DIGEST_LENGTH], tensors):
        raise ModelFileError("sha256: the digest does not match; the file is damaged")


def _digest(text: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name]
        little_endian = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)
        for part in (name, tensor.dtype.name, ",".join(map(str, tensor.shape))):
            digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
        digest.update(little_endian.tobytes())
    return digest.hexdigest()
