"""What is done with fitted topics: proportions and scores of documents, top words, samples."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from vemfast.document_streams import DocumentStream, DocumentStreamBlock, is_document_stream
from vemfast.documents import DocumentBlock, as_documents, is_corpus
from vemfast.estimators.base import (
    as_generator,
    check_count,
    check_sample_weight,
    columns_of,
    refuse_text,
    weights_of_chunks,
)
from vemfast.estimators.held_out_score import HeldOutScore
from vemfast.estimators.online import OfEstimates, OnlineEstimator
from vemfast.models import lda_points as points
from vemfast.models.lda import LatentDirichletAllocation as Model
from vemfast.models.lda import log_predictive
from vemfast.stats import Params
from vemfast.streams import ChunkWeights, each_chunk

__all__ = ["TopicEstimator"]

Array = NDArray[np.float64]
Documents = DocumentBlock | DocumentStreamBlock


class TopicEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, OnlineEstimator):  # type: ignore[misc]
    """Base of an estimator of topics: the data, and the use of a fit."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    @property
    def exp_dirichlet_component_(self) -> Array:
        """exp(E[log β]) of the topics, shape (n_components, n_words)."""
        check_is_fitted(self)
        return points.exp_expected_log(self.components_, self.is_posterior_)

    # ---- documents ---------------------------------------------------------------------------

    def _documents_to_fit(self, X: Any) -> tuple[Documents, dict[str, Any]]:
        """Return documents as a block, and the attributes that describe their columns."""
        return self._stream_of_documents(X) if is_document_stream(X) else self._matrix_to_fit(X)

    def _matrix_to_fit(self, X: Any) -> tuple[DocumentBlock, dict[str, Any]]:
        if is_corpus(X):
            block = as_documents(X, dtype=self.dtype)
            return block, {"n_features_in_": block.n_words}
        return columns_of(
            self, lambda scratch: as_documents(self._validated(scratch, X, True), dtype=self.dtype)
        )

    def _stream_of_documents(self, X: Any) -> tuple[DocumentStreamBlock, dict[str, Any]]:
        scratch = copy.copy(self)
        columns: dict[str, Any] = {}

        def convert(chunk: Any) -> DocumentBlock:
            if columns:
                block = scratch._documents(chunk)
            else:
                block, found = scratch._matrix_to_fit(chunk)
                columns.update(found)
                scratch.__dict__.pop("feature_names_in_", None)
                scratch.__dict__.update(found)
            if self.inference == "hard-em":
                self._check_tokens(block)
            return block

        stream = DocumentStream(X, convert)
        return stream.block(), columns

    def _documents(self, X: Any) -> DocumentBlock:
        """Return documents of the words that were fitted."""
        check_is_fitted(self)
        if is_corpus(X):
            return as_documents(X, None, self.n_features_in_, self.dtype)
        return as_documents(self._validated(self, X, False), dtype=self.dtype)

    @staticmethod
    def _validated(estimator: Any, X: Any, reset: bool) -> Any:
        refuse_text(X)
        return validate_data(
            estimator,
            X,
            reset=reset,
            dtype=None,
            accept_sparse=True,
            ensure_all_finite=False,
            estimator=type(estimator).__name__,
        )

    def _check_tokens(self, block: DocumentBlock) -> None:
        if block.is_whole:
            return
        entry = int(np.argmax(block.counts != np.floor(block.counts)))
        document = int(np.searchsorted(block.indptr, entry, side="right")) - 1
        raise ValueError(
            f"document {document}, word {block.indices[entry]} has a count of "
            f"{block.counts[entry]:g}, but inference={self.inference!r} gives each token a topic, "
            "so counts must be whole numbers; use 'mean-field' or 'variational-em'"
        )

    def _watch(self, model: Model, columns: dict[str, Any]) -> list[HeldOutScore]:
        """Tell callbacks that score held-out documents how to; return them."""
        given = self.callbacks
        callbacks = (given,) if callable(given) else tuple(given or ())
        watching = [callback for callback in callbacks if isinstance(callback, HeldOutScore)]
        runs = self.n_chains if self.inference == "gibbs" else self.n_init
        if watching and runs > 1:
            raise ValueError(
                "HeldOutScore has room for one curve: give it to a fit with n_init=1, n_chains=1"
            )
        scratch = copy.copy(self)
        scratch.__dict__.pop("feature_names_in_", None)
        scratch.__dict__.update(columns)
        for callback in watching:
            try:
                halves = scratch._halves(callback.X, callback.random_state)
            except (TypeError, ValueError) as error:
                raise type(error)(f"held-out documents: {error}") from error

            def score(params: Params, halves: Any = halves) -> float:
                scratch.__dict__.update(self._attributes(model, params))
                return scratch._completion(*halves)

            callback.begin(score)
        return watching

    @OfEstimates
    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Update the topics by one step with some more documents.

        Stochastic variational inference (Hoffman et al. 2010; "mean-field"), or stepwise EM for
        point topics: the statistics of the documents, scaled to `total_samples`, are blended with
        those of earlier calls, call t + 1 at the rate (t + `learning_offset`) **
        -`learning_decay`. The first call finds the start (`init`) in its documents alone, so let
        it have some hundreds. It begins anew, also after a `fit`, whose topics it starts from with
        ``warm_start=True``. What `fit` reads for its passes has no part here: `max_iter`, `tol`,
        `n_init`, the batches and `callbacks`.

        Parameters
        ----------
        X : as in `fit`
            A chunk of any size, such as `vemfast.io.stream_corpus` yields of a file that is larger
            than memory.
        y : None
            Ignored; for scikit-learn's interface.
        sample_weight : array-like of shape (n_documents,), default=None

        Returns
        -------
        self
            With the attributes of a fit. `lower_bound_` is a noisy estimate of the objective for
            `total_samples` documents, `lower_bounds_` its values after each call, which may fall.

        Raises
        ------
        ValueError
            If the chunk or a parameter is bad, or does not go with earlier calls, or the rung is
            "gibbs". Nothing changes.
        NumericalError
            If the arithmetic breaks down on these documents. Nothing changes.
        """
        with self._only_fit():
            self._partial_fit(X, sample_weight, None)
        return self

    # ---- use ---------------------------------------------------------------------------------

    def _in_turn(self, X: Any, weights: ChunkWeights | None = None) -> Iterator[DocumentBlock]:
        """Yield documents as a block, or those of one chunk of a stream after another.

        `weights` gets those that come with chunks.
        """
        if is_document_stream(X):
            yield from each_chunk(X, self._documents, weights)
        else:
            yield self._documents(X)

    def _inferred(self, block: DocumentBlock) -> tuple[Array, Array]:
        """Return γ and bounds of documents."""
        model, params = self._fitted()
        gamma, bounds = model.infer(params, block, self._threads())
        return np.asarray(gamma, dtype=np.float64), np.asarray(bounds)

    def _proportions(self, block: DocumentBlock, normalize: bool = True) -> Array:
        model, params = self._fitted()
        return model.proportions(params, block, self._threads(), normalize)

    def _fitted(self) -> tuple[Model, Params]:
        return points.fitted(
            self.components_ if self.is_posterior_ else self.topic_word_,
            self.is_posterior_,
            self.doc_topic_prior_,
            int(self.max_doc_update_iter),
            float(self.mean_change_tol),
            self.dtype,
        )

    def transform(self, X: Any, *, normalize: bool = True) -> Array:
        """Return the topic proportions of documents, shape (n_documents, n_components).

        Parameters
        ----------
        X : as in `fit`
            Chunks are read once, so an iterator of them will do.
        normalize : bool, default=True
            Whether rows add up to one, E[θ], or are the parameters γ of q(θ) = Dirichlet(γ).
        """
        found = [self._proportions(block, bool(normalize)) for block in self._in_turn(X)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        normalize: bool = True,
    ) -> Array:
        """Fit the topics, and return the proportions of the documents by `transform`."""
        fitted = self.fit(X, y, sample_weight)
        return fitted.transform(X, normalize=normalize)  # type: ignore[no-any-return]

    def score_samples(self, X: Any) -> Array:
        """Return a bound on log p(w_d) of each document given the topics, nats.

        -inf for a document with a word that no topic has.
        """
        return np.concatenate([self._inferred(block)[1] for block in self._in_turn(X)])

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the (weighted) sum of `score_samples`, nats.

        The bound given the topics: unlike scikit-learn's it leaves the topics' own share out, so
        that parts of a test set add up.
        """
        own = ChunkWeights()
        bounds = np.concatenate([self._inferred(block)[1] for block in self._in_turn(X, own)])
        given = weights_of_chunks(own.joined(), sample_weight)
        weights = check_sample_weight(given, bounds.size)
        if weights is None:
            return float(bounds.sum())
        return float(bounds[weights > 0] @ weights[weights > 0])

    def perplexity(self, X: Any, sub_sampling: bool = False) -> float:
        """Return exp(-score / tokens): lower is better, 1 is certain.

        Parameters
        ----------
        X : as in `fit`
            Chunks may come with weights.
        sub_sampling : bool, default=False
            scikit-learn scales score and tokens to `total_samples` where it is true. With the
            topics' own share left out that is the same number.
        """
        own = ChunkWeights()
        found = [(self._inferred(block)[1], block.tokens) for block in self._in_turn(X, own)]
        bounds, lengths = (np.concatenate(part) for part in zip(*found, strict=True))
        weights = check_sample_weight(own.joined(), bounds.size)
        if weights is None:
            weights = np.ones(bounds.size)
        counted = weights > 0  # a document of no weight may have the bound -inf
        bound, tokens = (weights[counted] @ part[counted] for part in (bounds, lengths))
        if not tokens > 0:
            raise ValueError("X has no tokens, so there is nothing to be perplexed by")
        with np.errstate(over="ignore"):
            return float(np.exp(-bound / tokens))

    def held_out_score(self, X: Any, *, random_state: Any = 0) -> float:
        """Return the log probability of held-out halves of documents, nats a token.

        Document completion: half of each document's tokens, drawn at random, infer its proportions,
        and the other half is scored by the expected proportions and topics. Comparable between all
        rungs, and to other libraries.

        Parameters
        ----------
        X : as in `fit`, but no chunks
            Of whole counts.
        random_state : int, RandomState, Generator or None, default=0
            Of the halves.
        """
        return self._completion(*self._halves(X, random_state))

    def _halves(self, X: Any, random_state: Any) -> tuple[DocumentBlock, DocumentBlock]:
        block = self._documents(_in_memory(X))
        seen, held = points.split_tokens(block, as_generator(random_state))
        if not held.total_weight > 0:
            raise ValueError("X has no tokens to hold out")
        return seen, held

    def _completion(self, seen: DocumentBlock, held: DocumentBlock) -> float:
        log_p = log_predictive(self._proportions(seen), self.topic_word_.T, held, self._threads())
        return float(np.sum(log_p) / held.total_weight)

    def top_words(
        self, vocabulary: Sequence[Any] | Mapping[Any, Any] | None = None, n: int = 10
    ) -> list[list[Any]]:
        """Return the likeliest words of each topic, the likeliest first.

        Parameters
        ----------
        vocabulary : sequence or mapping, default=None
            The word of each number; or a mapping from words to numbers, as CountVectorizer's
            `vocabulary_`, or from numbers to words, as a gensim dictionary. None: the column names
            of the fit if there were any, else word numbers.
        n : int, default=10
        """
        check_is_fitted(self)
        n = check_count("n", n)
        V = self.topic_word_.shape[1]
        if vocabulary is None:
            vocabulary = getattr(self, "feature_names_in_", range(V))
        words = _words(vocabulary, V)
        order = np.argsort(-self.topic_word_, axis=1, kind="stable")[:, : int(n)]
        return [[words[w] for w in topic] for topic in order.tolist()]

    def to_pyldavis(
        self, X: Any, vocabulary: Sequence[Any] | Mapping[Any, Any] | None = None
    ) -> dict[str, Any]:
        """Return what ``pyLDAvis.prepare`` takes: ``pyLDAvis.prepare(**lda.to_pyldavis(X))``.

        Documents without tokens and words that X does not have are left out, as pyLDAvis divides by
        their counts; the probabilities of the other words are scaled to one.

        Parameters
        ----------
        X : as in `fit`, but no chunks
        vocabulary : sequence or mapping, default=None
            As in `top_words`.

        Returns
        -------
        dict
            `topic_term_dists` (n_components, n_used), `doc_topic_dists` (n_used_documents,
            n_components), `doc_lengths`, `vocab`, `term_frequency`.
        """
        block = self._documents(_in_memory(X))
        if not block.total_weight > 0:
            raise ValueError("X has no tokens to show")
        theta = self._proportions(block)
        V = self.topic_word_.shape[1]
        if vocabulary is None:
            vocabulary = getattr(self, "feature_names_in_", range(V))
        words = _words(vocabulary, V)
        frequency = np.bincount(block.indices, block.counts, minlength=V)
        used, some = np.flatnonzero(frequency > 0), block.tokens > 0
        topics = self.topic_word_[:, used]
        return {
            "topic_term_dists": topics / topics.sum(axis=1, keepdims=True),
            "doc_topic_dists": theta[some],
            "doc_lengths": np.asarray(block.tokens)[some],
            "vocab": [str(words[w]) for w in used.tolist()],
            "term_frequency": frequency[used],
        }

    def sample(self, n_samples: int = 1, length: ArrayLike = 100) -> tuple[Any, Array]:
        """Draw documents at the point attributes.

        Parameters
        ----------
        n_samples : int, default=1
        length : int or array-like of shape (n_samples,), default=100
            Tokens a document, which the model does not say.

        Returns
        -------
        X : sparse array of shape (n_samples, n_words)
            Counts.
        theta : ndarray of shape (n_samples, n_components)
            Topic proportions.
        """
        check_is_fitted(self)
        n_samples = check_count("n_samples", n_samples)
        lengths = np.asarray(length)
        if lengths.dtype.kind not in "iu" or (lengths < 0).any():
            raise ValueError(f"length must be whole numbers >= 0; got {length!r}")
        if lengths.shape not in ((), (n_samples,)):
            raise ValueError(f"length has shape {lengths.shape}, expected () or ({n_samples},)")
        lengths = np.broadcast_to(lengths, (n_samples,)).astype(np.int64)
        rng = as_generator(self.random_state)
        return points.sample(self.topic_word_, self.doc_topic_prior_, lengths, rng)

    def component_estimates(self) -> Array:
        """Return each topic's probabilities of words, one row a topic."""
        check_is_fitted(self)
        return np.array(self.topic_word_)

    def save(self, path: Any) -> None:
        """Write the fitted topics to a safetensors file; `vemfast.load` reads it."""
        from vemfast.io import save

        save(self, path)


def _in_memory(X: Any) -> Any:
    if is_document_stream(X):
        raise ValueError("X comes in chunks, but this takes documents in memory: one matrix")
    return X


def _words(vocabulary: Any, n_words: int) -> list[Any]:
    """Return the word of each number."""
    if hasattr(vocabulary, "items"):
        items = list(vocabulary.items())
        if items and isinstance(items[0][1], (Integral, np.integer)):
            items = [(number, word) for word, number in items]
        found = dict(items)
        missing = [number for number in range(n_words) if number not in found]
        if missing:
            raise ValueError(f"vocabulary has no word for number {missing[0]}")
        return [found[number] for number in range(n_words)]
    words = list(vocabulary)
    if len(words) != n_words:
        raise ValueError(f"vocabulary has {len(words)} words, but the topics have {n_words}")
    return words
