"""A variational autoencoder's bound and its gradient, in lists and loops: a program without arrays.

One hidden layer of rectified units on either side, a Bernoulli likelihood, z = m + exp(s / 2) eps
(Kingma and Welling 2014); backpropagation by hand. A layer is its weights, a row an input, and its
intercepts.
"""

from __future__ import annotations

from math import exp, expm1, log1p

Vector = list[float]
Matrix = list[list[float]]
Layer = tuple[Matrix, Vector]


def sums(x: Vector, layer: Layer) -> Vector:
    """Return x W + b."""
    out = list(layer[1])
    for value, row in zip(x, layer[0], strict=True):
        if value:
            for j, weight in enumerate(row):
                out[j] += value * weight
    return out


def backward(x: Vector, of_out: Vector, layer: Layer, gradient: Layer) -> Vector:
    """Add the gradient by a layer to `gradient`; return that by its input."""
    of_x = []
    for value, row, own in zip(x, layer[0], gradient[0], strict=True):
        total = 0.0
        for j, of in enumerate(of_out):
            own[j] += value * of
            total += row[j] * of
        of_x.append(total)
    for j, of in enumerate(of_out):
        gradient[1][j] += of
    return of_x


def rectified(values: Vector) -> Vector:
    """Return the values above zero, and zero for the others."""
    return [max(value, 0.0) for value in values]


def blocked(of_values: Vector, values: Vector) -> Vector:
    """Return the gradient by what was rectified."""
    return [of if value > 0 else 0.0 for of, value in zip(of_values, values, strict=True)]


def bound_step(rows: Matrix, layers: list[Layer], noise: Matrix) -> tuple[float, list[Layer]]:
    """Return the sum of the rows' bounds, nats, and its gradient by the four layers."""
    gradient = [([[0.0] * len(row) for row in W], [0.0] * len(b)) for W, b in layers]
    bound, k = 0.0, len(noise[0])
    for x, eps in zip(rows, noise, strict=True):
        hidden = rectified(sums(x, layers[0]))
        q = sums(hidden, layers[1])
        mean, log_variance = q[:k], q[k:]
        spread = [exp(0.5 * s) for s in log_variance]
        z = [m + d * e for m, d, e in zip(mean, spread, eps, strict=True)]
        above = rectified(sums(z, layers[2]))
        logits = sums(above, layers[3])
        of_logits = []
        for value, a in zip(x, logits, strict=True):
            bound += value * a - max(a, 0.0) - log1p(exp(-abs(a)))
            of_logits.append(value - 1.0 / (1.0 + exp(-a)))
        for m, s in zip(mean, log_variance, strict=True):
            bound -= 0.5 * (m * m + expm1(s) - s)
        of_above = blocked(backward(above, of_logits, layers[3], gradient[3]), above)
        of_z = backward(z, of_above, layers[2], gradient[2])
        of_mean = [of - m for of, m in zip(of_z, mean, strict=True)]
        of_log_variance = [
            0.5 * (of * d * e - expm1(s))
            for of, d, e, s in zip(of_z, spread, eps, log_variance, strict=True)
        ]
        of_q = of_mean + of_log_variance
        of_hidden = blocked(backward(hidden, of_q, layers[1], gradient[1]), hidden)
        backward(x, of_hidden, layers[0], gradient[0])
    return bound, gradient
