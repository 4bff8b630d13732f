"""Multi-layer perceptrons in NumPy, forward and backward by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit

__all__ = ["backward", "forward", "slope", "softplus"]

Array = NDArray[Any]

_ROOT_2 = float(np.sqrt(2.0))
_ROOT_2PI = float(np.sqrt(2.0 * np.pi))


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x))."""
    return np.asarray(np.logaddexp(x, x.dtype.type(0)))


def activate(name: str, x: Array) -> Array:
    """Return the activation of x, elementwise."""
    if name == "tanh":
        return np.asarray(np.tanh(x))
    if name == "relu":
        return np.asarray(np.maximum(x, 0))
    if name == "gelu":
        return np.asarray(x * (0.5 * (1 + erf(x / _ROOT_2))))
    return softplus(x) if name == "softplus" else x


def slope(name: str, x: Array) -> Array:
    """Return the derivative of the activation at x, elementwise; of the ReLU at 0 it is 0."""
    if name == "tanh":
        return np.asarray(1 - np.tanh(x) ** 2)
    if name == "relu":
        return np.asarray((x > 0).astype(x.dtype))
    if name == "gelu":
        return np.asarray(0.5 * (1 + erf(x / _ROOT_2)) + x * np.exp(-0.5 * x * x) / _ROOT_2PI)
    return np.asarray(expit(x)) if name == "softplus" else np.ones_like(x)


def forward(
    coefs: Sequence[Array], intercepts: Sequence[Array], activation: str, x: Array
) -> list[Array]:
    """Return the sums a_i = h_i W_i + b_i of each layer, h_0 = x; the last is the output."""
    sums = []
    h = x
    for W, b in zip(coefs, intercepts, strict=True):
        sums.append(h @ W + b)
        h = activate(activation, sums[-1])
    return sums


def backward(
    coefs: Sequence[Array], activation: str, x: Array, sums: Sequence[Array], gradient: Array
) -> tuple[list[Array], list[Array], Array]:
    """Return gradients of the coefs, of the intercepts and of x, given that of the output."""
    of_coefs, of_intercepts = [], []
    for i in reversed(range(len(coefs))):
        h = activate(activation, sums[i - 1]) if i > 0 else x
        of_coefs.append(h.T @ gradient)
        of_intercepts.append(gradient.sum(axis=0))
        gradient = gradient @ coefs[i].T
        if i > 0:
            gradient = gradient * slope(activation, sums[i - 1])
    return of_coefs[::-1], of_intercepts[::-1], gradient
