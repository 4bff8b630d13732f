"""What models of the extension over flat buffers share: tables, updates and terms of the bound."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from vemfast.models.base import Model, Step
from vemfast.models.clamping import held
from vemfast.stats import Params, Stats

__all__ = ["NativeModel", "Table"]

Table = TypeVar("Table")


class NativeModel(Model, Generic[Table]):
    """Base of the models whose every update happens in the extension.

    Parameters
    ----------
    config : GaussianConfig, DiscreteConfig or HmmConfig
        Says the layouts.
    start : Start
        Of the same module.
    native : object
        The model of the extension.
    """

    threads_within = True

    def __init__(self, config: Any, start: Any, native: Any) -> None:
        self.config = config
        self.start = start
        self.layout = config.stats_layout()
        self._layouts = {kind: config.params_layout(kind) for kind in ("point", "posterior")}
        self._native = native

    def _frozen_fields(self) -> tuple[str, ...]:
        """Return the fields of a point that an update keeps."""
        fields: tuple[str, ...] = self.config.freeze
        return fields

    def prepare(self, params: Params) -> Table:
        """Return the score table of a point, or the expected one of a posterior."""
        table: Table = self._native.prepare(params.kind, params.buffer)
        return table

    def update(self, params: Params | None, stats: Stats, step: Step) -> Params:
        """Return the mode, posterior or draw given the statistics."""
        rule = step.parameter_rule
        kind = "posterior" if rule == "posterior" else "point"
        buffer = self._native.update(
            rule,
            "point" if params is None else params.kind,
            None if params is None else params.buffer,
            stats.buffer,
            step.seed,
            step.iteration,
        )
        updated = Params(self._layouts[kind], kind, buffer)
        return updated if params is None else held(updated, params, self._frozen_fields())

    def global_term(self, params: Params) -> float:
        """Return the log prior of a point or -KL(q || prior) of a posterior, nats."""
        return float(self._native.global_term(params.kind, params.buffer))

    def expected_log_joint(self, params: Params, stats: Stats) -> float:
        """Return the inner product of statistics and natural parameters, nats."""
        return float(self._native.expected_log_joint(params.kind, params.buffer, stats.buffer))
