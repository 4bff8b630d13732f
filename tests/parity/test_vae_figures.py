"""Published figures of the autoencoder on MNIST, where the data are: VEMFAST_MNIST=mnist.npz.

The file holds x_train (60,000 x 784) and x_test (10,000 x 784), bytes 0 to 255.
"""

import os

import numpy as np
import pytest

from vemfast import VariationalAutoencoder

pytestmark = pytest.mark.nightly

NET = {"hidden_layer_sizes": (400,), "batch_size": 128, "learning_rate_init": 1e-3}


@pytest.fixture(scope="module")
def mnist():
    path = os.environ.get("VEMFAST_MNIST")
    if not path:
        pytest.skip("VEMFAST_MNIST names no file")
    with np.load(path) as data:
        return data["x_train"], data["x_test"]


@pytest.mark.filterwarnings("ignore::vemfast.DegenerateWarning")
def test_grey_values_after_seven_epochs(mnist):
    """PyTorch's example reaches 106.66 nats an image."""
    train, test = (np.float32(x) / 255 for x in mnist)
    losses = []
    for seed in range(5):
        vae = VariationalAutoencoder(20, max_iter=7, random_state=seed, **NET).fit(train)
        losses.append(-vae.elbo(test).mean())
    assert np.median(losses) <= 107.2


@pytest.mark.filterwarnings("ignore::vemfast.DegenerateWarning")
def test_binarised_log_marginal(mnist):
    """Rezende and Mohamed 2015: 89.9 nats."""
    train, test = (x > 127 for x in mnist)
    net = {**NET, "hidden_layer_sizes": (400, 400), "activation": "softplus"}
    vae = VariationalAutoencoder(40, max_iter=100, random_state=0, **net).fit(train)
    assert -vae.score_samples(test[::10], n_draws=200).mean() <= 91
