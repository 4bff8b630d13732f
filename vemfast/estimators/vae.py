"""VariationalAutoencoder: continuous codes of rows by networks, trained by amortised EM."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from vemfast.estimators.vae_fit import TrainedAutoencoder
from vemfast.inference.methods import METHODS
from vemfast.models.vae_config import ACTIVATIONS, LIKELIHOODS

__all__ = ["VariationalAutoencoder"]

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")
_DECAY = Interval(Real, 0, 1, closed="left")


class VariationalAutoencoder(TrainedAutoencoder):
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
