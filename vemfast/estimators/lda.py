"""LatentDirichletAllocation: topics of documents, on every rung of the ladder but exact EM."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from vemfast.document_streams import DocumentStreamBlock
from vemfast.documents import DocumentBlock
from vemfast.estimators.base import check_sample_weight, weights_of_chunks
from vemfast.estimators.lda_options import (
    PerplexityRule,
    check_unused,
    perplexity_of,
    without_effect,
)
from vemfast.estimators.topics import Documents, TopicEstimator
from vemfast.inference.methods import METHODS, SCHEDULES, lookup
from vemfast.inference.monitor import FitResult
from vemfast.inference.online import Progress
from vemfast.inference.restarts import seeds
from vemfast.models import lda_points as points
from vemfast.models.base import Step
from vemfast.models.lda import LatentDirichletAllocation as Model
from vemfast.models.lda_config import Start
from vemfast.models.lda_points import TopicDraws
from vemfast.models.lda_starts import STARTS
from vemfast.stats import Params

__all__ = ["LatentDirichletAllocation", "TopicDraws"]

Array = NDArray[np.float64]

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")


class LatentDirichletAllocation(TopicEstimator):
    """Latent Dirichlet allocation (Blei, Ng and Jordan 2003), by any rung but exact EM.

    A document has topic proportions θ ~ Dirichlet(α), each of its tokens a topic z ~ θ and a word
    w ~ β_z; topics β_k ~ Dirichlet(η). Names and defaults are scikit-learn's.

    Parameters
    ----------
    n_components : int, default=10
        Number of topics.
    doc_topic_prior : float, array-like of shape (n_components,), "learn" or "learn-symmetric", \
default=None
        α. None: 1 / n_components. "learn": a number for each topic by Newton's method (Minka 2000)
        in every update, from 1 / n_components; "learn-symmetric": one number for all.
    topic_word_prior : float, array-like of shape (n_words,) or (n_components, n_words), or \
"learn", default=None
        η. None: 1 / n_components with "mean-field" and "gibbs", and 1.01 with point topics, which
        need >= 1 (1 is maximum likelihood). Large numbers at some words of a topic seed it with
        them. "learn": one number by Newton's method, for "mean-field" and "gibbs".
    inference : {"gibbs", "mean-field", "variational-em", "hard-em"}, default="mean-field"
        From accurate and slow to inaccurate and fast. "gibbs" is partially collapsed (Magnusson et
        al. 2018): topics of tokens are drawn with θ integrated out, in parallel over documents, and
        then β; "mean-field" is variational Bayes (Hoffman, Blei and Bach 2010), scikit-learn's;
        "variational-em" is Blei's, with point topics; "hard-em" gives each token its best topic, θ
        integrated out. "em" is intractable here, and says so.
    learning_method : {"batch", "online"}, default="batch"
        scikit-learn's name for the schedule: "online" is "minibatch".
    schedule : {"batch", "memoized", "minibatch"}, default=None
        None: as `learning_method` says. All documents an update; exact incremental updates by
        batches; or stochastic ones (Hoffman et al. 2010).
    learning_decay, learning_offset : float, default=0.7, 10.0
        Minibatch schedule and `partial_fit`: update t has the rate
        (t + learning_offset) ** -learning_decay. A fit begins with the last batches, until they
        hold 20,000 documents, and these count as the batches they are.
    max_iter : int, default=10
        Passes over the documents. Not for "gibbs".
    tol : float, default=0.0
        Converged when a pass gains less than this in the objective, in nats a token. 0: make all
        passes.
    batch_size : int, default=128
        Minibatch schedule: documents a batch, on average; batches have equally many tokens.
    n_batches : int, default=10
        Memoized schedule: each batch's statistics are kept, as large as the topics.
    evaluate_every : int, default=-1
        Look at the perplexity of the fitted documents every so many passes, as of `bound_`,
        and stop once it has changed by less than `perp_tol` since the last look. 0 and
        below: never. Under the minibatch schedule it is a noisy estimate. Not for "gibbs", nor with
        `n_init` > 1.
    perp_tol : float, default=0.1
        Least change of the perplexity from one look to the next that lets a fit go on.
    total_samples : float, default=1e6
        `partial_fit`: the number of all documents that its chunks are a sample of. None: those seen
        so far.
    mean_change_tol : float, default=1e-3
        The inner iteration for a document ends when the mean change of γ is below this,
    max_doc_update_iter : int, default=100
        or after so many. ("hard-em": sweeps over the tokens of a document.)
    init : {"random", "documents", "spread"}, default="spread"
        First topics: random, as scikit-learn's; each one document mixed with the words of all, as
        Blei's lda-c; or documents that lie apart, as k-means++ chooses them. On real text the start
        decides more than the passes.
    topics_init : array-like of shape (n_components, n_words), default=None
        First topics instead: any numbers >= 0, such as the `components_` of another fit.
    n_init : int, default=1
        Starts; the one of the highest objective is kept. Not for "gibbs": see `n_chains`.
    n_burn, n_draws, thin, n_chains : int, default=200, 20, 5, 1
        "gibbs": iterations before the first draw, draws kept a chain, iterations a draw, chains.
        Each draw is as large as the topics.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the arithmetic within a document. Statistics are float64.
    random_state : int, RandomState, Generator or None, default=None
    warm_start : bool, default=False
        Start from the last fit's topics, also where that was on another rung.
    n_jobs : int, default=None
        Threads. None: what OpenMP may use and the machine has. The result does not depend on it.
    callbacks : callable or sequence of callable, default=None
        Called after each pass with the keywords `iteration`, `objective` (nats) and `elapsed`
        (seconds); a true result stops the fit. `vemfast.metrics.HeldOutScore` scores held-out
        documents every few passes.
    verbose : int, default=0
        1: a progress bar.
    on_interrupt : {"raise", "return"}, default="raise"
        Ctrl-C leaves the last full pass in the attributes, and then raises or returns.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_words)
        "mean-field": parameters λ of the topics' Dirichlet posteriors, as scikit-learn's;
        otherwise topics: the mode, or under "gibbs" the kept draw of highest joint density.
    topic_word_ : ndarray of shape (n_components, n_words)
        Topics as probabilities of words: the expectation under "mean-field", under "gibbs" the mean
        of the kept draws of one chain. "gibbs" judges documents by these.
    is_posterior_ : bool
        Whether `components_` are parameters of a posterior.
    exp_dirichlet_component_ : ndarray of shape (n_components, n_words)
        exp(E[log β]).
    doc_topic_prior_ : ndarray of shape (n_components,)
        α, learned or given.
    topic_word_prior_ : float or ndarray
        η, learned or given.
    lower_bound_ : float
        The objective, nats: a bound on log p(w) under "mean-field", on log p(w, β) with point
        topics; under "gibbs" log p(w, z, β) of the kept draw.
    lower_bounds_ : list of float
        Its trace, the start first.
    bound_ : float
        scikit-learn's final perplexity of the fitted documents: exp(-`lower_bound_` / tokens), the
        topics' own share included; of topics that are points without their log prior. Neither
        under "gibbs" nor after `partial_fit`.
    n_iter_ : int
    converged_ : bool
    stop_reason_ : {"tolerance", "max_iter", "callback", "interrupted", "numerical", "partial_fit"}
    posterior_ : TopicDraws
        "gibbs": the kept draws.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Documents are a matrix of counts, sparse of any format or dense, or a corpus of lists of
    (word number, count) pairs as gensim has them. Counts may be fractions (tf-idf), but not with
    "hard-em" and "gibbs", which give each token a topic. An empty document has proportions α / Σ α.

    Proportions are kept between passes, so the objective never falls under "batch" and "memoized".

    Examples
    --------
    >>> import numpy as np
    >>> from vemfast import LatentDirichletAllocation
    >>> rng = np.random.default_rng(0)
    >>> topics = np.kron(np.eye(2), np.ones(6) / 6)
    >>> X = np.array([rng.multinomial(40, topics[i % 2]) for i in range(50)])
    >>> lda = LatentDirichletAllocation(2, random_state=0).fit(X)
    >>> lda.transform(X).shape
    (50, 2)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [_COUNT],
        "doc_topic_prior": [
            _POSITIVE, "array-like", StrOptions({"learn", "learn-symmetric"}), None,
        ],
        "topic_word_prior": [_POSITIVE, "array-like", StrOptions({"learn"}), None],
        "inference": [StrOptions(set(METHODS))],
        "learning_method": [StrOptions({"batch", "online"})],
        "schedule": [StrOptions(set(SCHEDULES)), None],
        "learning_decay": [Interval(Real, 0, 1, closed="both")],
        "learning_offset": [Interval(Real, 0, None, closed="left")],
        "max_iter": [_COUNT],
        "tol": [Interval(Real, 0, None, closed="left")],
        "batch_size": [_COUNT],
        "n_batches": [_COUNT],
        "evaluate_every": [Integral],
        "perp_tol": [Interval(Real, 0, None, closed="left")],
        "total_samples": [_POSITIVE, None],
        "mean_change_tol": [Interval(Real, 0, None, closed="left")],
        "max_doc_update_iter": [_COUNT],
        "init": [StrOptions(set(STARTS))],
        "topics_init": ["array-like", None],
        "n_init": [_COUNT],
        "n_burn": [Interval(Integral, 0, None, closed="left")],
        "n_draws": [_COUNT],
        "thin": [_COUNT],
        "n_chains": [_COUNT],
        "dtype": [StrOptions({"float32", "float64"})],
        "random_state": ["random_state", np.random.Generator],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "callbacks": [callable, "array-like", None],
        "verbose": ["verbose"],
        "on_interrupt": [StrOptions({"raise", "return"})],
    }  # fmt: skip

    def __init__(
        self,
        n_components: int = 10,
        *,
        doc_topic_prior: Any = None,
        topic_word_prior: Any = None,
        inference: str = "mean-field",
        learning_method: str = "batch",
        schedule: str | None = None,
        learning_decay: float = 0.7,
        learning_offset: float = 10.0,
        max_iter: int = 10,
        tol: float = 0.0,
        batch_size: int = 128,
        n_batches: int = 10,
        evaluate_every: int = -1,
        perp_tol: float = 0.1,
        total_samples: float | None = 1e6,
        mean_change_tol: float = 1e-3,
        max_doc_update_iter: int = 100,
        init: str = "spread",
        topics_init: ArrayLike | None = None,
        n_init: int = 1,
        n_burn: int = 200,
        n_draws: int = 20,
        thin: int = 5,
        n_chains: int = 1,
        dtype: str = "float32",
        random_state: Any = None,
        warm_start: bool = False,
        n_jobs: int | None = None,
        callbacks: Any = None,
        verbose: int = 0,
        on_interrupt: str = "raise",
    ) -> None:
        self.n_components = n_components
        self.doc_topic_prior = doc_topic_prior
        self.topic_word_prior = topic_word_prior
        self.inference = inference
        self.learning_method = learning_method
        self.schedule = schedule
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.n_batches = n_batches
        self.evaluate_every = evaluate_every
        self.perp_tol = perp_tol
        self.total_samples = total_samples
        self.mean_change_tol = mean_change_tol
        self.max_doc_update_iter = max_doc_update_iter
        self.init = init
        self.topics_init = topics_init
        self.n_init = n_init
        self.n_burn = n_burn
        self.n_draws = n_draws
        self.thin = thin
        self.n_chains = n_chains
        self.dtype = dtype
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.verbose = verbose
        self.on_interrupt = on_interrupt

    # ---- fitting ---------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Fit the topics.

        Parameters
        ----------
        X : sparse matrix or array-like of shape (n_documents, n_words), corpus, or chunks
            Counts of words, or lists of (word number, count) pairs, one a document. Under the
            minibatch schedule also chunks of counts that are read for every pass, such as
            `vemfast.io.stream_corpus` gives of a file that is larger than memory: a list of
            matrices, an object that yields them again and again, or a callable that returns an
            iterator. The fit is that of all documents in memory, bit for bit where counts are
            whole numbers.
        y : None
            Ignored; for scikit-learn's interface.
        sample_weight : array-like of shape (n_documents,), default=None
            A document of weight two counts as two; of weight zero, as none. Not for "gibbs".

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If data or parameters are bad; an earlier fit stays as it was.
        NumericalError
            If the arithmetic broke down; the best full pass is kept.
        """
        with self._only_fit():
            self._fit(X, sample_weight)
        return self

    def _fit(self, X: Any, sample_weight: ArrayLike | None) -> None:
        self._check_params()
        schedule = self._schedule()
        check_unused(self, schedule)
        names = ("max_iter", "tol", "n_burn", "n_draws", "thin")
        options = {name: getattr(self, name) for name in names}
        if schedule == "minibatch":
            options |= {name: getattr(self, name) for name in ("learning_decay", "learning_offset")}
        control = self._control_of(schedule, **options)
        model, block, columns, step = self._model(X, sample_weight, schedule)
        warm = self._warm(model)
        rule: PerplexityRule | None = None
        if self.evaluate_every > 0:
            every, tokens = int(self.evaluate_every), block.total_weight
            rule = PerplexityRule(model, every, self.perp_tol, tokens)
            control = replace(control, callbacks=(*control.callbacks, rule))
        blocks: list[Any]
        if schedule == "batch":
            blocks = [block]
        elif schedule == "memoized":
            blocks = list(block.cut(int(self.n_batches)))
        else:
            blocks = list(block.cut(-(-block.n // int(self.batch_size))))

        def start(step: Step) -> Any:
            return model.init(blocks, step) if warm is None else model.adopt(warm, blocks, step)

        def keep(result: FitResult, results: list[FitResult]) -> None:
            attributes = self._attributes(model, result.params)
            if self.inference == "gibbs":
                attributes["posterior_"] = points.draws(model, results)
                if result.draws:
                    topics = sum(draw["topics"] for draw in result.draws) / len(result.draws)
                    attributes["topic_word_"] = np.ascontiguousarray(topics.T)
            else:
                attributes["bound_"] = perplexity_of(
                    model, result.params, result.lower_bound, block.total_weight
                )
            if rule is not None and rule.ended and result.stop_reason == "callback":
                result.converged, result.stop_reason = True, "tolerance"
            self._keep_fit(result, {**columns, **attributes})

        work = int(block.total_weight) * model.config.n_components * model.config.work_per_row
        watching = self._watch(model, columns)
        try:
            self._run(model, blocks, step, control, work, start, keep)
        finally:
            for callback in watching:
                callback.end()

    def _schedule(self) -> str:
        """Return the schedule that the two parameters for it say."""
        own = {"batch": "batch", "online": "minibatch"}[self.learning_method]
        if self.schedule is None or self.schedule == own:
            return own
        if self.learning_method != "batch":
            raise ValueError(
                f"learning_method={self.learning_method!r} is schedule={own!r}, but "
                f"schedule={self.schedule!r} is given, too; give one of them"
            )
        return self.schedule

    def _without_effect(self) -> dict[str, Any]:
        """Return the default of every option that does nothing on this rung and schedule."""
        return without_effect(self.inference, self._schedule())

    def _model(
        self, X: Any, sample_weight: ArrayLike | None, schedule: str = "minibatch"
    ) -> tuple[Model, Documents, dict[str, Any], Step]:
        block, columns = self._documents_to_fit(X)
        if isinstance(block, DocumentStreamBlock):
            if schedule != "minibatch":
                raise ValueError(
                    "X is read chunk by chunk, and what is kept for a document between passes is "
                    "not: use learning_method='online' (schedule='minibatch')"
                )
            sample_weight = weights_of_chunks(block.stream.weights, sample_weight)
        block = self._weighted(block, sample_weight)
        config = points.configure(
            int(self.n_components),
            block.n_words,
            self.inference,
            self.doc_topic_prior,
            self.topic_word_prior,
            int(self.max_doc_update_iter),
            float(self.mean_change_tol),
            self.dtype,
        )
        model = Model(config, Start(self.init, points.check_topics(self.topics_init, config)))
        local_rule, parameter_rule = lookup(model, self.inference, schedule)
        if local_rule in ("hard", "sampled") and isinstance(block, DocumentBlock):
            self._check_tokens(block)  # a stream's chunks are checked as they are read
        if parameter_rule == "point" and schedule == "minibatch" and np.min(config.eta) <= 1:
            raise ValueError(
                "topic_word_prior must be > 1 for point topics that are updated batch by batch: a "
                "word that has not come yet would have no probability; give a larger one, or use "
                "'mean-field'"
            )
        return model, block, columns, Step(local_rule, parameter_rule, 0, 0, self._threads())

    def _weighted(self, block: Documents, sample_weight: ArrayLike | None) -> Documents:
        weights = check_sample_weight(sample_weight, block.n, block.dtype)
        if weights is not None:
            if self.inference == "gibbs":
                raise ValueError(
                    "inference='gibbs' takes no sample_weight: it draws a topic for each token, "
                    "and a weighted document has no whole number of them; use 'mean-field', or "
                    "repeat documents"
                )
            block = block.with_weights(weights)
        if not block.total_weight > 0:
            raise ValueError("X has no tokens: all its documents are empty, or of weight zero")
        return block

    def _further(self, model: Model, X: Any, sample_weight: ArrayLike | None) -> Any:
        block = self._weighted(self._documents(X), sample_weight)
        if self.inference == "hard-em" and isinstance(block, DocumentBlock):
            self._check_tokens(block)
        return block

    def _whole(self, block: DocumentBlock, progress: Progress | None) -> float | None:
        """Return the tokens of all documents, by their number and the lengths seen so far."""
        if self.total_samples is None:
            return None
        if progress is not None:
            return float(self.total_samples * progress.whole / progress.stats["documents"][0])
        n = block.n if block.weights is None else block.weights.sum()
        return float(self.total_samples * block.total_weight / n)

    def _warm(self, model: Model) -> Params | None:
        if not self.warm_start or not hasattr(self, "components_"):
            return None
        config = model.config
        if self.components_.shape != (config.n_components, config.n_words):
            raise ValueError(
                f"warm_start=True with n_components={config.n_components} and {config.n_words} "
                f"words, but the last fit has components_ of shape {self.components_.shape}; clone "
                "the estimator first"
            )
        if self.is_posterior_:
            params = config.params("posterior", self.components_.T)
        else:
            topics = points.check_topics(self.components_, config)
            assert topics is not None
            params = config.params("point", topics)
        if config.learn_alpha == "vector":
            params["alpha"] = self.doc_topic_prior_
        return params

    def _to_converge(self) -> bool:
        return bool(self.tol > 0)  # by default, as in scikit-learn, it makes so many passes

    def _notes(self, block: DocumentBlock) -> list[str]:
        return []

    def _attributes(self, model: Model, params: Params) -> dict[str, Any]:
        return points.attributes(model, params)

    def common_start(self, X: Any, sample_weight: ArrayLike | None = None) -> dict[str, Any]:
        """Return the parameters that make every rung start where this estimator would.

        Parameters
        ----------
        X : as in `fit`
        sample_weight : array-like of shape (n_documents,), default=None

        Returns
        -------
        dict
            With `topics_init`, for `set_params`.
        """
        self._check_params()
        model, block, _, step = self._model(X, sample_weight, self._schedule())
        seed = seeds(self.random_state, 1)[0]
        start = model.init([block], Step(step.local_rule, step.parameter_rule, seed, 0, 1))
        return {"topics_init": points.attributes(model, start)["topic_word_"]}
