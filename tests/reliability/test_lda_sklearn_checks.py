"""scikit-learn's own checks of LatentDirichletAllocation, where counts may be fractions."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from vemfast import LatentDirichletAllocation

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]

CONFIGURATIONS = [
    LatentDirichletAllocation(3),
    LatentDirichletAllocation(2, dtype="float64", doc_topic_prior="learn", max_iter=3),
    LatentDirichletAllocation(2, inference="variational-em", schedule="memoized", n_batches=3),
    LatentDirichletAllocation(2, learning_method="online", batch_size=20, max_iter=3),
]


def expected_failures(estimator):
    reason = "sample_weight is not equivalent to repeated rows under a random start"
    return {
        "check_sample_weight_equivalence_on_dense_data": reason,
        "check_sample_weight_equivalence_on_sparse_data": reason,
    }


@parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=expected_failures)
def test_scikit_learns_check(estimator, check):
    check(estimator)
