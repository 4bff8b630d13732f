"""Topics: their words, how much of the documents they make up, and how a fit came to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from vemfast.plot.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vemfast.metrics import HeldOutScore

__all__ = ["held_out", "top_words", "topic_proportions"]

_LABEL_WORDS = 3


def top_words(
    estimator: Any,
    topic: int,
    vocabulary: Sequence[Any] | Mapping[Any, Any] | None = None,
    n: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw the likeliest words of a topic as bars, the likeliest on top.

    Parameters
    ----------
    estimator : fitted LatentDirichletAllocation
    topic : int
    vocabulary : sequence or mapping, default=None
        As in `LatentDirichletAllocation.top_words`.
    n : int, default=10
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
    """
    words = _of_topic(estimator, topic, vocabulary, n)
    ax = axes_or_new(ax)
    highest = np.sort(estimator.topic_word_[topic])[::-1][: len(words)]
    ax.barh(np.arange(len(words)), highest)
    ax.set_yticks(np.arange(len(words)), [str(word) for word in words])
    ax.invert_yaxis()
    ax.set_xlabel("probability")
    ax.set_title(f"topic {topic}")
    return ax


def topic_proportions(
    estimator: Any,
    X: Any,
    vocabulary: Sequence[Any] | Mapping[Any, Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean proportions of topics in documents as bars, the largest on top.

    Parameters
    ----------
    estimator : fitted LatentDirichletAllocation
    X : documents, as in `LatentDirichletAllocation.fit`
    vocabulary : sequence or mapping, default=None
        As in `LatentDirichletAllocation.top_words`: of the words that name a topic.
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
    """
    share = estimator.transform(X).mean(axis=0)
    ax = axes_or_new(ax)
    order = np.argsort(-share, kind="stable")
    words = estimator.top_words(vocabulary, _LABEL_WORDS)
    ax.barh(np.arange(order.size), share[order])
    names = [f"{k}: {', '.join(map(str, words[k]))}" for k in order]
    ax.set_yticks(np.arange(order.size), names)
    ax.invert_yaxis()
    ax.set_xlabel("mean proportion")
    return ax


def held_out(
    curves: Mapping[str, Sequence[tuple[float, float]] | HeldOutScore],
    ax: Axes | None = None,
) -> Axes:
    """Draw held-out scores against the time that fits took to reach them.

    Parameters
    ----------
    curves : mapping of str to sequence of (seconds, score), or to HeldOutScore
        One curve a name; the score in nats a token, as of `held_out_score`. A callback
        `vemfast.metrics.HeldOutScore` stands for the curve of its fit.
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
        Seconds on a logarithmic scale.
    """
    ax = axes_or_new(ax)
    for name, points in curves.items():
        points = getattr(points, "curve", points)
        seconds, scores = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        ax.plot(seconds, scores, marker=".", label=name)
    ax.set_xscale("log")
    ax.set_xlabel("seconds")
    ax.set_ylabel("held-out score (nats a token)")
    if curves:
        ax.legend()
    return ax


def _of_topic(estimator: Any, topic: int, vocabulary: Any, n: int) -> list[Any]:
    check_is_fitted(estimator)
    K = len(estimator.topic_word_)
    if not 0 <= topic < K:
        raise ValueError(f"topic {topic} is not one of the {K} topics, counted from 0")
    return list(estimator.top_words(vocabulary, n)[topic])
