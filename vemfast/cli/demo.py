"""``vemfast demo``: a photograph segmented by colour on every rung, topics, vowels, digits."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from vemfast.cli import demo_digits, demo_letters, demo_topics
from vemfast.cli.data import check_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["configure", "run"]

_COMPONENTS = 8
_PICTURE = "demo_gaussian_mixture.png"

# Rung -> options beyond the common ones. Short chains: enough to see where they settle.
_RUNGS: dict[str, dict[str, Any]] = {
    "gibbs": {"n_burn": 50, "n_draws": 25, "n_chains": 2},
    "mean-field": {"tol": 1e-4, "max_iter": 500},
    "em": {"tol": 1e-4, "max_iter": 500},
    "variational-em": {"tol": 1e-4, "max_iter": 500},
    "hard-em": {"tol": 1e-4, "max_iter": 500},
}


@dataclass(frozen=True, slots=True, eq=False)
class _Result:
    rung: str
    held_out: float
    seconds: float
    iterations: int
    labels: NDArray[Any]
    colours: NDArray[Any]

    @property
    def shares(self) -> NDArray[Any]:
        """Share of the picture of each component in use, largest first."""
        import numpy as np

        counts = np.bincount(self.labels)
        return np.sort(counts[counts > 0] / self.labels.size)[::-1]


def configure(parser: Any) -> None:
    """Add the options of ``demo``."""
    parser.add_argument(
        "-o", "--output", metavar="DIR", default=".", help="folder for the pictures (default: here)"
    )


def run(args: argparse.Namespace) -> None:
    """Fit every rung, print the table, save the picture; then topics, letters, digits."""
    picture = Path(args.output) / _PICTURE
    check_output(str(picture))
    photograph = _photograph()
    height, width, _ = photograph.shape
    pixels = _pixels(photograph)
    held = slice(None, None, 10)
    print(
        f"scikit-learn's china.jpg: {height} x {width} = {len(pixels):,} pixels, red, green and "
        f"blue in 0 to 256;\n{_COMPONENTS} Gaussian components with full covariances, every tenth "
        "pixel held out.\n"
    )
    print("rung            held-out log density  seconds  iterations  segments found")
    print("                      (nats a pixel)")
    results = []
    for rung, options in _RUNGS.items():
        results.append(_fit(rung, options, pixels, held))
        print(_row(results[-1]), flush=True)
    print()
    print(_draw(photograph, results, picture))
    print()
    demo_topics.run()
    print()
    demo_letters.run(Path(args.output))
    print()
    demo_digits.run(Path(args.output) / demo_digits.PICTURE)


def _photograph() -> NDArray[Any]:
    from sklearn.datasets import load_sample_image

    try:
        return load_sample_image("china.jpg")  # type: ignore[no-any-return]
    except ImportError as error:
        message = 'the photograph is a JPEG, which Pillow reads: pip install "vemfast[plot]"'
        raise ImportError(message) from error


def _pixels(photograph: NDArray[Any]) -> NDArray[Any]:
    """Return pixels as rows, each spread evenly over the unit cube of its colour.

    Colours are whole numbers, of which a density could be as high as it likes; of spread ones the
    mean log density is at most the log probability of the whole numbers.
    """
    import numpy as np

    rows = photograph.reshape(-1, 3).astype(np.float64)
    return rows + np.random.default_rng(0).random(rows.shape)


def _fit(rung: str, options: dict[str, Any], pixels: NDArray[Any], held: slice) -> _Result:
    import numpy as np

    from vemfast import GaussianMixture

    kept = np.ones(len(pixels), dtype=bool)
    kept[held] = False
    training = pixels[kept]
    started = perf_counter()
    mixture = GaussianMixture(_COMPONENTS, inference=rung, random_state=0, **options)
    mixture.fit(training)
    seconds = perf_counter() - started
    return _Result(
        rung,
        mixture.score(pixels[held]),
        seconds,
        mixture.n_iter_,
        mixture.predict(pixels),
        mixture.means_,
    )


def _row(result: _Result) -> str:
    shares = result.shares
    largest = ", ".join(f"{share:.0%}" for share in shares[:3])
    return (
        f"{result.rung:<16}{result.held_out:>20.4f}{result.seconds:>9.2f}{result.iterations:>12}"
        f"  {len(shares)}, the largest {largest}"
    )


def _draw(photograph: NDArray[Any], results: list[_Result], path: Path) -> str:
    """Save the photograph beside its segmentations; return what to say about it."""
    import numpy as np

    try:
        from matplotlib.figure import Figure
    except ImportError:
        return 'no picture: it needs matplotlib: pip install "vemfast[plot]"'
    from vemfast.io.atomic import atomic_write

    # A figure of its own, not pyplot's: it needs no screen and leaves no state behind.
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    panels[0].imshow(photograph)
    panels[0].set_title("photograph")
    for panel, result in zip(panels[1:], results, strict=True):
        colours = np.clip(result.colours / 256.0, 0.0, 1.0)
        panel.imshow(colours[result.labels].reshape(photograph.shape))
        panel.set_title(f"{result.rung}: {result.held_out:.3f} nats, {result.seconds:.2f} s")
    for panel in panels:
        panel.set_axis_off()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return f"picture: {path}"
