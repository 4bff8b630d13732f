"""Between what users give and see of a latent Dirichlet allocation, and what the model computes on.

Users have topics as rows, (n_components, n_words), as scikit-learn does; the model as columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from vemfast.documents import DocumentBlock
from vemfast.models.lda import LatentDirichletAllocation
from vemfast.models.lda_config import LdaConfig
from vemfast.stats import Params

__all__ = [
    "TopicDraws",
    "attributes",
    "check_topics",
    "configure",
    "draws",
    "exp_expected_log",
    "fitted",
    "sample",
    "shown_prior",
    "split_tokens",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TopicDraws:
    """Kept draws of a Gibbs sampler.

    Attributes
    ----------
    topics : ndarray of shape (n_chains, n_draws, n_components, n_words)
    doc_topic_prior : ndarray of shape (n_chains, n_draws, n_components)
    log_joint : ndarray of shape (n_chains, n_draws)
        log p(w, z given α, β) + log p(β), nats, z the topics of the tokens at that draw.
    """

    topics: Array
    doc_topic_prior: Array
    log_joint: Array


# On point rungs 1 is maximum likelihood, which gives unseen words no probability at all.
_POINT_ETA = 1.01
# A word of a given topic has at least this share of the largest one, or it could never get any.
_LEAST_SHARE = 1e-10


def configure(
    n_components: int,
    n_words: int,
    inference: str,
    doc_topic_prior: Any,
    topic_word_prior: Any,
    max_inner: int,
    inner_tol: float,
    dtype: str,
) -> LdaConfig:
    """Return the configuration for what an estimator was given.

    Raises
    ------
    ValueError
        If a prior cannot be, with the parameter's name.
    """
    K, V = n_components, n_words
    learn_alpha, learn_eta = None, None
    alpha: Any = 1.0 / K
    if isinstance(doc_topic_prior, str):
        learn_alpha = {"learn": "vector", "learn-symmetric": "symmetric"}[doc_topic_prior]
    elif doc_topic_prior is not None:
        alpha = _positive("doc_topic_prior", doc_topic_prior)
        if alpha.shape not in ((), (K,)):
            raise ValueError(
                f"doc_topic_prior has shape {alpha.shape}; give one number, or one for each of "
                f"n_components={K} topics"
            )
    eta: Any = 1.0 / K if inference in ("mean-field", "gibbs") else _POINT_ETA
    if isinstance(topic_word_prior, str):
        learn_eta, eta = "symmetric", 1.0 / K
    elif topic_word_prior is not None:
        eta = _positive("topic_word_prior", topic_word_prior)
        if eta.shape not in ((), (V,), (K, V)):
            raise ValueError(
                f"topic_word_prior has shape {eta.shape}; give one number, one for each of "
                f"{V} words, or an array of shape (n_components, n_words) = ({K}, {V})"
            )
        if eta.ndim:
            eta = eta[:, None] if eta.ndim == 1 else np.ascontiguousarray(eta.T)
    return LdaConfig(K, V, alpha, learn_alpha, eta, learn_eta, max_inner, inner_tol, dtype)


def check_topics(topics: ArrayLike | None, config: LdaConfig) -> Array | None:
    """Return given topics as the model has them, or None.

    Parameters
    ----------
    topics : array-like of shape (n_components, n_words), or None
        Not negative. Each row is divided by its sum.
    """
    if topics is None:
        return None
    rows = np.asarray(topics, dtype=np.float64)
    if rows.shape != (config.n_components, config.n_words):
        raise ValueError(
            f"topics_init has shape {rows.shape}, expected (n_components, n_words) = "
            f"({config.n_components}, {config.n_words})"
        )
    bad = ~(np.isfinite(rows) & (rows >= 0))
    if bad.any():
        topic, word = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"topics_init must be finite and >= 0; topic {topic}, word {word} is "
            f"{rows[topic, word]}"
        )
    largest = rows.max(axis=1, keepdims=True)
    if not (largest > 0).all():
        raise ValueError(f"topics_init has no word in topic {int(np.argmin(largest))}")
    rows = np.maximum(rows / largest, _LEAST_SHARE)
    return np.ascontiguousarray((rows / rows.sum(axis=1, keepdims=True)).T)


def attributes(model: Any, params: Params) -> dict[str, Any]:
    """Return the fitted attributes that describe parameters."""
    is_posterior = params.kind == "posterior"
    components = np.ascontiguousarray(params["lambda" if is_posterior else "topics"].T)
    topics = components / components.sum(axis=1, keepdims=True) if is_posterior else components
    return {
        "components_": components,
        "is_posterior_": is_posterior,
        "topic_word_": topics,
        "doc_topic_prior_": np.array(params["alpha"]),
        "topic_word_prior_": shown_prior(model.config, params),
    }


def shown_prior(config: LdaConfig, params: Params) -> Any:
    """Return the prior of the topics as users have it: a number, (n_words,) or (K, n_words)."""
    eta = float(params["eta_scale"][0]) * np.asarray(config.prior)
    if eta.ndim == 0:
        return float(eta)
    return np.ascontiguousarray(eta[:, 0] if eta.shape[1] == 1 else eta.T)


def exp_expected_log(components: Array, is_posterior: bool) -> Array:
    """Return exp(E[log β]) of a posterior's pseudo-counts, or β itself."""
    if not is_posterior:
        return np.array(components)
    sums = components.sum(axis=1, keepdims=True)
    logs: Array = digamma(components) - digamma(sums)
    return np.exp(logs)


def draws(model: Any, results: Sequence[Any]) -> TopicDraws:
    """Return the kept draws of all chains."""
    K, V = model.config.n_components, model.config.n_words
    n_draws = min(len(result.draws) for result in results)  # fewer where chains were interrupted
    chains = [result.draws[:n_draws] for result in results]
    topics = np.empty((len(chains), n_draws, K, V))
    alpha = np.empty((len(chains), n_draws, K))
    for c, chain in enumerate(chains):
        for i, draw in enumerate(chain):
            topics[c, i], alpha[c, i] = draw["topics"].T, draw["alpha"]
    log_joint = np.array([result.draw_objectives[:n_draws] for result in results])
    return TopicDraws(topics, alpha, log_joint.reshape(len(chains), n_draws))


def fitted(
    table: Array, is_posterior: bool, alpha: Array, max_inner: int, inner_tol: float, dtype: str
) -> tuple[LatentDirichletAllocation, Params]:
    """Return a model that can infer documents, and its parameters.

    Parameters
    ----------
    table : ndarray of shape (n_components, n_words)
        Pseudo-counts of a posterior, or probabilities.
    """
    K, V = table.shape
    config = LdaConfig(K, V, alpha, None, 1.0, None, max_inner, inner_tol, dtype)
    kind = "posterior" if is_posterior else "point"
    return LatentDirichletAllocation(config), config.params(kind, table.T)


def split_tokens(
    block: DocumentBlock, rng: np.random.Generator
) -> tuple[DocumentBlock, DocumentBlock]:
    """Return two blocks: half of each document's tokens, drawn at random, and the other half.

    Of an odd number the second has one more; so a document of a single token is all held out.
    """
    if not block.is_whole:
        entry = int(np.argmax(block.counts != np.floor(block.counts)))
        raise ValueError(
            f"document completion splits tokens, so counts must be whole numbers; word "
            f"{block.indices[entry]} has a count of {block.counts[entry]:g}"
        )
    counts = block.counts.astype(np.int64)
    token = np.repeat(np.arange(counts.size), counts)  # the entry that it is of
    sizes = np.diff(np.concatenate(([0], np.cumsum(counts)))[block.indptr])
    document = np.repeat(np.arange(block.n), sizes)
    # Tokens shuffled within documents.
    order = np.lexsort((np.asarray(rng.random(token.size)), document))
    rank = np.arange(token.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = rank < np.repeat(sizes // 2, sizes)
    seen = np.bincount(token[order][first], minlength=counts.size)
    return tuple(  # type: ignore[return-value]
        DocumentBlock(
            block.indptr, block.indices, part, block.weights, block.offset, block.n_words,
            block.dtype,
        )
        for part in (seen, counts - seen)
    )  # fmt: skip


def sample(
    topics: Array, alpha: Array, lengths: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Any, Array]:
    """Return documents of these lengths, as sparse counts, and their proportions."""
    theta = rng.dirichlet(alpha, lengths.size)
    theta = np.where(np.isfinite(theta), theta, 1.0 / alpha.size)
    indptr, words, counts = [0], [], []
    for length, own in zip(lengths, theta, strict=True):
        mixed = own @ topics
        tokens = rng.multinomial(length, mixed / mixed.sum())
        found = np.flatnonzero(tokens)
        words.append(found)
        counts.append(tokens[found])
        indptr.append(indptr[-1] + found.size)
    shape = (lengths.size, topics.shape[1])
    data = np.concatenate(counts).astype(np.int64), np.concatenate(words), np.array(indptr)
    return scipy.sparse.csr_array(data, shape=shape), theta


def _positive(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value, dtype=np.float64)
    bad = ~(np.isfinite(array) & (array > 0))
    if bad.any():
        raise ValueError(f"{name} must be finite and > 0; it holds {float(array[bad].flat[0])!r}")
    return array
