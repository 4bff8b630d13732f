"""``vemfast fit hmm`` and ``decode``: tables of steps, and where its sequences end."""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING, Any

from vemfast.cli.data import about_rows, add_data_options, check_output, read, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "EMISSIONS",
    "add_lengths_option",
    "add_sequence_options",
    "configure_decode",
    "decode",
    "read_lengths",
]

# Emission on the command line -> estimator.
EMISSIONS = {
    "gaussian": "GaussianHMM",
    "mixture": "GMMHMM",
    "categorical": "CategoricalHMM",
    "bernoulli": "BernoulliHMM",
    "poisson": "PoissonHMM",
}


def add_sequence_options(parser: Any) -> None:
    """Add the file of steps, and that of the lengths of its sequences."""
    add_data_options(parser)
    add_lengths_option(parser)


def add_lengths_option(parser: Any) -> None:
    """Add the file of the lengths of sequences."""
    parser.add_argument(
        "--lengths",
        metavar="FILE",
        help="steps of each sequence, one number a line, or .npy (default: one sequence)",
    )


def configure_decode(parser: Any) -> None:
    """Add the options of ``decode``."""
    parser.add_argument("model", metavar="MODEL", help="file that vemfast fit hmm wrote")
    add_sequence_options(parser)
    parser.add_argument(
        "--algorithm", choices=("viterbi", "map"), help="best path, or best state of each step"
    )
    parser.add_argument(
        "--proba", action="store_true", help="write the probability of every state instead"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=".csv, .csv.gz or .npy (default: standard output)"
    )


def decode(args: argparse.Namespace) -> None:
    """Write the state of each step."""
    from vemfast import load

    if args.output is not None:
        check_output(args.output)
    if args.proba and args.algorithm is not None:
        raise ValueError("--algorithm is for states, and --proba writes probabilities")
    estimator = load(args.model)
    if not hasattr(estimator, "decode"):
        raise ValueError(
            f"{args.model}: a {type(estimator).__name__} has no states to decode; use vemfast "
            "predict"
        )
    names = getattr(estimator, "feature_names_in_", None)
    table = read(args, estimator, names)
    lengths = read_lengths(args)
    with warnings.catch_warnings(), about_rows(args.data):
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        if args.proba:
            proba = estimator.predict_proba(table.X, lengths)
            write(args.output, [f"state_{k}" for k in range(proba.shape[1])], proba)
            return
        write(args.output, ["state"], estimator.decode(table.X, lengths, args.algorithm)[1])


def read_lengths(args: argparse.Namespace) -> NDArray[Any] | None:
    """Return the lengths that the options name; None: all steps are one sequence."""
    import numpy as np

    path = args.lengths
    if path is None:
        return None
    if path.endswith(".npy"):
        lengths = np.load(path, allow_pickle=False)
    else:
        with open(path) as file:
            words = file.read().split()
        try:
            lengths = np.array([int(word) for word in words], dtype=np.int64)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; lengths are integers, one a line") from error
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not lengths.size:
        raise ValueError(
            f"{path}: lengths are a list of integers; got {lengths.dtype} of shape {lengths.shape}"
        )
    return np.asarray(lengths)
