"""What the processes of the fork tests run: importable, so that spawned ones find it."""

import os
import warnings

import numpy as np
from reliability.helpers import X, mixture

ROWS = np.tile(X, (40, 1)) + np.random.default_rng(0).normal(size=(6000, 4))


def fit_and_score(n_jobs):
    """Fit and use a mixture with threads; warnings are errors in the child, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = mixture(3, n_jobs=n_jobs).fit(ROWS)
        return estimator.means_, estimator.lower_bounds_, estimator.score_samples(ROWS)


def threads_of_a_fit(n_jobs):
    """Threads of this process before and after a fit."""
    import psutil

    before = psutil.Process().num_threads()
    fit_and_score(n_jobs)
    return before, psutil.Process().num_threads()


def use(estimator):
    """Predict with an estimator that came from the parent, and fit it anew."""
    scores = estimator.score_samples(ROWS)
    return scores, estimator.fit(ROWS).means_, os.getpid()
