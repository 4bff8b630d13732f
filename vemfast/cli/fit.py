"""``vemfast fit FAMILY DATA``: its options are parameters of the estimator, with its defaults."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import vemfast
from vemfast.cli.chains import EMISSIONS, add_sequence_options, read_lengths
from vemfast.cli.data import about_rows, add_data_options, check_output, read
from vemfast.cli.topics import add_stream_options, read_counts
from vemfast.inference import METHODS
from vemfast.inference.methods import SCHEDULES
from vemfast.models.gaussian_config import COVARIANCE_TYPES
from vemfast.models.lda_starts import STARTS
from vemfast.models.vae_config import ACTIVATIONS, LIKELIHOODS

__all__ = ["configure", "run"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the command line that is a parameter of the estimator.

    Attributes
    ----------
    flags : tuple of str
    parameter : str
    type : callable
        What makes a value of the text; bool: a flag.
    help : str
    choices : sequence of str
        None: any.
    required : bool
    """

    flags: tuple[str, ...]
    parameter: str
    type: Callable[[str], Any]
    help: str
    choices: Sequence[str] | None = None
    required: bool = False

    def add(self, parser: Any) -> None:
        """Add this to a parser; it is not in the result unless it is given."""
        settings: dict[str, Any] = {
            "dest": self.parameter,
            "default": argparse.SUPPRESS,
            "help": self.help,
        }
        if self.type is bool:
            settings["action"] = "store_true"
        else:
            settings.update(type=self.type, required=self.required)
            settings["choices"] = self.choices
            settings["metavar"] = (
                None if self.choices else getattr(self.type, "__name__", "value").upper()
            )
        parser.add_argument(*self.flags, **settings)


def _option(
    flag: str, type: Callable[[str], Any], help: str, choices: Sequence[str] | None = None
) -> Option:
    return Option((flag,), flag.lstrip("-").replace("-", "_"), type, help, choices)


_K = Option(("-k", "--n-components"), "n_components", int, "number of components", required=True)

# Of every family.
_ENGINE = (
    _option("--inference", str, "rung of the ladder (default: em)", tuple(METHODS)),
    _option("--schedule", str, "how statistics are gathered (default: batch)", SCHEDULES),
    _option("--tol", float, "stop when an iteration gains less, in nats a row"),
    _option("--max-iter", int, "iterations, or passes, at most"),
    _option("--n-init", int, "starts, of which the best is kept"),
    Option(("--seed",), "random_state", int, "of starts and draws"),
    _option("--n-jobs", int, "threads (default: those of the machine)"),
    _option("--n-batches", int, "batches (schedules memoized and minibatch)"),
    _option("--batch-size", int, "rows of a batch, instead of --n-batches"),
    _option("--learning-decay", float, "minibatch: exponent of the rate, in (0.5, 1]"),
    _option("--learning-offset", float, "minibatch: delay of the rate"),
    _option("--n-burn", int, "gibbs: iterations before the first draw"),
    _option("--n-draws", int, "gibbs: draws to keep, of each chain"),
    _option("--thin", int, "gibbs: iterations a draw"),
    _option("--n-chains", int, "gibbs: chains"),
)

_DTYPES = ("float32", "float64")


def _prior(text: str) -> float | str:
    """Return a number, or the word for a prior that is learned."""
    return text if text.startswith("learn") else float(text)


_prior.__name__ = "prior"  # as argparse calls it in its complaints

_STARTS = ("kmeans", "k-means++", "random", "random_from_data")
_MISSING = ("error", "marginalize")
_MIXTURE = (
    Option(("--init",), "init_params", str, "how a start is found", _STARTS),
    _option("--equal-weights", bool, "hold all weights equal"),
    _option(
        "--weight-concentration-prior-type",
        str,
        "prior of the weights",
        ("dirichlet", "dirichlet_process"),
    ),
    _option("--weight-concentration-prior", float, "its concentration"),
    _option("--missing", str, "what NaN or an empty field is (default: error)", _MISSING),
)
_GAUSSIAN = (
    *_MIXTURE,
    _option("--covariance-type", str, "shape of the covariances", COVARIANCE_TYPES),
    _option("--reg-covar", float, "least variance, relative to that of the data"),
    _option("--mean-precision-prior", float, "rows that the prior mean is worth"),
    _option("--degrees-of-freedom-prior", float, "of the prior of the covariances"),
)
_BERNOULLI = (
    *_MIXTURE,
    _option("--binarize", float, "numbers above this are ones (default: all are 0 or 1)"),
    _option("--alpha-prior", float, "of the beta prior of each probability: of a one"),
    _option("--beta-prior", float, "and of a zero"),
)
_POISSON = (
    *_MIXTURE,
    _option("--shape-prior", float, "of the gamma prior of each rate"),
    _option("--rate-prior", float, "of the gamma prior of each rate: shape over mean"),
)
_CATEGORICAL = (
    *_MIXTURE,
    _option("--n-categories", int, "codes of every column (default: as many as it has)"),
    _option("--concentration-prior", float, "of the Dirichlet prior of each distribution"),
)
_LDA = (
    Option(("-k", "--n-components"), "n_components", int, "number of topics (default: 10)"),
    _option(
        "--inference",
        str,
        "rung of the ladder (default: mean-field)",
        ("gibbs", "mean-field", "variational-em", "hard-em"),
    ),
    *_ENGINE[1:],
    Option(("--init",), "init", str, "first topics (default: spread)", STARTS),
    _option("--doc-topic-prior", _prior, "alpha: a number, learn or learn-symmetric"),
    _option("--topic-word-prior", _prior, "eta: a number, or learn"),
    _option("--mean-change-tol", float, "a document's iterations end when gamma moves less"),
    _option("--max-doc-update-iter", int, "or after so many"),
    _option("--dtype", str, "precision within documents (default: float32)", _DTYPES),
)


_HMM = (
    Option(
        ("--emission",),
        "emission",
        str,
        "what a state emits (default: gaussian)",
        tuple(EMISSIONS),
    ),
    Option(("-k", "--n-components"), "n_components", int, "number of states", required=True),
    *(option for option in _ENGINE if option.parameter != "max_iter"),
    Option(("--max-iter", "--n-iter"), "n_iter", int, "iterations, or passes, at most"),
    Option(("--init",), "init_params", str, "how a start is found", _STARTS[:2] + _STARTS[3:]),
    _option("--covariance-type", str, "gaussian: shape of the covariances", COVARIANCE_TYPES),
    _option("--reg-covar", float, "gaussian: least variance, relative to that of the data"),
    _option("--n-mix", int, "mixture: Gaussian components of each state"),
    _option("--n-features", int, "categorical: symbols (default: as many as there are)"),
    _option("--startprob-prior", float, "concentration of the prior of the start"),
    _option("--transmat-prior", float, "concentration of the prior of each row of transitions"),
    _option("--sticky", float, "added to the concentrations of staying in a state"),
    _option("--missing", str, "what NaN or an empty field is (default: error)", _MISSING),
)


def _widths(text: str) -> tuple[int, ...]:
    """Return widths of layers: numbers between commas; 0 is none."""
    return tuple(int(width) for width in text.split(",") if width and width != "0")


_widths.__name__ = "a,b,..."

_VAE = (
    Option(("-z", "--n-components"), "n_components", int, "width of z (default: 2)"),
    Option(("--hidden",), "hidden_layer_sizes", _widths, "of the encoder; 0: none (default: 400)"),
    _option("--activation", str, "of hidden layers (default: relu)", ACTIVATIONS),
    _option("--likelihood", str, "of a feature (default: bernoulli)", LIKELIHOODS),
    _option(
        "--inference",
        str,
        "rung of the ladder (default: variational-em)",
        ("variational-em", "em", "hard-em"),
    ),
    _option("--noise", str, "gaussian: one variance or one a feature", ("spherical", "diag")),
    _option("--variance-floor", float, "gaussian: the least variance"),
    _option("--beta", float, "weight of the divergence (default: 1)"),
    _option("--kl-warmup", float, "passes over which that weight rises"),
    Option(("--learning-rate",), "learning_rate_init", float, "of Adam (default: 0.001)"),
    _option("--batch-size", int, "rows of a batch (default: 128)"),
    _option("--max-iter", int, "passes at most (default: 100)"),
    _option("--early-stopping", bool, "end by the bound of held-out rows"),
    _option("--validation-fraction", float, "share of rows that are held out"),
    _option("--n-iter-no-change", int, "passes without a rise that end it"),
    _option("--tol", float, "what is no rise, in nats a row"),
    _option("--missing", str, "what NaN or an empty field is (default: error)", _MISSING),
    Option(("--seed",), "random_state", int, "of weights, batches and noise"),
    _option("--n-jobs", int, "threads (default: those of the machine)"),
)


@dataclass(frozen=True, slots=True)
class Family:
    """A model that can be fitted.

    Attributes
    ----------
    name : str
        On the command line.
    estimator : str
        Its public name.
    help : str
    options : tuple of Option
    add_data : callable
        Adds the options that say where the data are.
    read_data : callable
        (args, estimator) -> a Table of them.
    unit : {"row", "step", "token"}
        What the objective is told by.
    precisions : bool
        Whether rows can be scored in single or double precision, as they come.
    """

    name: str
    estimator: str
    help: str
    options: tuple[Option, ...]
    add_data: Callable[[Any], None] = add_data_options
    read_data: Callable[[argparse.Namespace, Any], Any] = read
    unit: str = "row"
    precisions: bool = True


FAMILIES = (
    Family("gmm", "GaussianMixture", "mixture of Gaussians", (_K, *_ENGINE, *_GAUSSIAN)),
    Family("bernoulli", "BernoulliMixture", "mixture of bits", (_K, *_ENGINE, *_BERNOULLI)),
    Family("poisson", "PoissonMixture", "mixture of counts", (_K, *_ENGINE, *_POISSON)),
    Family(
        "categorical",
        "CategoricalMixture",
        "mixture of codes (latent classes)",
        (_K, *_ENGINE, *_CATEGORICAL),
    ),
    Family(
        "lda",
        "LatentDirichletAllocation",
        "topics of documents",
        _LDA,
        add_stream_options,
        read_counts,
        "token",
        precisions=False,
    ),
    Family(
        "hmm",
        "GaussianHMM",
        "hidden Markov model of sequences",
        _HMM,
        add_sequence_options,
        unit="step",
    ),
    Family("vae", "VariationalAutoencoder", "variational autoencoder", _VAE, precisions=False),
)


def configure(parser: Any) -> None:
    """Add one parser for each family."""
    families = parser.add_subparsers(dest="family", metavar="FAMILY", required=True)
    for family in FAMILIES:
        own = families.add_parser(
            family.name,
            help=family.help,
            description=f"Fit a {family.help} and save it. Defaults are those of "
            f"vemfast.{family.estimator}.",
        )
        family.add_data(own)
        own.add_argument(
            "-o",
            "--output",
            metavar="MODEL",
            help="file to write (default: named as the data, .safetensors, in the working "
            "directory, unless there is such a file)",
        )
        for option in family.options:
            option.add(own)
        if family.precisions:
            own.add_argument("--float32", action="store_true", help="score in single precision")
        own.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")
        own.set_defaults(described=family)


def run(args: argparse.Namespace) -> None:
    """Fit, save, and print a summary."""
    import numpy as np

    family: Family = args.described
    output = _named_as(args.data) if args.output is None else args.output
    check_output(output)
    given = [option.parameter for option in family.options if hasattr(args, option.parameter)]
    show_progress = not args.quiet and sys.stderr is not None and sys.stderr.isatty()
    parameters = {name: getattr(args, name) for name in given}
    emission = parameters.pop("emission", None)
    name = family.estimator if emission is None else EMISSIONS[emission]
    make = getattr(vemfast, name)
    for parameter in set(parameters).difference(make._get_param_names()):
        raise ValueError(
            f"--{parameter.replace('_', '-')} is not for --emission {emission or 'gaussian'}"
        )
    estimator = make(**parameters, verbose=int(show_progress))
    table = family.read_data(args, estimator)
    X = table.X.astype(np.float32) if getattr(args, "float32", False) else table.X
    started = perf_counter()
    with about_rows(args.data):
        if family.unit == "step":
            estimator.fit(X, read_lengths(args))
        else:
            estimator.fit(X)
    seconds = perf_counter() - started
    estimator.verbose = 0  # of this run, not of the model
    if table.names is not None:
        estimator.feature_names_in_ = np.array(table.names, dtype=object)
    estimator.save(output)
    if not args.quiet:
        chunks = [X] if hasattr(X, "shape") else X  # a stream's rows are counted by reading them
        of_tokens = family.unit == "token"
        sizes = [(part.shape[0], part.sum() if of_tokens else part.shape[0]) for part in chunks]
        rows, total = map(sum, zip(*sizes, strict=True))
        print(f"rows         {rows} x {estimator.n_features_in_}")
        print(
            f"objective    {estimator.lower_bound_:.8g} nats, "
            f"{estimator.lower_bound_ / total:.6g} a {family.unit}"
        )
        print(
            f"iterations   {estimator.n_iter_} in {seconds:.3g} s, "
            f"stopped by {estimator.stop_reason_}"
        )
        print(f"saved        {output}")


def _named_as(data: str) -> str:
    """Return the file that a model of `data` goes to where none is said: a new one."""
    output = f"{Path(Path(data).name.removesuffix('.gz')).stem or 'model'}.safetensors"
    if os.path.lexists(output):
        raise FileExistsError(errno.EEXIST, "is there already; name another with -o", output)
    return output
