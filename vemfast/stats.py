"""Sufficient statistics and parameters as named views into one float64 buffer.

Statistics form a vector space: they add up over blocks, threads and machines, scale under the
minibatch schedule and subtract. One contiguous buffer makes each of these one pass over memory,
and makes pickling or sending them to another process a copy of bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layout", "Params", "Stats", "SumTree", "fold"]

_Term = TypeVar("_Term")
_Shape = tuple[int, ...]
_Slots = dict[str, tuple[slice, _Shape]]

_HEADER = 2  # local_bound and entropy, in front of the fields of every Stats buffer


class Layout:
    """Names and shapes of the fields that share one buffer, in order.

    Parameters
    ----------
    fields : mapping of str to tuple of int
        The shape of each field; ``()`` is a scalar.

    Attributes
    ----------
    names : tuple of str
    shapes : tuple of tuple of int
    size : int
        Number of float64 elements of all fields together.

    Examples
    --------
    >>> layout = Layout({"counts": (3,), "sums": (3, 2)})
    >>> layout.size
    9
    """

    __slots__ = ("_params_slots", "_stats_slots", "names", "shapes", "size")

    def __init__(self, fields: Mapping[str, Sequence[int]]) -> None:
        self.names = tuple(fields)
        self.shapes = tuple(tuple(int(length) for length in shape) for shape in fields.values())
        for name, shape in zip(self.names, self.shapes, strict=True):
            if any(length < 0 for length in shape):
                raise ValueError(f"field {name!r} has a negative length in its shape {shape}")
        self.size = sum(prod(shape) for shape in self.shapes)
        self._params_slots = self._slots(0)
        self._stats_slots = self._slots(_HEADER)

    def _slots(self, start: int) -> _Slots:
        slots: _Slots = {}
        for name, shape in zip(self.names, self.shapes, strict=True):
            slots[name] = (slice(start, start + prod(shape)), shape)
            start += prod(shape)
        return slots

    def view(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        """Return the field `name` of an array of shape (..., size): of one buffer, a view."""
        where, shape = self._params_slots[name]
        return array[..., where].reshape(array.shape[:-1] + shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layout):
            return NotImplemented
        return self.names == other.names and self.shapes == other.shapes

    def __hash__(self) -> int:
        return hash((self.names, self.shapes))

    def __reduce__(self) -> tuple[Any, ...]:
        return Layout, (dict(zip(self.names, self.shapes, strict=True)),)

    def __repr__(self) -> str:
        return f"Layout({dict(zip(self.names, self.shapes, strict=True))})"


def _as_buffer(buffer: NDArray[np.float64] | None, size: int) -> NDArray[np.float64]:
    if buffer is None:
        return np.zeros(size)
    if buffer.dtype != np.float64 or buffer.shape != (size,) or not buffer.flags.c_contiguous:
        raise ValueError(
            f"the buffer must be a contiguous float64 array of shape ({size},); "
            f"got {buffer.dtype} of shape {buffer.shape}"
        )
    return buffer


class Stats:
    """Sufficient statistics of some rows, and the rows' share of the objective.

    Parameters
    ----------
    layout : Layout
    buffer : ndarray of shape (layout.size + 2,), default=None
        Used without a copy: element 0 is `local_bound`, element 1 is `entropy`, then come the
        fields in the layout's order. None: zeros.

    Attributes
    ----------
    local : object or None
        What an E-step found for each unit of its block, from which the next one may go on (the
        block's `local`). It does not add up: sums, multiples and pickles have None.
    """

    __slots__ = ("buffer", "layout", "local")

    def __init__(self, layout: Layout, buffer: NDArray[np.float64] | None = None) -> None:
        self.layout = layout
        self.buffer = _as_buffer(buffer, layout.size + _HEADER)
        self.local: Any = None

    @classmethod
    def adopted(cls, layout: Layout, buffer: NDArray[np.float64]) -> Stats:
        """Return statistics over a buffer that is known to be right: the checks cost time."""
        stats = cls.__new__(cls)
        stats.layout = layout
        stats.buffer = buffer
        return stats

    @classmethod
    def zeros(cls, layout: Layout) -> Stats:
        """Return the neutral element of addition."""
        return cls(layout)

    @property
    def local_bound(self) -> float:
        """The rows' share of the objective at the parameters that produced these, nats."""
        return self.buffer.item(0)

    @local_bound.setter
    def local_bound(self, value: float) -> None:
        self.buffer[0] = value

    @property
    def entropy(self) -> float:
        """The part free of the parameters (H[q(T)] and base measures), nats."""
        return self.buffer.item(1)

    @entropy.setter
    def entropy(self, value: float) -> None:
        self.buffer[1] = value

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        where, shape = self.layout._stats_slots[name]
        return self.buffer[where].reshape(shape)

    def __setitem__(self, name: str, value: Any) -> None:
        self[name][...] = value

    def copy(self) -> Stats:
        """Return statistics with a buffer of their own."""
        return Stats(self.layout, self.buffer.copy())

    def _same_layout(self, other: Stats) -> None:
        if self.layout is not other.layout and self.layout != other.layout:
            raise ValueError(f"statistics of different layouts: {self.layout} and {other.layout}")

    def __add__(self, other: Stats) -> Stats:
        self._same_layout(other)
        return Stats(self.layout, self.buffer + other.buffer)

    def __sub__(self, other: Stats) -> Stats:
        self._same_layout(other)
        return Stats(self.layout, self.buffer - other.buffer)

    def __mul__(self, factor: float) -> Stats:
        return Stats(self.layout, self.buffer * factor)

    __rmul__ = __mul__

    def __iadd__(self, other: Stats) -> Stats:
        self._same_layout(other)
        self.buffer += other.buffer
        return self

    def __isub__(self, other: Stats) -> Stats:
        self._same_layout(other)
        self.buffer -= other.buffer
        return self

    def __imul__(self, factor: float) -> Stats:
        self.buffer *= factor
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Stats, (self.layout, self.buffer)

    def __repr__(self) -> str:
        return (
            f"Stats(local_bound={self.local_bound:.6g}, entropy={self.entropy:.6g}, {self.layout})"
        )


class Params:
    """Global parameters of a model: a point, or the natural description of a posterior.

    Parameters
    ----------
    layout : Layout
    kind : {"point", "posterior"}
        A sampled θ is a point.
    buffer : ndarray of shape (layout.size,), default=None
        Used without a copy. None: zeros.
    """

    __slots__ = ("buffer", "kind", "layout")

    def __init__(
        self, layout: Layout, kind: str, buffer: NDArray[np.float64] | None = None
    ) -> None:
        if kind not in ("point", "posterior"):
            raise ValueError(f"kind must be 'point' or 'posterior'; got {kind!r}")
        self.layout = layout
        self.kind = kind
        self.buffer = _as_buffer(buffer, layout.size)

    @classmethod
    def adopted(cls, layout: Layout, kind: str, buffer: NDArray[np.float64]) -> Params:
        """Return parameters over a buffer that is known to be right: the checks cost time."""
        params = cls.__new__(cls)
        params.layout = layout
        params.kind = kind
        params.buffer = buffer
        return params

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        where, shape = self.layout._params_slots[name]
        return self.buffer[where].reshape(shape)

    def __setitem__(self, name: str, value: Any) -> None:
        self[name][...] = value

    def copy(self) -> Params:
        """Return parameters with a buffer of their own."""
        return Params(self.layout, self.kind, self.buffer.copy())

    def __reduce__(self) -> tuple[Any, ...]:
        return Params, (self.layout, self.kind, self.buffer)

    def __repr__(self) -> str:
        return f"Params({self.kind}, {self.layout})"


class SumTree:
    """The sum of a sequence of statistics, of which one term at a time can be replaced.

    The terms are added in a fixed binary tree over their positions, so that the total has the same
    bits whoever computed the terms, and in whichever order they arrived. Replacing a term re-adds
    the path above it: log2(n) additions and, unlike ``total - old + new``, nothing that could
    drift or leave a residue in the count of an emptied component.

    Parameters
    ----------
    terms : sequence of Stats
        At least one.
    """

    __slots__ = ("_levels",)

    def __init__(self, terms: Sequence[Stats]) -> None:
        if not terms:
            raise ValueError("a sum of statistics needs at least one term")
        self._levels = [list(terms)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append([_pair_sum(below, i) for i in range((len(below) + 1) // 2)])

    @property
    def total(self) -> Stats:
        """The sum. Not a copy: do not change it in place."""
        return self._levels[-1][0]

    def replace(self, position: int, term: Stats) -> None:
        """Put `term` in the place of the term at `position`."""
        self._levels[0][position] = term
        for below, level in pairwise(self._levels):
            position //= 2
            level[position] = _pair_sum(below, position)


def _pair_sum(below: list[Stats], position: int) -> Stats:
    left, *right = below[2 * position : 2 * position + 2]
    return left + right[0] if right else left


def fold(terms: Iterable[_Term]) -> _Term:
    """Add up terms as they come: the total of a `SumTree` of them, bit for bit.

    Holds log2(n) sums at a time, so the terms may be as many as a stream has blocks.

    Raises
    ------
    ValueError
        If there are none.
    """
    waiting: list[tuple[int, _Term]] = []  # nodes of the tree without their right siblings yet
    for term in terms:
        level, node = 0, term
        while waiting and waiting[-1][0] == level:
            node = waiting.pop()[1] + node  # type: ignore[operator]
            level += 1
        waiting.append((level, node))
    if not waiting:
        raise ValueError("a sum of statistics needs at least one term")
    total = waiting.pop()[1]
    while waiting:  # what has no sibling moves up as it is
        total = waiting.pop()[1] + total  # type: ignore[operator]
    return total
