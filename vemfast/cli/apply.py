"""``vemfast predict``, ``score`` and ``info``: what a model file is good for."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

from vemfast.cli.chains import add_lengths_option, read_lengths
from vemfast.cli.data import (
    about_rows,
    add_data_options,
    add_table_options,
    check_output,
    read,
    refuse,
    write,
)
from vemfast.cli.topics import add_corpus_options, read_counts

__all__ = ["configure_info", "configure_predict", "configure_score", "info", "predict", "score"]

_SHOWN = 12  # numbers of an array that are printed


def configure_predict(parser: Any) -> None:
    """Add the options of ``predict``."""
    _add_model(parser)
    add_data_options(parser)
    _add_output(parser)
    parser.add_argument(
        "--proba", action="store_true", help="write the responsibility of every component"
    )


def configure_score(parser: Any) -> None:
    """Add the options of ``score``: of tables, steps and documents."""
    _add_model(parser)
    add_corpus_options(parser)
    add_table_options(parser)
    add_lengths_option(parser)
    parser.add_argument(
        "--each", action="store_true", help="write the log density of each row or sequence"
    )
    _add_output(parser)


def configure_info(parser: Any) -> None:
    """Add the options of ``info``."""
    _add_model(parser)


def predict(args: argparse.Namespace) -> None:
    """Write labels or responsibilities."""
    if args.output is not None:
        check_output(args.output)
    if args.proba:
        proba = _judge(args, lambda estimator, X: estimator.predict_proba(X))
        write(args.output, [f"component_{k}" for k in range(proba.shape[1])], proba)
    else:
        write(args.output, ["component"], _judge(args, lambda estimator, X: estimator.predict(X)))


def score(args: argparse.Namespace) -> None:
    """Print the mean log density, or write that of each row or sequence."""
    from vemfast import load

    if args.output is not None and not args.each:
        raise ValueError("--output is for the log density of each row: say --each")
    if args.output is not None:
        check_output(args.output)
    estimator = load(args.model)
    if hasattr(estimator, "top_words"):
        _score_documents(args, estimator)
        return
    refuse(args, "rows", "vocab", "format")
    if hasattr(estimator, "decode"):
        _score_sequences(args, estimator)
        return
    refuse(args, "rows", "lengths")
    density = _about(args, read, estimator, estimator.score_samples)
    if args.each:
        write(args.output, ["log_density"], density)
    else:
        print(f"{float(density.mean())!r} nats a row, {len(density)} rows")


def _score_documents(args: argparse.Namespace, estimator: Any) -> None:
    """Print the score of held-out words given the others of their documents."""
    refuse(args, "documents", "columns", "array", "header", "lengths")
    if args.each:
        raise ValueError("--each is for rows and sequences: documents have one score together")
    score = _about(args, read_counts, estimator, estimator.held_out_score)
    print(f"{float(score)!r} nats a held-out token")


def _score_sequences(args: argparse.Namespace, estimator: Any) -> None:
    lengths = read_lengths(args)
    found = _about(args, read, estimator, lambda X: (len(X), estimator.score_sequences(X, lengths)))
    n_steps, each = found
    if args.each:
        write(args.output, ["log_likelihood"], each)
    else:
        mean = float(each.sum()) / n_steps
        print(f"{mean!r} nats a step, {n_steps} steps in {len(each)} sequences")


def info(args: argparse.Namespace) -> None:
    """Print the class, the parameters that are not defaults, and the fitted attributes."""
    from vemfast import load

    estimator = load(args.model)
    print(repr(estimator).replace("\n", " "))
    fitted = {name: value for name, value in vars(estimator).items() if name.endswith("_")}
    width = max(map(len, fitted))
    for name, value in sorted(fitted.items()):
        print(f"  {name:<{width}}  {_summary(value)}")


def _summary(value: Any) -> str:
    import numpy as np

    if isinstance(value, list) and any(isinstance(part, np.ndarray) for part in value):
        return f"{len(value)} arrays: " + _shapes(value)
    if isinstance(value, list):
        return f"{len(value)} values, {value[0]:.6g} to {value[-1]:.6g}"
    if isinstance(value, tuple):
        return " and ".join(map(_summary, value))
    if hasattr(value, "__dataclass_fields__"):
        parts = ((name, getattr(value, name)) for name in value.__dataclass_fields__)
        return "; ".join(f"{name} {_shapes(part)}" for name, part in parts)
    if not isinstance(value, np.ndarray):
        return str(value)
    if value.dtype == object:
        return ", ".join(value)
    text = f"{value.shape}" if value.ndim else ""
    if value.size <= _SHOWN:
        text += " " + np.array2string(value, precision=6, separator=", ").replace("\n", "")
    return text.strip()


def _shapes(value: Any) -> str:
    """Return the shape of an array, or of each of a list, as many as are printed."""
    if not isinstance(value, list):
        return str(value.shape)
    shown = ", ".join(str(part.shape) for part in value[:_SHOWN])
    return shown + (", ..." if len(value) > _SHOWN else "")


def _judge(args: argparse.Namespace, call: Callable[[Any, Any], Any]) -> Any:
    """Load the model and the rows, and return what one says of the others."""
    from vemfast import load

    estimator = load(args.model)
    if hasattr(estimator, "top_words"):
        raise ValueError(
            f"{args.model}: documents have topics, not a component: use vemfast transform"
        )
    if hasattr(estimator, "decode"):
        raise ValueError(f"{args.model}: steps have states: use vemfast decode")
    if hasattr(estimator, "encoder_coefs_"):
        raise ValueError(f"{args.model}: rows have codes, not a component: use vemfast transform")
    return _about(args, read, estimator, lambda X: call(estimator, X))


def _about(
    args: argparse.Namespace,
    reader: Callable[..., Any],
    estimator: Any,
    call: Callable[[Any], Any],
) -> Any:
    """Return what `call` says of the data that the options name, read for the estimator."""
    table = reader(args, estimator, getattr(estimator, "feature_names_in_", None))
    with warnings.catch_warnings(), about_rows(args.data):
        # The columns have been chosen by their names, or by the caller.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        return call(table.X)


def _add_model(parser: Any) -> None:
    parser.add_argument("model", metavar="MODEL", help="file that vemfast fit wrote")


def _add_output(parser: Any) -> None:
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=".csv, .csv.gz or .npy (default: standard output)"
    )
