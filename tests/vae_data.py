"""Rows and small autoencoders that the tests of the VAE share."""

import warnings

import numpy as np

from vemfast import DegenerateWarning, VariationalAutoencoder

_rng = np.random.default_rng(23)
_CODES = _rng.normal(size=(150, 2))
# Six columns that two codes explain, as grey values, numbers and counts.
_SUMS = _CODES @ _rng.normal(size=(2, 6)) * 1.5
ROWS = {
    "bernoulli": 1.0 / (1.0 + np.exp(-6.0 * _SUMS)),
    "gaussian": _SUMS + 0.3 * _rng.normal(size=_SUMS.shape),
    "poisson": _rng.poisson(np.exp(0.7 * _SUMS)).astype(np.float64),
}
LIKELIHOODS = tuple(ROWS)


def autoencoder(likelihood="bernoulli", **options):
    settings = {"hidden_layer_sizes": (16,), "max_iter": 4, "batch_size": 40, "random_state": 3}
    return VariationalAutoencoder(2, likelihood=likelihood, **{**settings, **options})


def fitted(likelihood="bernoulli", rows=None, sample_weight=None, **options):
    """Fit without the warning of dimensions that a short fit leaves unused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateWarning)
        rows = ROWS[likelihood] if rows is None else rows
        return autoencoder(likelihood, **options).fit(rows, sample_weight=sample_weight)


def weights(estimator):
    """Return all fitted weights as one vector."""
    parts = [
        *estimator.encoder_coefs_,
        *estimator.encoder_intercepts_,
        *estimator.decoder_coefs_,
        *estimator.decoder_intercepts_,
        getattr(estimator, "noise_variance_", np.empty(0)),
    ]
    return np.concatenate([np.ravel(part) for part in parts])
