"""The local step of one chain: from the scores of its steps to a bound and responsibilities.

Everything is in logarithms, with the filter normalised at each step, so that nothing under- or
overflows whatever the scores are. Formulas: docs/formulas/hmm.md, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ImpossibleError",
    "Path",
    "backward_sample",
    "factorised",
    "filtered",
    "hard",
    "smoothed",
]

Array = NDArray[np.float64]

# A factorised q below this is 0, so that no product of two underflows: a transition whose expected
# number is 0 is then one that no two neighbours make.
_LEAST_Q = 1e-140


@dataclass(frozen=True, eq=False)
class Path:
    """What an E-step says of one sequence.

    Attributes
    ----------
    bound : float
        Its share of the objective, nats, without base measures.
    gamma : ndarray of shape (T, K)
        Responsibilities of the states.
    pairs : ndarray of shape (K, K)
        Expected number of each transition.
    """

    bound: float
    gamma: Array
    pairs: Array


def log_sum_exp(values: Array, axis: int) -> Array:
    """Return log Σ exp along an axis; -inf where all are."""
    top = values.max(axis=axis, keepdims=True)
    top = np.where(np.isneginf(top), 0.0, top)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(values - top).sum(axis=axis, keepdims=True)) + top).squeeze(
            axis
        )


class ImpossibleError(ValueError):
    """No path of states has the observations up to a step."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


def filtered(scores: Array, log_start: Array, log_transitions: Array) -> tuple[Array, Array]:
    """Return log p(z_t given x_1..t), (T, K), and log p(x_t given x_1..t-1), (T,).

    Raises
    ------
    ImpossibleError
        If that is -inf at some step.
    """
    T = len(scores)
    states, gains = np.empty(scores.shape), np.empty(T)
    for t in range(T):
        ahead = log_start if t == 0 else log_sum_exp(states[t - 1][:, None] + log_transitions, 0)
        joint = ahead + scores[t]
        gains[t] = log_sum_exp(joint, 0)
        if np.isneginf(gains[t]):
            raise ImpossibleError(t)
        states[t] = joint - gains[t]
    return states, gains


def smoothed(scores: Array, log_start: Array, log_transitions: Array) -> Path:
    """Return the exact posterior: forward-backward (Baum et al. 1970)."""
    states, gains = filtered(scores, log_start, log_transitions)
    T, K = scores.shape
    later = np.zeros((T, K))  # log p(x_t+1..T given z_t) / p(x_t+1..T given x_1..t)
    pairs = np.zeros((K, K))
    for t in range(T - 2, -1, -1):
        onward = log_transitions + (scores[t + 1] + later[t + 1] - gains[t + 1])
        later[t] = log_sum_exp(onward, 1)
        pairs += np.exp(states[t][:, None] + onward)
    return Path(float(gains.sum()), np.exp(states + later), pairs)


def _of_states(bound: float, z: NDArray[np.intp], K: int) -> Path:
    pairs = np.zeros((K, K))
    np.add.at(pairs, (z[:-1], z[1:]), 1.0)
    return Path(bound, np.eye(K)[z], pairs)


def hard(scores: Array, log_start: Array, log_transitions: Array) -> Path:
    """Return the best path (Viterbi 1967); ties to the lowest state."""
    T, K = scores.shape
    best, came_from = log_start + scores[0], np.zeros((T, K), dtype=np.intp)
    for t in range(T):
        if t:
            onward = best[:, None] + log_transitions
            came_from[t] = onward.argmax(axis=0)
            best = onward.max(axis=0) + scores[t]
        if np.isneginf(best.max()):
            raise ImpossibleError(t)
    z = np.empty(T, dtype=np.intp)
    z[-1] = best.argmax()
    for t in range(T - 1, 0, -1):
        z[t - 1] = came_from[t, z[t]]
    return _of_states(float(best.max()), z, K)


def backward_sample(scores: Array, log_start: Array, log_transitions: Array, u: Array) -> Path:
    """Return a path drawn from the posterior, from its end to its beginning, by uniforms u (T,)."""
    states, gains = filtered(scores, log_start, log_transitions)
    T, K = scores.shape
    z = np.empty(T, dtype=np.intp)
    for t in range(T - 1, -1, -1):
        logs = states[t] if t == T - 1 else states[t] + log_transitions[:, z[t + 1]]
        p = np.exp(logs - logs.max())
        cumulative = p.cumsum()
        drawn = int((cumulative <= u[t] * cumulative[-1]).sum())
        z[t] = min(drawn, np.flatnonzero(p)[-1])
    return _of_states(float(gains.sum()), z, K)


def factorised(
    scores: Array,
    log_start: Array,
    log_transitions: Array,
    q: Array | None,
    n_sweeps: int,
    tol: float,
) -> Path:
    """Return independent q of the steps after coordinate sweeps from `q` (None: a forward pass).

    `Path.gamma` is q (Saul and Jordan 1996; Ghahramani and Jordan 1997).
    """
    T = len(scores)
    q = _forward_pass(scores, log_start, log_transitions) if q is None else q.copy()
    for _ in range(n_sweeps):
        moved = 0.0
        for t in range(T):
            logs = scores[t] + (log_start if t == 0 else _expected(q[t - 1], log_transitions))
            if t < T - 1:
                logs = logs + _expected(q[t + 1], log_transitions.T)
            new = _normalised(logs, t)
            moved = max(moved, float(np.abs(new - q[t]).max()))
            q[t] = new
        if moved < tol:
            break
    pairs = q[:-1].T @ q[1:]
    there = q > 0
    entropy = -float(np.sum(q[there] * np.log(q[there])))
    bound = inner(q, scores) + inner(q[0], log_start) + inner(pairs, log_transitions)
    return Path(bound + entropy, q, pairs)


def _forward_pass(scores: Array, log_start: Array, log_transitions: Array) -> Array:
    """Return first q: each the best given the one before; the best path where that fails.

    It can where transitions have become 0: q that overlap then rule each other out.
    """
    q = np.empty(scores.shape)
    try:
        for t in range(len(scores)):
            ahead = log_start if t == 0 else _expected(q[t - 1], log_transitions)
            q[t] = _normalised(scores[t] + ahead, t)
    except ImpossibleError:
        return hard(scores, log_start, log_transitions).gamma
    return q


def inner(numbers: Array, logs: Array) -> float:
    """Return Σ of numbers times logarithms, with 0 log 0 = 0.

    A number below the smallest normal one is 0: as a share of its row it may have become 0.
    """
    there = numbers >= np.finfo(np.float64).tiny
    return float(numbers[there] @ logs[there])


def _expected(q: Array, log_rows: Array) -> Array:
    """Return Σ_i q_i log_rows[i], with 0 log 0 = 0."""
    there = q > 0
    return np.asarray(q[there] @ log_rows[there])


def _normalised(logs: Array, t: int) -> Array:
    top = logs.max()
    if np.isneginf(top):
        raise ImpossibleError(t)
    p = np.exp(logs - top)
    p /= p.sum()
    p[p < _LEAST_Q] = 0.0
    return np.asarray(p)
