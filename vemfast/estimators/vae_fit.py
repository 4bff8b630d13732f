"""How the autoencoder is trained: batches, early stopping, `partial_fit`, and exact linear EM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if

from vemfast.data import RowBlock
from vemfast.estimators.autoencoding import AutoencodingEstimator, Rows, dense_rows
from vemfast.estimators.base import check_sample_weight
from vemfast.inference.engine import Control
from vemfast.inference.held_out import HeldOutControl
from vemfast.inference.methods import lookup
from vemfast.inference.monitor import FitResult
from vemfast.inference.restarts import seeds
from vemfast.models import vae_points as points
from vemfast.models.base import Step
from vemfast.models.ppca import ProbabilisticPca
from vemfast.models.vae import VariationalAutoencoder as Model
from vemfast.models.vae_config import NetworkState, VaeConfig
from vemfast.stats import Stats

__all__ = ["TrainedAutoencoder"]

_JUDGED = 1000  # rows by which the collapse of z is judged

# Option -> default, and which fits heed it.
_SCOPES: dict[str, tuple[Any, str]] = {
    "beta": (1.0, "inference='variational-em'"),
    "kl_warmup": (0, "inference='variational-em'"),
    "prior": (True, "inference='hard-em'"),
    "activation": ("relu", "hidden_layer_sizes of one layer or more"),
    "noise": ("spherical", "likelihood='gaussian'"),
    "variance_floor": (1e-6, "likelihood='gaussian'"),
    "learning_rate_init": (1e-3, "inference='variational-em' or 'hard-em'"),
    "beta_1": (0.9, "inference='variational-em' or 'hard-em'"),
    "beta_2": (0.999, "inference='variational-em' or 'hard-em'"),
    "epsilon": (1e-8, "inference='variational-em' or 'hard-em'"),
    "batch_size": (128, "inference='variational-em' or 'hard-em'"),
    "early_stopping": (False, "inference='variational-em' or 'hard-em'"),
    "validation_fraction": (0.1, "early_stopping=True"),
    "n_iter_no_change": (10, "early_stopping=True"),
    "tol": (1e-4, "early_stopping=True or inference='em'"),
    "missing": ("error", "inference='variational-em' or 'hard-em'"),
}


# What `partial_fit` must find as it was in its first call.
_SETTLED = (
    "n_components",
    "hidden_layer_sizes",
    "activation",
    "likelihood",
    "inference",
    "noise",
    "variance_floor",
    "beta",
    "kl_warmup",
    "prior",
    "beta_1",
    "beta_2",
    "epsilon",
    "missing",
)


@dataclass(frozen=True, eq=False)
class _Online:
    """What an estimator remembers between calls of `partial_fit`."""

    config: VaeConfig
    settings: dict[str, Any]
    state: NetworkState
    step: Step
    seen: int
    columns: dict[str, Any]
    trace: list[float]


def _trains(estimator: Any) -> bool:
    """Whether `partial_fit` makes sense: on the rungs that train batch by batch."""
    if estimator.inference == "em":
        raise AttributeError("inference='em' needs all rows; use fit, or 'variational-em'")
    return True


class TrainedAutoencoder(AutoencodingEstimator):
    """An autoencoder that learns."""

    # ---- parameters ----------------------------------------------------------------------------

    def _hidden(self) -> tuple[int, ...]:
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes))
        if sizes.size and (
            sizes.ndim != 1 or sizes.dtype.kind not in "iuf" or (sizes != np.floor(sizes)).any()
        ):
            raise ValueError(
                "hidden_layer_sizes must be whole numbers, one a layer; got "
                f"{self.hidden_layer_sizes!r}"
            )
        return tuple(int(size) for size in sizes)

    def _config(self, n_features: int) -> VaeConfig:
        return VaeConfig(
            n_features,
            int(self.n_components),
            self._hidden(),
            self.activation,
            self.likelihood,
            self.noise,
            float(self.variance_floor),
            float(self.beta),
            float(self.kl_warmup),
            float(self.learning_rate_init),
            float(self.beta_1),
            float(self.beta_2),
            float(self.epsilon),
            int(self.batch_size),
            amortised=self.inference != "hard-em",
            prior=bool(self.prior),
        )

    def _heeded(self, scope: str) -> bool:
        heeded: dict[str, bool] = {
            "inference='variational-em'": self.inference == "variational-em",
            "inference='hard-em'": self.inference == "hard-em",
            "inference='variational-em' or 'hard-em'": self.inference != "em",
            "hidden_layer_sizes of one layer or more": bool(self._hidden()),
            "likelihood='gaussian'": self.likelihood == "gaussian",
            "early_stopping=True": bool(self.early_stopping),
            "early_stopping=True or inference='em'": self.early_stopping or self.inference == "em",
        }
        return heeded[scope]

    def _without_effect(self) -> dict[str, Any]:
        """Return the default of every option that does nothing in such a fit."""
        return {
            name: default for name, (default, scope) in _SCOPES.items() if not self._heeded(scope)
        }

    def _rung(self) -> tuple[str, str]:
        """Return the local rule and the parameter rule; refuse options without effect."""
        if self.inference == "em" and not self._hidden() and self.likelihood == "gaussian":
            rules = lookup(ProbabilisticPca, "em")
        else:
            rules = lookup(Model, self.inference, "minibatch")
        for name, default in self._without_effect().items():
            if getattr(self, name) != default:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} has no effect with "
                    f"inference={self.inference!r}, likelihood={self.likelihood!r}, "
                    f"hidden_layer_sizes={self.hidden_layer_sizes!r}, "
                    f"early_stopping={self.early_stopping!r}; it is for {_SCOPES[name][1]}"
                )
        return rules

    # ---- fitting -------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Train both networks.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Used in place where it is float32, float64, or uint8 below 255.
        y : None
            Ignored; for scikit-learn's interface.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight zero is as if it were not there.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If data or parameters are bad; an earlier fit stays as it was.
        NumericalError
            If three updates in a row are not finite; the last full pass is kept.

        Warns
        -----
        DegenerateWarning
            If q(z|x) has collapsed to the prior in some dimensions of z.
        """
        with self._only_fit():
            self._fit(X, sample_weight)
        return self

    def _fit(self, X: Any, sample_weight: ArrayLike | None) -> None:
        self._check_params()
        rules = self._rung()
        block, columns = self._weighted(X, sample_weight)
        step = Step(*rules, 0, 0, self._threads())
        if self.inference == "em":
            self._fit_linear(block, columns, step)
            return
        config = self._config(block.n_features)
        warm = self._warm(config)
        held: Rows | None = None
        if self.early_stopping:
            block, held = self._split(block)
        model = Model(config, block.slice(0, _JUDGED))
        scores: list[float] = []

        def score(params: NetworkState) -> float:
            assert held is not None
            scores.append(points.held_out_bound(model, params, held, 0, step.n_jobs))
            return scores[-1]

        def start(step: Step) -> NetworkState:
            return model.init(blocks, step) if warm is None else warm

        def keep(result: FitResult, results: list[FitResult]) -> None:
            extra: dict[str, Any] = {}
            if held is not None:
                extra["validation_scores_"] = scores[: result.n_iter + 1]
            self._keep(result, config, {**columns, **extra}, weight)

        blocks = _batches(block, config.batch_size)
        weight = sum(part.total_weight for part in blocks)
        control = self._control_of("minibatch", max_iter=self.max_iter)
        if held is not None:
            control = HeldOutControl(
                **{name: getattr(control, name) for name in Control.__slots__},
                score=score,
                least_gain=float(self.tol),
                patience=int(self.n_iter_no_change),
                wait=float(self.kl_warmup),
            )
        self._run(model, blocks, step, control, config.layout.size, start, keep)

    def _fit_linear(self, block: Rows, columns: dict[str, Any], step: Step) -> None:
        """Fit probabilistic PCA or factor analysis."""
        rows = RowBlock(np.asarray(dense_rows(block), dtype=np.float64), block.weights)
        weights = np.ones(rows.n) if rows.weights is None else rows.weights
        origin = weights @ rows.X / weights.sum()
        model = ProbabilisticPca(
            rows.n_features, int(self.n_components), self.noise, float(self.variance_floor), origin
        )

        warm = self._may_go_on(self._config(rows.n_features))

        def start(step: Step) -> Any:
            if warm:
                return model.params(
                    self.decoder_coefs_[0].T,
                    self.decoder_intercepts_[0] - origin,
                    self.noise_variance_,
                )
            if self.noise == "spherical" and self.n_components < rows.n_features:
                return model.maximum([rows])
            return model.init([rows], step)

        def keep(result: FitResult, results: list[FitResult]) -> None:
            attributes = points.from_linear(result.params, origin)
            attributes["loss_curve_"] = _losses(result, rows.total_weight)
            self._keep_fit(result, {**columns, **attributes})

        control = self._control_of("batch", max_iter=self.max_iter, tol=float(self.tol))
        self._run(model, [rows], step, control, rows.X.size, start, keep)

    def _weighted(self, X: Any, sample_weight: Any) -> tuple[Rows, dict[str, Any]]:
        """Return the rows that have weight, and the attributes that describe their columns."""
        block, columns = self._block_to_fit(X)
        weights = check_sample_weight(sample_weight, block.n, np.float32)
        if weights is None:
            return block, columns
        if not weights.all():
            kept = np.flatnonzero(weights)
            block, weights = block.take(kept), weights[kept]
        return block.with_weights(weights), columns

    def _split(self, block: Rows) -> tuple[Rows, Rows]:
        """Return rows to train with, and rows to stop by."""
        n = int(np.ceil(self.validation_fraction * block.n))
        if n >= block.n:
            raise ValueError(
                f"validation_fraction={self.validation_fraction!r} of {block.n} row(s) leaves none "
                "to train with; give more rows, or early_stopping=False"
            )
        order = np.random.default_rng(seeds(self.random_state, 2)[1]).permutation(block.n)
        return block.take(np.sort(order[n:])), block.take(np.sort(order[:n]))

    def _may_go_on(self, config: VaeConfig) -> bool:
        """Whether to start from the last fit's weights; raise a ValueError if they do not fit."""
        if not self.warm_start or not hasattr(self, "encoder_coefs_"):
            return False
        shapes = [np.shape(W) for W in (*self.encoder_coefs_, *self.decoder_coefs_)]
        wanted = [shape for shape in config.layout.shapes if len(shape) == 2]
        variances = np.size(getattr(self, "noise_variance_", ()))
        if shapes != wanted or variances != config.n_variances:
            raise ValueError(
                f"warm_start: the last fit has layers {shapes}, but the parameters and X say "
                f"{wanted}, or its noise is of another kind; set warm_start=False"
            )
        return True

    def _warm(self, config: VaeConfig) -> NetworkState | None:
        """Return the last fit's weights, where `warm_start` asks for them."""
        return points.state_of(config, vars(self)) if self._may_go_on(config) else None

    def _keep(
        self, result: FitResult, config: VaeConfig, columns: dict[str, Any], weight: float
    ) -> None:
        attributes = points.weights_of(config, result.params)
        attributes["loss_curve_"] = _losses(result, weight)
        self._keep_fit(result, {**columns, **attributes})

    @available_if(_trains)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Train with one pass over some more rows, in batches.

        The first call begins anew, also after a `fit`, whose weights it starts from with
        ``warm_start=True``; the first weights are of its rows, so let it have a fair sample. Later
        calls go on with the state of Adam. A `fit` forgets all earlier calls. The KL warm-up counts
        calls. `max_iter`, `callbacks`, `verbose` and `on_interrupt` are of `fit` and play no part
        here; from one call to the next only the learning rate, the batch size and `n_jobs` may
        change.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : None
            Ignored; for scikit-learn's interface.
        sample_weight : array-like of shape (n_samples,), default=None
            In the first call, as in `fit`, rows of weight zero are as if they were not there. Later
            ones keep their place in the batches, but teach nothing.

        Returns
        -------
        self
            With the attributes of a fit; `lower_bounds_` has one value a call, of its rows.

        Raises
        ------
        ValueError
            If the chunk or a parameter is bad, or does not go with earlier calls. Nothing changes.
        NumericalError
            If the arithmetic breaks down on these rows. Nothing changes.
        """
        with self._only_fit():
            self._partial_fit(X, sample_weight)
        return self

    def _partial_fit(self, X: Any, sample_weight: ArrayLike | None) -> None:
        self._check_params()
        rules = self._rung()
        if self.early_stopping:
            raise ValueError("early_stopping=True has no effect on partial_fit; hold rows out")
        known: _Online | None = vars(self).get("_online")
        if known is None:
            block, columns = self._weighted(X, sample_weight)
            config = self._config(block.n_features)
            step = Step(*rules, seeds(self.random_state, 1)[0], 1, self._threads())
            state, seen, trace = self._warm(config), 0, []
        else:
            self._check_settled(known)
            block, columns = self._weighted_like(known, X, sample_weight)
            config = self._config(known.config.n_features)
            step = replace(known.step.next, n_jobs=self._threads())
            state, seen, trace = known.state, known.seen, known.trace
        model = Model(config)
        rows = block.slice(0, block.n)
        rows.offset = seen
        if state is None:
            state = model.init([rows], replace(step, iteration=0))
        state, stats = model.sweep(state, Stats(model.layout), [rows], step, iter(()))
        trace = [*trace, stats.local_bound]
        result = FitResult(state, stats, stats.local_bound, trace, len(trace), False, "partial_fit")
        settings = self._settled() if known is None else known.settings
        online = _Online(config, settings, state, step, seen + block.n, columns, trace)
        attributes = points.weights_of(config, state)
        loss = [-stats.local_bound / block.total_weight]
        earlier = [] if known is None else self.loss_curve_
        self._keep_fit(
            result,
            {**columns, **attributes, "loss_curve_": [*earlier, *loss], "_online": online},
        )

    def _weighted_like(
        self, known: _Online, X: Any, sample_weight: Any
    ) -> tuple[Rows, dict[str, Any]]:
        block = self._block(X)
        weights = check_sample_weight(sample_weight, block.n, np.float32)
        return (block if weights is None else block.with_weights(weights)), known.columns

    def _settled(self) -> dict[str, Any]:
        """Return what may not change between calls of `partial_fit`."""
        settled = {name: getattr(self, name) for name in _SETTLED}
        return {**settled, "hidden_layer_sizes": self._hidden()}

    def _check_settled(self, known: _Online) -> None:
        for name, now in self._settled().items():
            if now != known.settings[name]:
                raise ValueError(
                    f"{name} is {now!r}, but was {known.settings[name]!r} when partial_fit began; "
                    "set it back, or begin anew with a clone"
                )


def _losses(result: FitResult, weight: float) -> list[float]:
    return [-bound / weight for bound in result.lower_bounds[1:]]


def _batches(block: Rows, batch_size: int) -> list[Rows]:
    """Return the rows as two blocks, the second a batch by which the start is judged."""
    first = block.n - min(batch_size, block.n)
    return [block.slice(*ends) for ends in ((0, first), (first, block.n)) if ends[1] > ends[0]]
