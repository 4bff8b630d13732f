"""VariationalAutoencoder: continuous codes of rows by networks, trained by amortised EM."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from vemfast.data import RowBlock
from vemfast.estimators.autoencoding import AutoencodingEstimator, Rows, dense_rows
from vemfast.estimators.base import check_sample_weight
from vemfast.inference.engine import Control
from vemfast.inference.held_out import HeldOutControl
from vemfast.inference.methods import METHODS, lookup
from vemfast.inference.monitor import FitResult
from vemfast.inference.restarts import seeds
from vemfast.models import vae_points as points
from vemfast.models.base import Step
from vemfast.models.ppca import ProbabilisticPca
from vemfast.models.vae import VariationalAutoencoder as Model
from vemfast.models.vae_config import ACTIVATIONS, LIKELIHOODS, NetworkState, VaeConfig
from vemfast.stats import Stats

__all__ = ["VariationalAutoencoder"]

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")
_DECAY = Interval(Real, 0, 1, closed="left")

_JUDGED = 1000  # rows by which the collapse of z is judged

# Option -> default, and which fits heed it.
_SCOPES: dict[str, tuple[Any, str]] = {
    "beta": (1.0, "inference='variational-em'"),
    "kl_warmup": (0, "inference='variational-em'"),
    "prior": (True, "inference='hard-em'"),
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


@dataclass(frozen=True, eq=False)
class _Online:
    """What an estimator remembers between calls of `partial_fit`."""

    config: VaeConfig
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


class VariationalAutoencoder(AutoencodingEstimator):
    """Variational autoencoder (Kingma and Welling 2014; Rezende et al. 2014), natively.

    A row has a code z ~ N(0, I), and x given z is Bernoulli, Gaussian or Poisson, feature by
    feature, with parameters that a multi-layer perceptron makes of z. Another one, the encoder,
    gives q(z|x), a normal distribution with diagonal covariance: variational EM whose E-step is
    amortised over rows, and whose update is a step of Adam up the bound. Names follow
    scikit-learn's ``MLPClassifier``.

    Parameters
    ----------
    n_components : int, default=2
        Width of z.
    hidden_layer_sizes : int or sequence of int, default=(400,)
        Of the encoder; the decoder has the same in reverse. (): both are linear.
    activation : {"tanh", "relu", "gelu", "softplus", "identity"}, default="relu"
        Of hidden layers.
    likelihood : {"bernoulli", "gaussian", "poisson"}, default="bernoulli"
        Of a feature given z; true log densities, nats. Bernoulli also takes grey values between 0
        and 1: then log p is the relaxed cross-entropy x log p + (1 - x) log(1 - p), which is no
        normalised density. Poisson takes any number >= 0, of fractions with Γ(x + 1) for x!.
    inference : {"variational-em", "hard-em", "em"}, default="variational-em"
        "hard-em" takes the encoder's mean as the one z of a row and climbs log p(x, z); "em" is
        exact, for ``hidden_layer_sizes=()`` and ``likelihood="gaussian"``: probabilistic PCA
        (Tipping and Bishop 1999), or with ``noise="diag"`` factor analysis. "mean-field" and
        "gibbs" have no closed form here, and say so.
    noise : {"spherical", "diag"}, default="spherical"
        Gaussian: one learned variance, or one a feature.
    variance_floor : float, default=1e-6
        Gaussian: the least variance.
    beta : float, default=1.0
        "variational-em": weight of KL(q(z|x) || p(z)) in the training objective.
    kl_warmup : float, default=0
        "variational-em": passes over which the weight rises linearly to `beta`.
    prior : bool, default=True
        "hard-em": whether log p(z) is in the objective. False: a plain autoencoder.
    learning_rate_init : float, default=1e-3
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        Of Adam (Kingma and Ba 2015).
    batch_size : int, default=128
    max_iter : int, default=100
        Passes over the rows.
    early_stopping : bool, default=False
        Hold out rows, end when their bound does not rise any more, and keep the weights at which
        it was highest. Not judged before the KL warm-up ends.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=10
        Passes without a rise of more than `tol` that end the fit.
    tol : float, default=1e-4
        Nats a row. Also "em" converges when an iteration gains less.
    missing : {"error", "marginalize"}, default="error"
        What NaN is. "marginalize": the likelihood leaves it out, and the encoder sees 0.
    random_state : int, RandomState, Generator or None, default=None
        Of the first weights, batches and noise; the same seed gives the same bits for any `n_jobs`.
    warm_start : bool, default=False
        Start from the last fit's weights.
    n_jobs : int, default=None
        Threads. None: what OpenMP may use and the machine has.
    callbacks : callable or sequence of callable, default=None
        Called after each pass with the keywords `iteration`, `objective` (nats) and `elapsed`
        (seconds); a true result stops the fit.
    verbose : int, default=0
        1: a progress bar.
    on_interrupt : {"raise", "return"}, default="raise"
        Ctrl-C leaves the last full pass in the attributes, and then raises or returns.

    Attributes
    ----------
    encoder_coefs_, decoder_coefs_ : list of ndarray of shape (inputs, outputs)
        Weights of each layer. The encoder's last outputs are means and log variances of q(z|x),
        side by side.
    encoder_intercepts_, decoder_intercepts_ : list of ndarray of shape (outputs,)
    noise_variance_ : ndarray of shape (1,) or (n_features,)
        Gaussian only.
    loss_curve_ : list of float
        Mean loss (minus the objective) of each pass, nats a row; each batch at the weights of its
        time.
    validation_scores_ : list of float
        Early stopping: the held-out bound of the start and of each pass, nats a row.
    lower_bound_ : float
        The objective, nats: as estimated in the last pass; under "em" log p(X).
    lower_bounds_ : list of float
        Its trace, the start first.
    n_iter_ : int
    converged_ : bool
    stop_reason_ : {"tolerance", "max_iter", "callback", "interrupted", "numerical", "partial_fit"}
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Weights, activations and gradients are single precision, bounds are summed in double. Scale
    Gaussian data to about unit variance first: the learning rate does not know their units. Under
    Poisson the encoder is given log(1 + x).

    Examples
    --------
    >>> import numpy as np
    >>> from vemfast import VariationalAutoencoder
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(rng.random((100, 2)) < 0.5, 8, axis=1)
    >>> vae = VariationalAutoencoder(2, hidden_layer_sizes=16, max_iter=5, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (100, 2)
    """

    n_init = 1  # a fit is one start

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [_COUNT],
        "hidden_layer_sizes": [_COUNT, "array-like"],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "likelihood": [StrOptions(set(LIKELIHOODS))],
        "inference": [StrOptions(set(METHODS))],
        "noise": [StrOptions({"spherical", "diag"})],
        "variance_floor": [_POSITIVE],
        "beta": [_NOT_NEGATIVE],
        "kl_warmup": [_NOT_NEGATIVE],
        "prior": ["boolean"],
        "learning_rate_init": [_POSITIVE],
        "beta_1": [_DECAY],
        "beta_2": [_DECAY],
        "epsilon": [_POSITIVE],
        "batch_size": [_COUNT],
        "max_iter": [_COUNT],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [_COUNT],
        "tol": [_NOT_NEGATIVE],
        "missing": [StrOptions({"error", "marginalize"})],
        "random_state": ["random_state", np.random.Generator],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "callbacks": [callable, "array-like", None],
        "verbose": ["verbose"],
        "on_interrupt": [StrOptions({"raise", "return"})],
    }

    def __init__(
        self,
        n_components: int = 2,
        *,
        hidden_layer_sizes: Any = (400,),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        inference: str = "variational-em",
        noise: str = "spherical",
        variance_floor: float = 1e-6,
        beta: float = 1.0,
        kl_warmup: float = 0,
        prior: bool = True,
        learning_rate_init: float = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        batch_size: int = 128,
        max_iter: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        missing: str = "error",
        random_state: Any = None,
        warm_start: bool = False,
        n_jobs: int | None = None,
        callbacks: Any = None,
        verbose: int = 0,
        on_interrupt: str = "raise",
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.likelihood = likelihood
        self.inference = inference
        self.noise = noise
        self.variance_floor = variance_floor
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.prior = prior
        self.learning_rate_init = learning_rate_init
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.missing = missing
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.verbose = verbose
        self.on_interrupt = on_interrupt

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
        return {
            "inference='variational-em'": self.inference == "variational-em",
            "inference='hard-em'": self.inference == "hard-em",
            "inference='variational-em' or 'hard-em'": self.inference != "em",
            "likelihood='gaussian'": self.likelihood == "gaussian",
            "early_stopping=True": bool(self.early_stopping),
            "early_stopping=True or inference='em'": self.early_stopping or self.inference == "em",
        }[scope]

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

        def start(step: Step) -> Any:
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
        seed = seeds(self.random_state if isinstance(self.random_state, Integral) else 0, 2)[1]
        order = np.random.default_rng(seed).permutation(block.n)
        return block.take(np.sort(order[n:])), block.take(np.sort(order[:n]))

    def _warm(self, config: VaeConfig) -> NetworkState | None:
        """Return the last fit's weights, where `warm_start` asks for them."""
        if not self.warm_start or not hasattr(self, "encoder_coefs_"):
            return None
        shapes = [np.shape(W) for W in (*self.encoder_coefs_, *self.decoder_coefs_)]
        wanted = [shape for shape in config.layout.shapes if len(shape) == 2]
        variances = np.size(getattr(self, "noise_variance_", ()))
        if shapes != wanted or variances != config.n_variances:
            raise ValueError(
                f"warm_start: the last fit has layers {shapes}, but the parameters and X say "
                f"{wanted}, or its noise is of another kind; set warm_start=False"
            )
        return points.state_of(config, vars(self))

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
        calls.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : None
            Ignored; for scikit-learn's interface.
        sample_weight : array-like of shape (n_samples,), default=None

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
            block, columns = self._weighted_like(known, X, sample_weight)
            config = self._same(known.config)
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
        online = _Online(config, state, step, seen + block.n, columns, trace)
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

    def _same(self, known: VaeConfig) -> VaeConfig:
        """Return the present configuration, which may differ in the size of steps alone."""
        config = self._config(known.n_features)
        for field in fields(VaeConfig):
            before, now = getattr(known, field.name), getattr(config, field.name)
            if (
                field.compare
                and field.name not in ("learning_rate", "batch_size")
                and before != now
            ):
                raise ValueError(
                    f"{field.name} is {now!r}, but was {before!r} when partial_fit began; set it "
                    "back, or begin anew with a clone"
                )
        return config


def _losses(result: FitResult, weight: float) -> list[float]:
    return [-bound / weight for bound in result.lower_bounds[1:]]


def _batches(block: Rows, batch_size: int) -> list[Rows]:
    """Return the rows as two blocks, the second a batch by which the start is judged."""
    first = block.n - min(batch_size, block.n)
    return [block.slice(*ends) for ends in ((0, first), (first, block.n)) if ends[1] > ends[0]]
