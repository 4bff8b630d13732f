"""Save fitted estimators to files that are safe to load, and load them.

A model file holds arrays and JSON, never code: see `container` for its layout and `schemas` for
what is checked. (``pickle`` of an estimator works too, and is unsafe to load from strangers.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from vemfast.errors import ModelFileError
from vemfast.io import container
from vemfast.io.fields import Field, check_fields
from vemfast.io.schemas import SCHEMAS, Schema

__all__ = ["load", "save"]

_PARAMETER = "parameter."  # in front of the names of tensors that are constructor parameters


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to a model file.

    The file appears whole or not at all: whatever interrupts the write leaves an older file as it
    was. Callbacks, and a `random_state` that is a generator, are not saved; they come back as
    None. Parameters that are lists come back as arrays.

    Parameters
    ----------
    estimator : estimator of this library
    path : path-like
        By convention ending in ``.safetensors``.

    Raises
    ------
    TypeError
        If `estimator` is of another class.
    NotFittedError
        If it is not fitted.
    ValueError
        If its attributes no longer agree with its parameters, or a parameter cannot be written.
    OSError
        If the file cannot be written.
    """
    name = type(estimator).__name__
    schema = SCHEMAS.get(name)
    if schema is None or type(estimator) is not schema.estimator:
        raise TypeError(f"{name} is not a class that has model files; {', '.join(SCHEMAS)} are")
    check_is_fitted(estimator)
    parameters, tensors = _encode_parameters(estimator)
    fields = schema.fields(estimator, estimator.n_features_in_)
    values = _encode_fitted(estimator, fields)
    try:
        check_fields(fields, values)
    except ModelFileError as error:
        message = f"the fitted attributes do not agree with the parameters; fit again ({error})"
        raise ValueError(message) from error
    tensors.update((key, value) for key, value in values.items() if fields[key].is_tensor)
    fitted = {key: value for key, value in values.items() if not fields[key].is_tensor}
    document = {"estimator": name, "parameters": parameters, "fitted": fitted}
    container.write(path, document, tensors)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a fitted estimator from a model file.

    Safe on a file from a stranger: it can hold no code, its digest is checked, and so is whether
    its content can be a fitted model of that class. What is loaded predicts bit for bit what the
    saved one did.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    estimator

    Raises
    ------
    ModelFileError
        If the file is damaged, inconsistent, or of a newer major version. It names the field.
    OSError
        If the file cannot be read.
    """
    try:
        return _decode(*container.read(path))
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from error


def _decode(document: dict[str, Any], tensors: container.Tensors, is_newer: bool) -> Any:
    schema = SCHEMAS.get(document["estimator"])
    if schema is None:
        raise ModelFileError(
            f"estimator: {document['estimator']!r} is none of {', '.join(SCHEMAS)}"
        )
    estimator = _decode_parameters(schema, document["parameters"], tensors, is_newer)
    fitted = document["fitted"]
    n_features = fitted.get("n_features_in_")
    if type(n_features) is not int or n_features < 1:
        raise ModelFileError("n_features_in_: missing, or not a positive number")
    if n_features > sum(tensor.size for tensor in tensors.values()):
        raise ModelFileError(f"n_features_in_: {n_features}, more than the file has numbers")
    fields = schema.fields(estimator, n_features)
    values: dict[str, Any] = {}
    for key, value in (*tensors.items(), *fitted.items()):
        if key in values:
            raise ModelFileError(f"{key}: stands twice")
        if key in fields and fields[key].is_tensor == (key in tensors):
            values[key] = value
        elif not is_newer:
            raise ModelFileError(f"{key}: does not belong to a {document['estimator']}")
    check_fields(fields, values)
    if schema.agree is not None:
        schema.agree(values)
    vars(estimator).update(_decode_fitted(schema, fields, values))
    return estimator


# ---- parameters -----------------------------------------------------------------------------


def _encode_parameters(estimator: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    parameters: dict[str, Any] = {}
    tensors: dict[str, NDArray[Any]] = {}
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, np.generic):
            value = value.item()
        if name == "callbacks" or isinstance(value, (np.random.Generator, np.random.RandomState)):
            continue
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f"{name}={value!r} cannot be saved; only finite numbers can")
        if name == "freeze" and value is not None:
            parameters[name] = [str(field) for field in value]
        elif value is None or isinstance(value, (bool, int, float, str)):
            parameters[name] = value
        elif _is_ragged(value):
            for i, part in enumerate(value):
                tensors[f"{_PARAMETER}{name}.{i}"] = np.array(part, dtype=np.float64)
        else:
            tensors[_PARAMETER + name] = np.array(value, dtype=np.float64)
    return parameters, tensors


def _is_ragged(value: Any) -> bool:
    """Whether a parameter is a list of arrays, which may differ in shape."""
    return (
        isinstance(value, (list, tuple))
        and any(np.ndim(part) > 0 for part in value)
        and (len({np.shape(part) for part in value}) > 1)
    )


def _decode_parameters(
    schema: Schema, parameters: dict[str, Any], tensors: container.Tensors, is_newer: bool
) -> Any:
    """Return an unfitted estimator, and take what belongs to its parameters from `tensors`."""
    given = dict(parameters)
    for key in [key for key in tensors if key.startswith(_PARAMETER)]:
        name, _, part = key.removeprefix(_PARAMETER).partition(".")
        if part:
            given.setdefault(name, {})[part] = tensors.pop(key)
        else:
            given[name] = tensors.pop(key)
    known = schema.estimator._get_param_names()
    for name in sorted(set(given).difference(known)):
        if not is_newer:
            raise ModelFileError(f"parameters: there is no parameter {name!r}")
        del given[name]
    if type(given.get("freeze")) is list and all(type(name) is str for name in given["freeze"]):
        given["freeze"] = tuple(given["freeze"])
        parameters = {**parameters, "freeze": None}
    for name, value in given.items():
        if name == "callbacks" or isinstance(parameters.get(name), (list, dict)):
            raise ModelFileError(f"parameters: {name} cannot come from a file")
        if isinstance(value, dict):
            given[name] = _in_order(name, value)
    estimator = schema.estimator(**given)
    try:
        estimator._check_params()
    except ValueError as error:
        raise ModelFileError(f"parameters: {error}") from error
    return estimator


def _in_order(name: str, parts: dict[str, Any]) -> list[Any]:
    """Return a parameter that is a list of arrays, saved one by one."""
    try:
        return [parts[str(i)] for i in range(len(parts))]
    except KeyError as error:
        raise ModelFileError(f"parameters: {name} lacks its element {error}") from error


# ---- fitted attributes ----------------------------------------------------------------------


def _encode_fitted(estimator: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, field in fields.items():
        attribute, *parts = key.split(".")
        if not hasattr(estimator, attribute):
            continue
        value = getattr(estimator, attribute)
        for part in parts:
            if part.isdigit() and int(part) >= len(value):
                break
            value = value[int(part)] if part.isdigit() else getattr(value, part)
        else:
            values[key] = _encoded(field, value)
    return values


def _encoded(field: Field, value: Any) -> Any:
    if field.is_tensor:
        return np.asarray(value, dtype=np.float64)
    if field.kind == "names":
        return [str(name) for name in value]
    return value.item() if isinstance(value, np.generic) else value


def _decode_fitted(
    schema: Schema, fields: Mapping[str, Field], values: Mapping[str, Any]
) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key in fields:  # in the order of lists
        if key not in values:
            continue
        *parents, last = key.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = _decoded(fields[key], values[key])
    attributes: dict[str, Any] = _as_lists(tree)
    for name, record in schema.records.items():
        if name in attributes:
            attributes[name] = record(**attributes[name])
    return attributes


def _decoded(field: Field, value: Any) -> Any:
    if field.kind == "list":
        return value.tolist()
    if field.kind == "integers":
        return value.astype(np.int64)
    if field.kind == "pair":
        return tuple(value)
    return np.array(value, dtype=object) if field.kind == "names" else value


def _as_lists(tree: dict[str, Any]) -> Any:
    """Return a tree whose branches with numbers for names are lists."""
    tree = {k: _as_lists(v) if isinstance(v, dict) else v for k, v in tree.items()}
    return list(tree.values()) if tree and all(k.isdigit() for k in tree) else tree
