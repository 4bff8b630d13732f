"""The last part of ``vemfast demo``: scikit-learn's handwritten digits, by an autoencoder."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

__all__ = ["PICTURE", "run"]

PICTURE = "demo_autoencoder.png"

_HIDDEN, _PASSES, _HELD = (128, 64), 150, 5


def run(picture: Path) -> None:
    """Fit the digits in two dimensions, print the bound and log p(x), save the picture."""
    from sklearn.datasets import load_digits

    from vemfast import VariationalAutoencoder

    digits = load_digits()
    X = digits.data / 16.0
    held = slice(None, None, _HELD)
    kept = [i for i in range(len(X)) if i % _HELD]
    print(
        f"scikit-learn's digits: {len(X):,} images of 8 x 8 grey values, every {_HELD}th held out; "
        f"{_PASSES} passes\nof a variational autoencoder, 64-{'-'.join(map(str, _HIDDEN))}-2, and "
        "back.\n"
    )
    vae = VariationalAutoencoder(
        2, hidden_layer_sizes=_HIDDEN, activation="tanh", max_iter=_PASSES, random_state=0
    )
    started = perf_counter()
    vae.fit(X[kept])
    seconds = perf_counter() - started
    print(f"loss {vae.loss_curve_[0]:.2f} at first, {vae.loss_curve_[-1]:.2f} nats at last")
    print(f"held out: {vae.log_marginal(X[held], 100)}")
    print(f"{seconds:.2f} s, {vae.n_iter_ * len(kept) / seconds:,.0f} rows a second\n")
    print(_draw(vae, X[held], digits.target[held], picture))


def _draw(vae: Any, X: Any, labels: Any, path: Path) -> str:
    """Save reconstructions, codes and the plane of codes; return what to say about it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return 'no picture: it needs matplotlib: pip install "vemfast[plot]"'
    from vemfast import plot
    from vemfast.io.atomic import atomic_write

    figure = Figure(figsize=(13, 4.8), layout="constrained")
    panels = figure.subplots(1, 3)
    plot.reconstructions(vae, X, shape=(8, 8), n=12, ax=panels[0])
    panels[0].set_title("held out, and reconstructed")
    plot.latent(vae, X, labels=labels, ax=panels[1])
    panels[1].set_title("codes of the digits held out")
    plot.manifold(vae, shape=(8, 8), n=16, ax=panels[2])
    panels[2].set_title("digits along the plane of codes")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return f"picture: {path}"
