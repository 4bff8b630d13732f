"""Write the model files of the present version, to be committed with a release.

Later versions must load them for ever: run this for a new class or a new minor version of the
format, and never again for one that is released. Usage: python tests/data/models/make.py
"""

import json
from pathlib import Path

import numpy as np

from vemfast import GaussianMixture
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


def main():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(5, 2, (40, 2))])
    rows = [[0.0, 0.0], [5.0, 4.0], [-3.5, 12.25]]
    for kind, options in GAUSSIAN_MIXTURES.items():
        estimator = GaussianMixture(2, random_state=0, **options).fit(X)
        path = HERE / "gaussian_mixture-{}.{}-{}.safetensors".format(*VERSION, kind)
        estimator.save(path)
        expected = {
            "estimator": "GaussianMixture",
            "rows": rows,
            "log_density": estimator.score_samples(np.array(rows)).tolist(),
        }
        path.with_suffix(".json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
