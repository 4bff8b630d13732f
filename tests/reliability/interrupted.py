"""The child process of the Ctrl-C tests: fits without end, and tells what each SIGINT left.

Each line of standard output is one JSON object; "at" is on the clock that all processes share.
"""

import json
import sys
import time

import numpy as np
from reliability.helpers import is_finite, mixture, quiet

from vemfast import GaussianHMM

FOREVER = {"tol": 0.0, "max_iter": 10**9}
DRAWS = {"n_burn": 10**9, "n_draws": 1, "n_chains": 1}


def rows(n, D):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, D)) + 4 * rng.integers(0, 3, (n, 1))


def chain(K, inference):
    means = np.linspace(-1.0, 5.0, K)[:, None]
    return GaussianHMM(K, inference=inference, tol=0.0, n_iter=10**9, means_init=means)


# Name -> (rows, estimator): what a fit without end spends its time on.
WORK = {
    "small iterations": lambda: (rows(180, 2), mixture(3, **FOREVER)),
    "long iterations": lambda: (rows(200_000, 20), mixture(40, **FOREVER)),
    "float32": lambda: (rows(200_000, 20).astype(np.float32), mixture(40, **FOREVER)),
    "one thread": lambda: (rows(100_000, 20), mixture(40, n_jobs=1, **FOREVER)),
    "the start": lambda: (rows(20_000, 100), mixture(800, covariance_type="diag", **FOREVER)),
    "few rows, wide": lambda: (rows(900, 700), mixture(3, covariance_prior=np.eye(700), **FOREVER)),
    "eigenvalues": lambda: (rows(300, 600), mixture(1, **FOREVER)),
    "mean-field": lambda: (rows(50_000, 10), mixture(20, "mean-field", **FOREVER)),
    "hard-em": lambda: (rows(50_000, 10), mixture(20, "hard-em", **FOREVER)),
    "gibbs": lambda: (rows(20_000, 5), mixture(5, "gibbs", **DRAWS)),
    "memoized": lambda: (rows(50_000, 10), mixture(20, schedule="memoized", **FOREVER)),
    "minibatch": lambda: (
        rows(50_000, 10), mixture(20, schedule="minibatch", max_iter=10**9),
    ),
    "starts in threads": lambda: (rows(2000, 5), mixture(5, n_init=10, n_jobs=4, **FOREVER)),
    "starts in turn": lambda: (rows(100_000, 20), mixture(40, n_init=10, **FOREVER)),
    "a long sequence": lambda: (rows(1_000_000, 1), chain(4, "em")),
    "a long best path": lambda: (rows(500_000, 1), chain(20, "hard-em")),
    "sweeps over a sequence": lambda: (rows(100_000, 1), chain(12, "variational-em")),
}  # fmt: skip


def tell(**facts):
    print(json.dumps(facts), flush=True)


def state(estimator, X):
    """What the interrupt left, and whether it hangs together."""
    if not hasattr(estimator, "lower_bounds_"):
        return {"n_iter": -1, "whole": len(vars(estimator)) == len(estimator.get_params())}
    bounds = estimator.lower_bounds_
    whole = len(bounds) == estimator.n_iter_ + 1
    whole = whole and not estimator.converged_ and estimator.stop_reason_ == "interrupted"
    is_chain = hasattr(estimator, "transmat_")
    if is_chain:
        parts = (estimator.startprob_, estimator.transmat_, estimator.means_, estimator.covars_)
        whole = whole and all(np.isfinite(part).all() for part in parts)
    elif estimator.inference != "gibbs":
        whole = whole and is_finite(estimator, X[:50])
    if estimator.inference == "em" and estimator.schedule == "batch":
        objective = estimator.score(X) * (1 if is_chain else len(X))  # of all, or of a row
        whole = whole and abs(objective - bounds[-1]) <= 1e-5 * abs(objective)
        whole = whole and estimator.lower_bound_ == bounds[-1]
    return {"n_iter": estimator.n_iter_, "whole": bool(whole), "bounds": bounds[:3]}


def main(name, times):
    X, estimator = WORK[name]()
    for _ in range(int(times)):
        try:
            tell(ready=True)
            with quiet():
                estimator.fit(X)
        except KeyboardInterrupt:
            at = time.monotonic()
        tell(at=at, **state(estimator, X))


if __name__ == "__main__":
    main(*sys.argv[1:])
