"""``vemfast topics`` and ``transform``, and the corpora that topics are fitted to."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vemfast.cli.data import about_rows, add_table_options, check_output, read, refuse, write

if TYPE_CHECKING:
    from vemfast.io import Table

__all__ = [
    "add_corpus_options",
    "add_stream_options",
    "configure_topics",
    "configure_transform",
    "read_counts",
    "topics",
    "transform",
]

_FORMATS = ("ldac", "uci", "mtx", "svmlight", "npz")


def add_corpus_options(parser: Any) -> None:
    """Add the file of documents, and how to read it."""
    parser.add_argument(
        "data",
        metavar="CORPUS",
        help=".ldac, docword*.txt (UCI), .mtx or .svmlight (also .gz), or SciPy's .npz",
    )
    parser.add_argument("--vocab", metavar="FILE", help="the words, one a line")
    parser.add_argument("--format", choices=_FORMATS, help="default: told by the name")


def add_stream_options(parser: Any) -> None:
    """Add the file of documents, and whether it is read whole."""
    add_corpus_options(parser)
    parser.add_argument(
        "--stream",
        action="store_true",
        help="read the file (.ldac or UCI) chunk by chunk in every pass: for corpora larger than "
        "memory; the schedule is minibatch",
    )


def configure_topics(parser: Any) -> None:
    """Add the options of ``topics``."""
    _add_model(parser)
    parser.add_argument("-n", "--words", type=int, default=10, metavar="N", help="words a topic")
    parser.add_argument(
        "--vocab", metavar="FILE", help="the words, one a line (default: those of the fit)"
    )


def configure_transform(parser: Any) -> None:
    """Add the options of ``transform``."""
    parser.add_argument("model", metavar="MODEL", help="file that vemfast fit lda or vae wrote")
    add_corpus_options(parser)
    add_table_options(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=".csv, .csv.gz or .npy (default: standard output)"
    )


def topics(args: argparse.Namespace) -> None:
    """Print each topic's likeliest words, the topic of the largest prior proportion first."""
    import numpy as np

    from vemfast.io import read_vocabulary

    estimator = _topic_model(args.model)
    words = None if args.vocab is None else read_vocabulary(args.vocab)
    top = estimator.top_words(words, args.words)
    share = estimator.doc_topic_prior_ / estimator.doc_topic_prior_.sum()
    for k in np.argsort(-share, kind="stable"):
        print(f"{k:>4}  {share[k]:6.2%}  {' '.join(map(str, top[k]))}")


def transform(args: argparse.Namespace) -> None:
    """Write the topic proportions of each document, or the code of each row."""
    from vemfast import load

    if args.output is not None:
        check_output(args.output)
    estimator = load(args.model)
    if hasattr(estimator, "top_words"):
        refuse(args, "documents", "columns", "array", "header")
        of_names, column = read_counts, "topic"
    elif hasattr(estimator, "encoder_coefs_"):
        refuse(args, "rows", "vocab", "format")
        of_names, column = read, "z"
    else:
        raise ValueError(
            f"{args.model}: a {type(estimator).__name__} has components: use vemfast predict"
        )
    table = of_names(args, estimator, getattr(estimator, "feature_names_in_", None))
    with warnings.catch_warnings(), about_rows(args.data):
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        found = estimator.transform(table.X)
    write(args.output, [f"{column}_{k}" for k in range(found.shape[1])], found)


def read_counts(
    args: argparse.Namespace, estimator: Any, if_named: Sequence[str] | None = None
) -> Table:
    """Read documents as sparse counts, of the words of the fit if there was one.

    A vocabulary that is given then has to be that of the fit.
    """
    from vemfast.io import Table, read_corpus, read_vocabulary, stream_corpus

    if getattr(args, "stream", False):
        if not hasattr(args, "schedule"):
            estimator.set_params(schedule="minibatch")
        words = None if args.vocab is None else read_vocabulary(args.vocab)
        n_words = None if words is None else len(words)
        return Table(stream_corpus(args.data, n_words, format=args.format), words)
    fitted = getattr(estimator, "n_features_in_", None)
    width = None if args.vocab is not None else fitted
    corpus = read_corpus(args.data, args.vocab, width, args.format)
    if if_named is not None and corpus.vocabulary is not None:
        pairs = enumerate(zip(corpus.vocabulary, if_named, strict=False))
        for number, (word, other) in pairs:
            if word != other:
                raise ValueError(
                    f"{args.vocab}: word {number} is {word!r}, but the model's is {other!r}: the "
                    "corpus has to be of the words that the topics were fitted to"
                )
    return Table(corpus.counts, corpus.vocabulary)


def _topic_model(path: str) -> Any:
    from vemfast import load

    estimator = load(path)
    if not hasattr(estimator, "top_words"):
        raise ValueError(f"{path}: a {type(estimator).__name__} has no topics")
    return estimator


def _add_model(parser: Any) -> None:
    parser.add_argument("model", metavar="MODEL", help="file that vemfast fit lda wrote")
