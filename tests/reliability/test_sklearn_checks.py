"""scikit-learn's own checks, on every rung and schedule, covariance type and family."""

import numpy as np
import pytest
from reliability.helpers import FEW_DRAWS, POINT_RUNGS, RUNGS, TYPES, X, mixture, same_bits
from sklearn.cluster import KMeans
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from vemfast import BernoulliMixture, CategoricalMixture, GaussianMixture, PoissonMixture

# The checks cut max_iter to a few iterations, and some give one row or constant columns.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::vemfast.DegenerateWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]

CONFIGURATIONS = [
    GaussianMixture(),
    *(GaussianMixture(2, inference=inference) for inference in POINT_RUNGS),
    *(GaussianMixture(2, covariance_type=kind) for kind in TYPES[1:]),
    GaussianMixture(2, inference="mean-field"),
    GaussianMixture(2, inference="mean-field", weight_concentration_prior_type="dirichlet_process"),
    GaussianMixture(2, inference="gibbs", **FEW_DRAWS),
    GaussianMixture(2, schedule="memoized", n_batches=3),
    GaussianMixture(2, schedule="minibatch", n_batches=3),
    GaussianMixture(2, inference="mean-field", schedule="minibatch", n_batches=3),
    GaussianMixture(2, inference="hard-em", covariance_type="tied-spherical", equal_weights=True),
    GaussianMixture(2, n_init=3, init_params="k-means++"),
    GaussianMixture(2, n_jobs=2),
]
# The checks' rows are any numbers (of the others whole ones at most: see the tags), so that the
# bits are of a threshold.
DISCRETE = [
    *(BernoulliMixture(2, binarize=0.5, inference=inference) for inference in RUNGS[:-1]),
    *(PoissonMixture(2, inference=inference) for inference in RUNGS[:-1]),
    *(CategoricalMixture(2, inference=inference) for inference in RUNGS[:-1]),
    *(
        kind(2, inference="gibbs", **FEW_DRAWS, **options)
        for kind, options in (
            (BernoulliMixture, {"binarize": 0.5}),
            (CategoricalMixture, {}),
            (PoissonMixture, {}),
        )
    ),
]

EQUIVALENCE = "check_sample_weight_equivalence_on_dense_data"
# They look at `classifier_tags` of any estimator that has predict_proba and takes sparse rows, and
# that is None of a mixture; C7 holds sparse rows to dense ones.
SPARSE = ("check_estimator_sparse_array", "check_estimator_sparse_matrix")


def expected_failures(estimator):
    """What scikit-learn's KMeans declares too: a random start sees rows in their order.

    From a given start weights are repeated rows (C14). The check shuffles one of its two data sets,
    so that k-means++ draws other seeds there, and the batches of a schedule hold other rows. With
    several starts both find the same best one.
    """
    expected = {}
    if not isinstance(estimator, (GaussianMixture, CategoricalMixture)):
        expected |= dict.fromkeys(SPARSE, "the check takes any predict_proba for a classifier's")
    if estimator.n_components == 1 or estimator.n_init > 1:
        return expected
    reason = "sample_weight is not equivalent to repeated rows under a random start"
    expected[EQUIVALENCE] = reason
    if expected.keys() & set(SPARSE):
        expected[EQUIVALENCE.replace("dense", "sparse")] = reason
    return expected


@parametrize_with_checks([*CONFIGURATIONS, *DISCRETE], expected_failed_checks=expected_failures)
def test_scikit_learns_check(estimator, check):
    check(estimator)


def test_what_kmeans_itself_declares_has_not_changed():
    # When scikit-learn drops its own exception, ours has lost its reason.
    from sklearn.utils._test_common.instance_generator import PER_ESTIMATOR_XFAIL_CHECKS

    assert EQUIVALENCE in PER_ESTIMATOR_XFAIL_CHECKS[KMeans]


@pytest.mark.parametrize("inference", RUNGS)
def test_in_a_pipeline(inference):
    pipeline = make_pipeline(StandardScaler(), mixture(3, inference)).fit(X)
    alone = mixture(3, inference).fit(StandardScaler().fit_transform(X))
    assert same_bits(pipeline.predict(X), alone.predict(StandardScaler().fit_transform(X)))
    assert np.isfinite(cross_val_score(mixture(3, inference), X, cv=3)).all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_in_a_grid_search(n_jobs):
    grid = {"n_components": [1, 2, 3], "covariance_type": ["full", "spherical"]}
    search = GridSearchCV(mixture(), grid, cv=3, n_jobs=n_jobs).fit(X)
    assert search.best_params_ == {"n_components": 3, "covariance_type": "full"}
