"""Shape, likelihood and training of a variational autoencoder, and the layout of its weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.stats import Layout

__all__ = [
    "ACTIVATIONS",
    "LARGEST_LOG_VARIANCE",
    "LEAST_LOG_VARIANCE",
    "LIKELIHOODS",
    "NetworkState",
    "VaeConfig",
]

ACTIVATIONS = ("tanh", "relu", "gelu", "softplus", "identity")
LIKELIHOODS = ("bernoulli", "gaussian", "poisson")

# Of q(z | x), in the forward pass and in the gradient of KL: exp stays finite on both sides.
LEAST_LOG_VARIANCE, LARGEST_LOG_VARIANCE = -30.0, 20.0


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """A variational autoencoder of multi-layer perceptrons, trained by Adam (Kingma, Ba 2015).

    Attributes
    ----------
    n_features, n_components : int
        Widths of x and z.
    hidden : tuple of int
        Widths of the encoder's hidden layers; the decoder has the same, in reverse.
    activation : {"tanh", "relu", "gelu", "softplus", "identity"}
        Of the hidden layers. "gelu" is x Φ(x).
    likelihood : {"bernoulli", "gaussian", "poisson"}
    noise : {"spherical", "diag"}
        Of the Gaussian likelihood: one variance, or one a feature.
    variance_floor : float
        Least variance of the Gaussian likelihood.
    beta : float
        Weight of KL(q(z|x) || p(z)) in the objective.
    kl_warmup : float
        Passes over which the weight rises linearly to `beta`; 0: none.
    learning_rate, decay1, decay2, epsilon : float
        Of Adam.
    batch_size : int
    amortised : bool
        True: z is drawn from q(z|x). False, hard EM: z is q's mean, and the objective has
        log p(z) in the place of -KL.
    prior : bool
        Of hard EM; False leaves log p(z) out: a plain autoencoder.
    dtype : {numpy.float32, numpy.float64}
        Of weights, activations and gradients. Bounds are summed in float64.
    """

    n_features: int
    n_components: int
    hidden: tuple[int, ...] = (400,)
    activation: str = "relu"
    likelihood: str = "bernoulli"
    noise: str = "spherical"
    variance_floor: float = 1e-6
    beta: float = 1.0
    kl_warmup: float = 0.0
    learning_rate: float = 1e-3
    decay1: float = 0.9
    decay2: float = 0.999
    epsilon: float = 1e-8
    batch_size: int = 128
    amortised: bool = True
    prior: bool = True
    dtype: Any = np.float32
    _layout: Layout = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, least in (("n_features", 1), ("n_components", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}; got {getattr(self, name)!r}")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden layers must have at least one unit; got {self.hidden}")
        for name, known in (
            ("activation", ACTIVATIONS),
            ("likelihood", LIKELIHOODS),
            ("noise", ("spherical", "diag")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}"
                )
        for name in ("variance_floor", "learning_rate", "epsilon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0; got {getattr(self, name)!r}")
        for name in ("beta", "kl_warmup"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0; got {getattr(self, name)!r}")
        for name in ("decay1", "decay2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1); got {getattr(self, name)!r}")
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        object.__setattr__(self, "_layout", self._make_layout())

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """Widths from x to the means and log variances of q(z|x), which stand side by side."""
        return (self.n_features, *self.hidden, 2 * self.n_components)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Widths from z to the natural parameters of x: logits, means or log rates."""
        return (self.n_components, *reversed(self.hidden), self.n_features)

    @property
    def n_variances(self) -> int:
        """Number of variances of the likelihood."""
        if self.likelihood != "gaussian":
            return 0
        return 1 if self.noise == "spherical" else self.n_features

    @property
    def layout(self) -> Layout:
        """Of the weights: encoder_coefs_0 (in, out), encoder_intercepts_0 (out,), and so on."""
        return self._layout

    def _make_layout(self) -> Layout:
        fields: dict[str, tuple[int, ...]] = {}
        for part, widths in (("encoder", self.encoder_widths), ("decoder", self.decoder_widths)):
            for i, (before, after) in enumerate(pairwise(widths)):
                fields[f"{part}_coefs_{i}"] = (before, after)
                fields[f"{part}_intercepts_{i}"] = (after,)
        if self.n_variances:
            fields["log_variances"] = (self.n_variances,)
        return Layout(fields)

    def kl_weight(self, epoch: int) -> float:
        """Return the weight of KL in a pass; the first is 1."""
        if self.kl_warmup == 0:
            return self.beta
        return self.beta * min(epoch / self.kl_warmup, 1.0)

    def with_learning_rate(self, learning_rate: float) -> VaeConfig:
        """Return the same with another learning rate."""
        return replace(self, learning_rate=learning_rate)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkState:
    """Weights, and what Adam remembers of their gradients.

    Attributes
    ----------
    layout : Layout
    weights, first, second : ndarray of shape (layout.size,)
        Of the configuration's dtype.
    updates : int
    failures : int
        Updates left out in a row because something was not finite.
    halvings : int
        Of the learning rate, one for each update left out.
    """

    layout: Layout
    weights: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]
    updates: int = 0
    failures: int = 0
    halvings: int = 0

    @classmethod
    def at(cls, layout: Layout, weights: NDArray[Any]) -> NetworkState:
        """Return the state of weights that have had no update yet."""
        return cls(layout, weights, np.zeros_like(weights), np.zeros_like(weights))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.layout.view(self.weights, name)
