"""The held-out score of a fit under way: a callback that estimators of topics know."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import perf_counter
from typing import Any

from vemfast.estimators.base import check_count

__all__ = ["HeldOutScore"]


class HeldOutScore:
    """Score held-out documents every few passes of a fit, by document completion.

    Give it to ``LatentDirichletAllocation(callbacks=...)``; after the fit, or during it, it has the
    scores, and `vemfast.plot.held_out` draws them. A new fit begins them anew. Under "gibbs" each
    is of the topics of the present draw, which score less than the mean of the draws.

    Parameters
    ----------
    X : as in `LatentDirichletAllocation.fit`, but no chunks
        Documents that the fit does not see, of whole counts.
    every : int, default=5
        Passes from one score to the next; the start is scored, too.
    patience : int, default=None
        Stop the fit when so many scores in turn are no higher than the best one. None: never.
    random_state : int, RandomState, Generator or None, default=0
        Of the halves of the documents, which are the same for all scores of a fit.

    Attributes
    ----------
    iterations : list of int
        Passes made before each score; 0 is the start.
    seconds : list of float
        From the beginning of the passes, without the time that the scores took.
    scores : list of float
        Nats a held-out token, as of `held_out_score`: higher is better.

    Examples
    --------
    >>> import numpy as np
    >>> from vemfast import LatentDirichletAllocation
    >>> from vemfast.metrics import HeldOutScore
    >>> rng = np.random.default_rng(0)
    >>> X = np.array([rng.multinomial(40, np.eye(2)[i % 2].repeat(6) / 6) for i in range(60)])
    >>> watch = HeldOutScore(X[50:], every=2)
    >>> lda = LatentDirichletAllocation(2, max_iter=6, random_state=0, callbacks=watch).fit(X[:50])
    >>> watch.iterations
    [0, 2, 4, 6]
    >>> watch.scores[-1] == lda.held_out_score(X[50:])
    True
    """

    takes_params = True  # the monitor hands over the parameters

    def __init__(
        self, X: Any, every: int = 5, patience: int | None = None, random_state: Any = 0
    ) -> None:
        self.X = X
        self.every = check_count("every", every)
        self.patience = None if patience is None else check_count("patience", patience)
        self.random_state = random_state
        self._score: Callable[[Any], float] | None = None
        self._begin()

    def _begin(self) -> None:
        self.iterations: list[int] = []
        self.seconds: list[float] = []
        self.scores: list[float] = []
        self._spent = 0.0

    @property
    def curve(self) -> list[tuple[float, float]]:
        """Pairs of seconds and score, as `vemfast.plot.held_out` takes them."""
        return list(zip(self.seconds, self.scores, strict=True))

    def begin(self, score: Callable[[Any], float]) -> None:
        """Begin anew: `score` says what the held-out documents give for parameters."""
        self._begin()
        self._score = score

    def end(self) -> None:
        """Let go of the fit; the scores stay."""
        self._score = None

    def __call__(self, *, iteration: int, objective: float, elapsed: float, params: Any) -> bool:
        """Score the parameters if it is their turn; whether the fit is to stop."""
        if self._score is None:
            raise ValueError(
                "HeldOutScore is for the callbacks of LatentDirichletAllocation, which has "
                "documents to hold out"
            )
        if iteration % self.every:
            return False
        started = perf_counter()
        self.seconds.append(elapsed - self._spent)
        self.scores.append(self._score(params))
        self.iterations.append(iteration)
        self._spent += perf_counter() - started
        if self.patience is None:
            return False
        best, last = -inf, 0
        for number, score in enumerate(self.scores):
            if score > best:
                best, last = score, number
        return len(self.scores) - 1 - last >= self.patience
