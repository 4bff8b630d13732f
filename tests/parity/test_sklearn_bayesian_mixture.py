"""Mean-field with full covariances against scikit-learn's BayesianGaussianMixture.

Its other covariance types share the update, but not the expected log determinant, for which it
takes the Wishart's whatever the type: there one update is compared. See docs/differences.md.
"""

import numpy as np
import pytest
from parity.starts import D, K, assert_close, rows, run_all, start
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnMixture

from vemfast import GaussianMixture, _core
from vemfast.data import RowBlock
from vemfast.models import gaussian_points as points
from vemfast.models.base import Step
from vemfast.models.gaussian_mixture import GaussianMixture as NativeMixture
from vemfast.models.gaussian_setup import Hyperparameters, configure, scan
from vemfast.stats import Stats

PRIORS = {
    "default": {},
    "given": {
        "weight_concentration_prior": 0.7,
        "mean_precision_prior": 0.3,
        "mean_prior": np.array([0.5, -1.0, 0.2]),
        "degrees_of_freedom_prior": 4.5,
        "covariance_prior": np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 1.5]]),
    },
}
weight_types = pytest.mark.parametrize("weight_type", ["dirichlet", "dirichlet_process"])
priors = pytest.mark.parametrize("prior", PRIORS)


THEIR_NAME = {"dirichlet": "dirichlet_distribution", "dirichlet_process": "dirichlet_process"}


class FromResponsibilities(BayesianGaussianMixture):
    """scikit-learn's estimator, started from responsibilities that are given."""

    def _initialize_parameters(self, X, random_state, *args, **kwargs):
        self._initialize(X, self.responsibilities)


def their_estimator(responsibilities, weight_type, **options):
    estimator = FromResponsibilities(
        n_components=K,
        weight_concentration_prior_type=THEIR_NAME[weight_type],
        reg_covar=0.0,
        **options,
    )
    estimator.responsibilities = responsibilities
    return estimator


def theirs_from(responsibilities, X, n_iter, weight_type, **options):
    estimator = their_estimator(responsibilities, weight_type, tol=0, max_iter=n_iter, **options)
    return run_all(estimator, X)


def assert_same_posterior(ours, theirs, X):
    for name in (
        "weights_",
        "means_",
        "covariances_",
        "precisions_",
        "precisions_cholesky_",
        "mean_precision_",
        "degrees_of_freedom_",
    ):
        assert_close(getattr(ours, name), getattr(theirs, name))
    # Two vectors for the process: the Beta distributions of the sticks.
    assert_close(np.array(ours.weight_concentration_), np.array(theirs.weight_concentration_))
    assert_close(ours.predict_proba(X), theirs.predict_proba(X))


# ---- through the estimator, from given point parameters ----------------------------------------


@weight_types
@priors
@pytest.mark.parametrize("n_iter", [1, 5, 40])
def test_same_numbers_after_the_same_iterations(weight_type, prior, n_iter):
    X = rows(7)
    given = start(X, "full", 7)
    # Under mean-field a start of points becomes a posterior by one E-step and one update.
    first = run_all(SklearnMixture(K, reg_covar=0.0, tol=0.0, max_iter=1, **given), X)
    first.weights_, first.means_ = given["weights_init"], given["means_init"]
    first.precisions_cholesky_ = np.linalg.cholesky(given["precisions_init"])
    theirs = theirs_from(first.predict_proba(X), X, n_iter, weight_type, **PRIORS[prior])
    ours = run_all(
        GaussianMixture(
            K,
            inference="mean-field",
            reg_covar=0.0,
            tol=0.0,
            max_iter=n_iter,
            weight_concentration_prior_type=weight_type,
            **PRIORS[prior],
            **given,
        ),
        X,
    )
    assert_same_posterior(ours, theirs, X)


@weight_types
def test_priors_are_where_the_numbers_part(weight_type):
    # The mutation of this file: a hyperparameter changed by one per cent must show.
    X = rows(7)
    labels = np.arange(len(X)) % K
    theirs = theirs_from(np.eye(K)[labels], X, 5, weight_type)
    for change in (
        {"weight_concentration_prior": 1.01 / K},
        {"mean_precision_prior": 1.01},
        {"degrees_of_freedom_prior": 1.01 * D},
        {"covariance_prior": 1.01 * np.cov(X.T)},
    ):
        ours = ours_from(labels, X, 5, "full", weight_type, **change)
        with pytest.raises(AssertionError):
            assert_same_posterior(ours, theirs, X)


# ---- through the model, from labels --------------------------------------------------------------


def ours_from(labels, X, n_iter, covariance_type, weight_type, **options):
    """Return an estimator whose posterior started from labels, as scikit-learn starts."""
    block = RowBlock(X)
    config = configure(
        block,
        scan(block, 1),
        K,
        covariance_type,
        "mean-field",
        "posterior",
        Hyperparameters(0.0, weight_concentration_prior_type=weight_type, **options),
        1,
    )
    model, step = NativeMixture(config), Step("exact", "posterior")
    any_table = model.prepare(
        points.point(config, np.full(K, 1 / K), X[:K], np.ones(config.covariance_shape))
        if covariance_type not in ("full", "tied")
        else points.point(config, np.full(K, 1 / K), X[:K], np.eye(D))
    )
    own = _core.mixture_e_step(
        any_table, covariance_type, X, None, labels.astype(np.int32), 0, "labels", 0, 0, 1
    )
    q = model.update(None, Stats(model.layout, own), step)
    for _ in range(n_iter):
        q = model.update(q, model.e_step(model.prepare(q), block, step), step)
    estimator = GaussianMixture(
        K, covariance_type=covariance_type, weight_concentration_prior_type=weight_type
    )
    estimator.n_features_in_ = D
    for name, value in points.attributes(model, q).items():
        setattr(estimator, name, value)
    return estimator


@weight_types
@priors
@pytest.mark.parametrize("n_iter", [1, 25])
def test_same_numbers_from_the_same_labels(weight_type, prior, n_iter):
    X = rows(8)
    labels = np.random.default_rng(8).integers(0, K, len(X))
    options = PRIORS[prior]
    theirs = theirs_from(np.eye(K)[labels], X, n_iter, weight_type, **options)
    ours = ours_from(labels, X, n_iter, "full", weight_type, **options)
    assert_same_posterior(ours, theirs, X)


@weight_types
@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_one_update_of_the_other_types(covariance_type, weight_type):
    X = rows(9)
    labels = np.random.default_rng(9).integers(0, K, len(X))
    ours = ours_from(labels, X, 0, covariance_type, weight_type)
    theirs = their_estimator(np.eye(K)[labels], weight_type, covariance_type=covariance_type)
    theirs._check_parameters(X)
    theirs._initialize_parameters(X, None)
    theirs._set_parameters(theirs._get_parameters())
    for name in ("weights_", "means_", "covariances_", "mean_precision_", "degrees_of_freedom_"):
        assert_close(getattr(ours, name), getattr(theirs, name))


def test_their_name_of_the_dirichlet_is_taken():
    X = np.random.default_rng(0).normal(size=(100, 2))
    ours, theirs = (
        GaussianMixture(
            2, inference="mean-field", weight_concentration_prior_type=name, random_state=0
        ).fit(X)
        for name in ("dirichlet", "dirichlet_distribution")
    )
    assert ours.lower_bound_ == theirs.lower_bound_
    np.testing.assert_array_equal(ours.score_samples(X), theirs.score_samples(X))
