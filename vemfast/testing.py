"""Laws that every model keeps, as checks that anyone can run on their own.

Each check raises an AssertionError that says what is broken. `check_model` runs all that apply::

    from vemfast.testing import check_model
    check_model(MyModel(), X)

Data are an array, a block or a list of blocks, as in `vemfast.fit`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.data import RowBlock, make_blocks
from vemfast.documents import DocumentBlock
from vemfast.execution.threads import e_step
from vemfast.indexed import IndexedBlock
from vemfast.inference import FitResult, fit, lookup
from vemfast.inference.methods import METHODS
from vemfast.models.base import Model, Step
from vemfast.sequences import SequenceBlock
from vemfast.stats import Params, Stats

__all__ = [
    "check_bound_identity",
    "check_fixed_point",
    "check_model",
    "check_monotone",
    "check_same_bits_for_threads",
    "check_stats_laws",
    "check_twin",
]

# What can be cut at any row, document or sequence.
_ROWS = (RowBlock, IndexedBlock, DocumentBlock, SequenceBlock)
DETERMINISTIC = ("mean-field", "em", "variational-em", "hard-em")


def check_model(model: Model, data: Any) -> None:
    """Run every check that applies to a model, on every rung that it has.

    Parameters
    ----------
    model : Model
    data : array-like of shape (n, n_features), block, or list of blocks
        A few hundred rows do.
    """
    for rung in METHODS:
        if rung not in model.local_rules or rung in model.unavailable:
            continue
        check_stats_laws(model, data, rung)
        check_same_bits_for_threads(model, data, rung)
        if rung in DETERMINISTIC:
            check_monotone(model, data, rung)
        if rung in DETERMINISTIC and _has_natural_form(model):
            check_bound_identity(model, data, rung)
            check_monotone(model, data, rung, "memoized")


def check_stats_laws(model: Model, data: Any, rung: str = "em", rtol: float = 1e-11) -> None:
    """Check that statistics are a vector space into which the E-step maps data additively.

    Identity on both sides; the sum over random cuts of the rows is the whole; subtracting a part
    leaves the rest; a weight multiplies; a weight of 0 is a row left out.
    """
    blocks, step = _blocks(data), _step(model, rung)
    prepared = model.prepare(model.init(blocks, step))
    whole = e_step(model, prepared, blocks, step)
    zero = Stats.zeros(model.layout)
    for sum_ in (whole + zero, zero + whole):
        assert np.array_equal(sum_.buffer, whole.buffer), "adding zero statistics changes them"
    _same_stats(whole + whole, 2 * whole, 0.0, "s + s is not 2 s")
    rng = np.random.default_rng(0)
    for block in (block for block in blocks if isinstance(block, _ROWS)):
        own = model.e_step(prepared, block, step)
        for _ in range(3):
            cut = int(rng.integers(0, block.n + 1))
            head = model.e_step(prepared, block.slice(0, cut), step)
            tail = model.e_step(prepared, block.slice(cut, block.n), step)
            _same_stats(head + tail, own, rtol, f"the rows cut at {cut} do not add up")
            _same_stats(own - tail, head, rtol, "the whole less the tail is not the head", own)
            without = np.ones(block.n) if block.weights is None else block.weights.copy()
            without[cut:] = 0.0
            weighted = model.e_step(prepared, block.with_weights(without), step)
            _same_stats(weighted, head, rtol, "a row of weight 0 is not a row left out", own)
        tripled = 3 * (np.ones(block.n) if block.weights is None else block.weights)
        weighted = model.e_step(prepared, block.with_weights(tripled), step)
        _same_stats(weighted, 3 * own, rtol, "weights of 3 do not triple the statistics")


def check_bound_identity(model: Model, data: Any, rung: str = "em", rtol: float = 1e-10) -> None:
    """Check that both forms of the bound agree at the parameters that produced the statistics.

    ``local_bound == entropy + expected_log_joint(params, stats)``, on the way to the optimum too.
    """
    blocks, step = _blocks(data), _step(model, rung)
    params = model.init(blocks, step)
    for _ in range(4):
        stats = e_step(model, model.prepare(params), blocks, step)
        general = stats.entropy + model.expected_log_joint(params, stats)
        scale = max(abs(stats.local_bound), sum(block.total_weight for block in blocks))
        assert abs(general - stats.local_bound) <= rtol * scale, (
            f"{rung}: local_bound is {stats.local_bound!r}, but entropy + <stats, natural "
            f"parameters> is {general!r}"
        )
        params = model.update(params, stats, step.next)


def check_monotone(
    model: Model,
    data: Any,
    rung: str = "em",
    schedule: str = "batch",
    *,
    rtol: float = 1e-10,
    max_iter: int = 30,
    random_state: int = 0,
) -> FitResult:
    """Check that the objective never falls by more than rounding, and return the fit."""
    result = _fit(model, data, rung, schedule, max_iter, random_state=random_state)
    bounds = np.asarray(result.lower_bounds)
    total_weight = sum(block.total_weight for block in _blocks(data))
    allowed = rtol * np.maximum(np.abs(bounds[1:]), total_weight)
    falls = np.flatnonzero(np.diff(bounds) < -allowed)
    assert falls.size == 0, (
        f"{rung}, {schedule}: the objective falls from {bounds[falls[0]]!r} to "
        f"{bounds[falls[0] + 1]!r} at iteration {falls[0] + 1}"
    )
    return result


def check_fixed_point(
    model: Model, data: Any, rung: str = "em", *, rtol: float = 1e-7, max_iter: int = 500
) -> None:
    """Check that a long fit ends at a fixed point of E-step and update: M(E(θ*)) = θ*."""
    step, blocks = _step(model, rung), _blocks(data)
    params = _fit(model, data, rung, "batch", max_iter, random_state=0).params
    stats = e_step(model, model.prepare(params), blocks, step)
    moved = model.update(params, stats, step)
    _same_leaves(moved, params, rtol, f"{rung}: the end of a long fit is not a fixed point")


def check_same_bits_for_threads(
    model: Model,
    data: Any,
    rung: str = "em",
    schedule: str = "batch",
    n_jobs: Sequence[int] = (2, 3, 8),
) -> None:
    """Check that the result has the same bits for any number of threads.

    Under the batch schedule rows are given whole, and then in several blocks.
    """
    if schedule == "batch" and not _is_blocks(data):
        check_same_bits_for_threads(model, _cut(data, 7), rung, schedule, n_jobs)
    reference = _fit(model, data, rung, schedule, 5, n_jobs=1)
    for threads in n_jobs:
        result = _fit(model, data, rung, schedule, 5, n_jobs=threads)
        same = result.lower_bounds == reference.lower_bounds and all(
            np.array_equal(a, b, equal_nan=True)
            for a, b in zip(_leaves(result.params), _leaves(reference.params), strict=True)
        )
        assert same, f"{rung}, {schedule}: {threads} threads give other bits than one"


def check_twin(
    model: Model,
    twin: Model,
    data: Any,
    rung: str = "em",
    *,
    rtol: float = 1e-10,
    params: Any = None,
    n_iter: int = 3,
) -> None:
    """Check that two models agree: E-step, update, global term and natural form.

    They must share layouts. Both are given the twin's parameters and statistics in each of
    `n_iter` iterations, so that differences do not add up.
    """
    blocks, step = _blocks(data), _step(model, rung)
    assert model.layout == twin.layout, f"layouts differ: {model.layout}, {twin.layout}"
    params = twin.init(blocks, step) if params is None else params
    for _ in range(n_iter):
        stats = e_step(twin, twin.prepare(params), blocks, step)
        own = e_step(model, model.prepare(params), blocks, step)
        _same_stats(own, stats, rtol, f"{rung}: E-steps differ")
        terms = model.global_term(params), twin.global_term(params)
        assert np.isclose(*terms, rtol=rtol, atol=rtol), f"{rung}: global terms differ: {terms}"
        if _has_natural_form(twin):
            forms = model.expected_log_joint(params, stats), twin.expected_log_joint(params, stats)
            assert np.isclose(*forms, rtol=rtol, atol=rtol), (
                f"{rung}: natural forms differ: {forms}"
            )
        step = step.next
        updates = [m.update(params, stats, step) for m in (model, twin)]
        _same_leaves(updates[0], updates[1], rtol, f"{rung}: updates differ")
        params = updates[1]


# ---- helpers -------------------------------------------------------------------------------------


def _step(model: Model, rung: str) -> Step:
    local_rule, parameter_rule = lookup(model, rung)
    return Step(local_rule, parameter_rule, seed=20, iteration=0, n_jobs=1)


def _is_blocks(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and bool(data) and hasattr(data[0], "total_weight")


def _blocks(data: Any) -> list[Any]:
    if _is_blocks(data):
        return list(data)
    return [data] if isinstance(data, _ROWS) else list(make_blocks(data))


def _cut(data: Any, pieces: int) -> list[Any]:
    (block,) = _blocks(data)
    return list(block.cut(pieces))


def _has_natural_form(model: Model) -> bool:
    return type(model).expected_log_joint is not Model.expected_log_joint


def _fit(
    model: Model, data: Any, rung: str, schedule: str, max_iter: int, **options: Any
) -> FitResult:
    """Fit for `max_iter` iterations, saying nothing of convergence."""
    length = {"max_iter": max_iter, "tol": 0.0}
    if rung == "gibbs":
        length = {"n_burn": 1, "n_draws": max_iter - 1}
    options = {"random_state": 0} | length | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(model, data, inference=rung, schedule=schedule, **options)


def _same_stats(
    actual: Stats, desired: Stats, rtol: float, message: str, scale: Stats | None = None
) -> None:
    """Assert equality relative to the largest number of each field."""
    scale = desired if scale is None else scale
    start = 2
    for name, shape in zip(desired.layout.names, desired.layout.shapes, strict=True):
        where = slice(start, start + int(np.prod(shape)))
        _close(
            actual.buffer[where],
            desired.buffer[where],
            rtol,
            f"{message} ({name})",
            scale.buffer[where],
        )
        start = where.stop
    # The entropy is a small difference of numbers as large as the bound, and rounds as they do.
    _close(
        actual.buffer[:2],
        desired.buffer[:2],
        rtol,
        f"{message} (bound, entropy)",
        scale.buffer[:2],
    )


def _same_leaves(actual: Any, desired: Any, rtol: float, message: str) -> None:
    for a, b in zip(_leaves(actual), _leaves(desired), strict=True):
        _close(a, b, rtol, message, b)


def _close(
    actual: NDArray[Any], desired: NDArray[Any], rtol: float, message: str, scale: NDArray[Any]
) -> None:
    largest = float(np.max(np.abs(scale), initial=0.0))
    np.testing.assert_allclose(actual, desired, rtol=0, atol=rtol * largest, err_msg=message)


def _leaves(params: Any) -> Iterator[NDArray[Any]]:
    """Yield the arrays that parameters of any kind are made of."""
    if isinstance(params, Params):
        for name in params.layout.names:
            yield params[name]
    elif isinstance(params, Mapping):
        for value in params.values():
            yield from _leaves(value)
    elif isinstance(params, (list, tuple)):
        for value in params:
            yield from _leaves(value)
    elif is_dataclass(params):
        for field in fields(params):
            yield from _leaves(getattr(params, field.name))
    else:
        yield np.asarray(params)
