"""scikit-learn's own checks of the autoencoder, on every rung and likelihood."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from vemfast import VariationalAutoencoder

# Some checks give one row or constant columns, and a few passes leave z unused.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::vemfast.DegenerateWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
CONFIGURATIONS = [
    VariationalAutoencoder(2, likelihood="gaussian", **SMALL),
    VariationalAutoencoder(2, likelihood="gaussian", inference="hard-em", n_jobs=2, **SMALL),
    VariationalAutoencoder(2, likelihood="gaussian", inference="em", hidden_layer_sizes=()),
    VariationalAutoencoder(2, likelihood="poisson", **SMALL),
]


def expected_failures(estimator):
    """Batches hold other rows where a row of weight two stands twice."""
    if estimator.inference != "variational-em":
        return {}
    reason = "the noise of a row is drawn once for each of its copies"
    name = "check_sample_weight_equivalence_on_{}_data"
    return {name.format(kind): reason for kind in ("dense", "sparse")}


@parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=expected_failures)
def test_scikit_learns_check(estimator, check):
    check(estimator)
