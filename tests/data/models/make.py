"""Write the model files of the present version, to be committed with a release.

Later versions must load them for ever, so a file that is there stays as it is: run this for a new
class or a new minor version of the format. Usage: python tests/data/models/make.py
"""

import json
from pathlib import Path

import numpy as np

from vemfast import BernoulliMixture, CategoricalMixture, GaussianMixture, PoissonMixture
from vemfast.io.container import VERSION

HERE = Path(__file__).parent

GAUSSIAN_MIXTURES = {
    "full": {},
    "tied": {"covariance_type": "tied"},
    "diag": {"covariance_type": "diag"},
    "spherical": {"covariance_type": "spherical"},
    "tied-spherical": {"covariance_type": "tied-spherical", "equal_weights": True},
    "mean-field": {
        "inference": "mean-field",
        "weight_concentration_prior_type": "dirichlet_process",
    },
    "gibbs": {"inference": "gibbs", "n_burn": 5, "n_draws": 3, "n_chains": 2},
}


GIBBS = {"inference": "gibbs", "n_burn": 5, "n_draws": 3, "n_chains": 2}
DISCRETE_MIXTURES = {
    "em": {"missing": "marginalize"},
    "mean-field": {
        "inference": "mean-field",
        "weight_concentration_prior_type": "dirichlet_process",
    },
    "gibbs": GAUSSIAN_MIXTURES["gibbs"],
}


def main():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(5, 2, (40, 2))])
    rows = [[0.0, 0.0], [5.0, 4.0], [-3.5, 12.25]]
    for kind, options in GAUSSIAN_MIXTURES.items():
        write("gaussian_mixture", kind, GaussianMixture(2, random_state=0, **options), X, rows)

    group = np.repeat([0, 1], [60, 40])
    bits = (rng.random((100, 3)) < np.array([[0.9, 0.2, 0.5], [0.1, 0.7, 0.6]])[group]).astype(int)
    counts = rng.poisson(np.array([[1.0, 6.0], [8.0, 0.5]])[group])
    codes = np.column_stack([bits[:, 0] + bits[:, 1], bits[:, 2]])
    for kind, options in DISCRETE_MIXTURES.items():
        given = {"random_state": 0, **options}
        write("bernoulli_mixture", kind, BernoulliMixture(2, **given), bits, bits[:3].tolist())
        write(
            "poisson_mixture", kind, PoissonMixture(2, **given), counts, [[0, 0], [9, 1], [2, 30]]
        )
        # With a prior, a list of arrays that differ in length is a parameter, too.
        if kind == "mean-field":
            given["concentration_prior"] = [[1.0, 1.5, 2.0], [0.5, 0.5]]
        rows = [[0, 0], [1, 1], [2, 0]]
        write("categorical_mixture", kind, CategoricalMixture(2, **given), codes, rows)


def write(stem, kind, estimator, X, rows):
    """Fit and save, unless the file is there."""
    path = HERE / "{}-{}.{}-{}.safetensors".format(stem, *VERSION, kind)
    if path.exists():
        return
    estimator.fit(X)
    estimator.save(path)
    expected = {
        "estimator": type(estimator).__name__,
        "rows": rows,
        "log_density": estimator.score_samples(np.array(rows)).tolist(),
    }
    path.with_suffix(".json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
