"""Data, configurations and comparisons that the reliability tests share."""

import os
import subprocess
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from vemfast import (
    BernoulliMixture,
    CategoricalMixture,
    DegenerateWarning,
    GaussianMixture,
    PoissonMixture,
)
from vemfast.models.discrete_mixture import DiscreteMixture
from vemfast.models.gaussian_mixture import GaussianMixture as GaussianModel

TYPES = ("full", "tied", "diag", "spherical", "tied-spherical")
POINT_RUNGS = ("em", "variational-em", "hard-em")
DETERMINISTIC = (*POINT_RUNGS, "mean-field")
RUNGS = (*DETERMINISTIC, "gibbs")
SCHEDULES = ("batch", "memoized", "minibatch")
FEW_DRAWS = {"n_burn": 3, "n_draws": 4, "n_chains": 2}
FITTED = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
METHODS = ("predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl")

_rng = np.random.default_rng(17)
# Three separated groups; the last column is wider than the others.
CENTRES = np.array([[0.0, 0.0, 0.0, 0.0], [6.0, 6.0, 0.0, 9.0], [0.0, 7.0, -6.0, -9.0]])
X = np.concatenate([_rng.normal(m, [1, 1.5, 0.7, 3], (50, 4)) for m in CENTRES])
_rng.shuffle(X)
# The same groups so near to each other that EM goes on improving for dozens of iterations.
NEAR = np.concatenate([_rng.normal(0.25 * m, [1, 1.5, 0.7, 3], (50, 4)) for m in CENTRES])


def mixture(n_components=3, inference="em", **options):
    """Return an estimator with a fixed seed; Gibbs with few draws."""
    draws = FEW_DRAWS if inference == "gibbs" else {}
    return GaussianMixture(
        n_components, inference=inference, **({"random_state": 0} | draws | options)
    )


@dataclass(frozen=True, eq=False)
class Kind:
    """One estimator, its model, and data like those above."""

    name: str
    estimator: type
    model: type
    attribute: str  # what tells its components apart, beside the weights
    X: np.ndarray
    near: np.ndarray

    def mixture(self, n_components=3, inference="em", **options):
        """Return an estimator with a fixed seed; Gibbs with few draws."""
        draws = FEW_DRAWS if inference == "gibbs" else {}
        return self.estimator(
            n_components, inference=inference, **({"random_state": 0} | draws | options)
        )

    def shown(self, estimator):
        """Return means, probabilities or rates as one array."""
        value = getattr(estimator, self.attribute)
        return np.concatenate(value, axis=1) if isinstance(value, list) else value

    def start(self) -> dict[str, Any]:
        """Return options by which a fit starts from components that differ."""
        rows = self.X[:3]
        if self.name == "gaussian":
            return {"means_init": rows * 0.5}
        rows = np.unique(self.X, axis=0)
        rows = rows[[0, len(rows) // 2, -1]]
        noise = np.random.default_rng(1)  # so that no row is as near to two of them
        if self.name == "categorical":
            sizes = (self.X.max(axis=0) + 1).astype(int)
            value = [
                0.5 * np.eye(m)[rows[:, d].astype(int)] + 0.5 * noise.dirichlet(np.full(m, 9.0), 3)
                for d, m in enumerate(sizes)
            ]
        else:
            value = 0.5 * rows + noise.uniform(0.2, 0.3, rows.shape)
        return {f"{self.attribute}init": value}


def _groups(kind, apart, n=150, n_features=8):
    """Return rows of bits, counts or codes in three groups, far apart or hardly so."""
    own = np.random.default_rng(23)
    group = own.permutation(np.repeat(np.arange(3), n // 3))
    pattern = (np.arange(n_features) + 1)[:, None] % 3 == np.arange(3)
    if kind == "bernoulli":
        p = np.where(pattern, *((0.97, 0.03) if apart else (0.6, 0.3)))
        return (own.random((n, n_features)) < p.T[group]).astype(float)
    if kind == "poisson":
        rates = np.where(pattern, *((30.0, 2.0) if apart else (4.0, 2.5)))
        return own.poisson(rates.T[group]).astype(float)
    sure = (own.random((n, n_features)) < (0.94 if apart else 0.5)).astype(int)
    shift = np.arange(n_features) % 3
    return np.where(sure, (group[:, None] + shift) % 3, own.integers(0, 3, sure.shape)).astype(
        float
    )


_ESTIMATORS = {
    "bernoulli": (BernoulliMixture, "probabilities_"),
    "poisson": (PoissonMixture, "rates_"),
    "categorical": (CategoricalMixture, "probabilities_"),
}
KINDS = {
    "gaussian": Kind("gaussian", GaussianMixture, GaussianModel, "means_", X, NEAR),
    **{
        name: Kind(name, own, DiscreteMixture, shown, _groups(name, True), _groups(name, False))
        for name, (own, shown) in _ESTIMATORS.items()
    },
}


def fixed_length(inference, n_iter=8):
    """Options for a fit of so many iterations, whatever it gains."""
    return {} if inference == "gibbs" else {"tol": 0.0, "max_iter": n_iter}


@contextmanager
def quiet(*categories):
    """Ignore warnings, by default those of convergence and degenerate data."""
    with warnings.catch_warnings():
        for category in categories or (ConvergenceWarning, DegenerateWarning):
            warnings.simplefilter("ignore", category)
        yield


def quiet_fit(estimator, *args, **options):
    with quiet():
        return estimator.fit(*args, **options)


def degenerate_messages(estimator, rows, **options):
    """Fit, and return the messages of the DegenerateWarnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DegenerateWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(rows, **options)
    return [str(w.message) for w in caught if w.category is DegenerateWarning]


def fitted(estimator):
    """Return the fitted attributes, draws included, as a dict."""
    return {
        name: value
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_")
    }


def same_bits(a, b):
    """Whether two values, arrays, containers of them or estimators are equal bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_bits, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return same_bits(vars(a), vars(b))
    if hasattr(a, "get_params"):
        return same_bits(fitted(a), fitted(b))
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def is_finite(estimator, rows):
    """Whether all that a fit gives, attributes and predictions, is finite."""
    outputs = [getattr(estimator, name) for name in FITTED]
    outputs += [getattr(estimator, name)(rows) for name in METHODS]
    return all(np.isfinite(output).all() for output in outputs)


def search_path():
    """Return a PYTHONPATH on which the tests' folder comes first."""
    tests = str(Path(__file__).parents[1])
    return os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])


def run_python(code, *, timeout=120, **environment):
    """Run code in a process of its own, where `reliability.helpers` can be imported."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=Path(__file__).parents[1],  # not the root: the source folder there has no extension
        env={**os.environ, "PYTHONPATH": search_path(), **environment},
        check=False,
    )
