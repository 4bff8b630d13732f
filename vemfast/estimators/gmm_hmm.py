"""GMMHMM: hidden Markov models whose states are mixtures of Gaussians."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from vemfast.estimators.gaussian_hmm import GaussianHMM
from vemfast.models.hmm_config import HmmConfig, Start
from vemfast.models.hmm_setup import check_rows

__all__ = ["GMMHMM"]

Array = NDArray[np.float64]


class GMMHMM(GaussianHMM):
    """Hidden Markov model whose states are mixtures of Gaussians, by EM or hard EM.

    What is not said here is as in `GaussianHMM`. Names follow hmmlearn's GMMHMM where it has them.

    Parameters
    ----------
    n_components : int, default=1
        States.
    n_mix : int, default=1
        Components of each state.
    covariance_type : {"full", "diag", "spherical"}, default="diag"
        Of each component. (hmmlearn's "tied" shares one within a state; that is not offered.)
    inference : {"em", "hard-em"}, default="em"
        Hard EM takes the best path, and of each step the best component.
    schedule, algorithm, tol, n_iter, n_init
        As in `GaussianHMM`.
    init_params : {"kmeans", "k-means++", "random_from_data"} or str, default="kmeans"
        Groups of the steps, and groups within them. Letters as in `GaussianHMM`, and "w" for
        `weights_`.
    params : str, default=None
        Letters of the parameters that a fit changes, which must have "w" where `n_mix` is above 1.
        None: all.
    startprob_init, transmat_init
        As in `GaussianHMM`.
    weights_init : array-like of shape (n_components, n_mix), default=None
        None: equal.
    means_init : array-like of shape (n_components, n_mix, n_features), default=None
    precisions_init : array-like, default=None
        Inverse covariances, in the shape of `covars_`.
    startprob_prior, transmat_prior, sticky, startprob_support, transmat_support, \
startprob_frozen, transmat_frozen
        As in `GaussianHMM`.
    weights_prior : float or array-like of shape (n_components, n_mix), default=None
        Concentration of the Dirichlet prior of the weights. None: flat.
    reg_covar, means_prior, means_weight, covars_prior, covars_weight, missing, batch_size, \
n_batches, learning_decay, learning_offset, total_samples, random_state, n_jobs, callbacks, \
verbose, on_interrupt
        As in `GaussianHMM`; the priors are those of each component.

    Attributes
    ----------
    startprob_ : ndarray of shape (n_components,)
    transmat_ : ndarray of shape (n_components, n_components)
    weights_ : ndarray of shape (n_components, n_mix)
    means_ : ndarray of shape (n_components, n_mix, n_features)
    covars_ : ndarray
        (K, M, D, D) full, (K, M, D) diag, (K, M) spherical.
    lower_bound_, lower_bounds_, n_iter_, converged_, stop_reason_
        As in `GaussianHMM`.

    Examples
    --------
    >>> import numpy as np
    >>> from vemfast import GMMHMM
    >>> rng = np.random.default_rng(0)
    >>> centre = np.repeat([0.0, 9.0, 0.0], 60) + 2.0 * rng.integers(0, 2, 180)
    >>> X = centre[:, None] + 0.3 * rng.normal(size=(180, 1))
    >>> model = GMMHMM(2, n_mix=2, random_state=0).fit(X)
    >>> np.sort(model.means_.ravel()).round().tolist()
    [0.0, 2.0, 9.0, 11.0]
    """

    _emission_letters: ClassVar[dict[str, tuple[str, str]]] = {
        **GaussianHMM._emission_letters,
        "w": ("weights", ""),
    }
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{
            name: value
            for name, value in GaussianHMM._parameter_constraints.items()
            if name not in ("n_burn", "n_draws", "thin", "n_chains")
        },
        "inference": [StrOptions({"em", "hard-em"})],
        "covariance_type": [StrOptions({"full", "diag", "spherical"})],
        "n_mix": [Interval(Integral, 1, None, closed="left")],
        "weights_init": ["array-like", None],
        "weights_prior": ["array-like", Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        n_components: int = 1,
        n_mix: int = 1,
        covariance_type: str = "diag",
        *,
        inference: str = "em",
        schedule: str = "batch",
        algorithm: str = "viterbi",
        tol: float = 1e-3,
        n_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        params: str | None = None,
        startprob_init: ArrayLike | None = None,
        transmat_init: ArrayLike | None = None,
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        startprob_prior: ArrayLike | None = None,
        transmat_prior: ArrayLike | None = None,
        weights_prior: ArrayLike | None = None,
        sticky: float = 0.0,
        startprob_support: ArrayLike | None = None,
        transmat_support: ArrayLike | None = None,
        startprob_frozen: ArrayLike | None = None,
        transmat_frozen: ArrayLike | None = None,
        reg_covar: float = 1e-6,
        means_prior: ArrayLike | None = None,
        means_weight: float | None = None,
        covars_prior: ArrayLike | None = None,
        covars_weight: float | None = None,
        missing: str = "error",
        batch_size: int | None = None,
        n_batches: int = 10,
        learning_decay: float = 0.7,
        learning_offset: float = 10.0,
        total_samples: float | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        callbacks: Any = None,
        verbose: int = 0,
        on_interrupt: str = "raise",
    ) -> None:
        self.n_components = n_components
        self.n_mix = n_mix
        self.covariance_type = covariance_type
        self.inference = inference
        self.schedule = schedule
        self.algorithm = algorithm
        self.tol = tol
        self.n_iter = n_iter
        self.n_init = n_init
        self.init_params = init_params
        self.params = params
        self.startprob_init = startprob_init
        self.transmat_init = transmat_init
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.weights_prior = weights_prior
        self.sticky = sticky
        self.startprob_support = startprob_support
        self.transmat_support = transmat_support
        self.startprob_frozen = startprob_frozen
        self.transmat_frozen = transmat_frozen
        self.reg_covar = reg_covar
        self.means_prior = means_prior
        self.means_weight = means_weight
        self.covars_prior = covars_prior
        self.covars_weight = covars_weight
        self.missing = missing
        self.batch_size = batch_size
        self.n_batches = n_batches
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.total_samples = total_samples
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.verbose = verbose
        self.on_interrupt = on_interrupt

    def _components_a_state(self) -> int:
        return int(self.n_mix)

    def _check_letters(self) -> None:
        super()._check_letters()
        if self.params is not None and self.n_mix > 1 and "w" not in self.params:
            raise ValueError(f"params={self.params!r} lacks 'w': weights cannot be held")

    def _flat(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        array = np.array(value, dtype=np.float64)
        if array.shape[:2] != (self.n_components, self.n_mix):
            raise ValueError(
                f"the shape of {name} must begin with ({self.n_components}, {self.n_mix}), states "
                f"and components of each; got {array.shape}"
            )
        return array.reshape(-1, *array.shape[2:])

    def _start(self, config: HmmConfig) -> Start:
        shape = (int(self.n_components), int(self.n_mix))
        weights = check_rows("weights_init", self._given("w"), shape)
        start = super()._start(config)
        if self.n_mix == 1:
            return start
        return Start(start.emission, start.startprob, start.transmat, weights)

    def _emission_attributes(self, shown: dict[str, Any]) -> dict[str, Any]:
        shape = (int(self.n_components), int(self.n_mix))
        out = {"weights_": np.ones(shape), **shown}
        for name in ("means_", "covars_"):
            out[name] = out[name].reshape(*shape, *out[name].shape[1:])
        return out

    def _fitted_emissions(self) -> tuple[str, dict[str, Any]]:
        return self.covariance_type, {
            "origin": self.origin_,
            "means": self._flat("means_", self.means_),
            "covars": self._flat("covars_", self.covars_),
            "weights": self.weights_ if self.n_mix > 1 else None,
        }

    def _draw_rows(self, states: NDArray[np.int64], rng: np.random.Generator) -> Array:
        cumulative = np.cumsum(self.weights_, axis=1)[states]
        u = rng.random(states.size) * cumulative[:, -1]
        components = (cumulative <= u[:, None]).sum(axis=1)
        return self._draw_components(states * int(self.n_mix) + components, rng)

    def _expected(self) -> Array:
        return np.asarray(np.einsum("km,kmd->kd", self.weights_, self.means_))
