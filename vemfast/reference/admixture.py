"""The local step of an admixture: one document under each local rule, as the papers have it.

A document is given by the rows of its distinct words, B (n, K), where B_wk is proportional to the
probability of word w under topic k (any factor a word cancels), and their counts c (n,). Formulas
and symbols: docs/formulas/lda.md.

References
----------
D. M. Blei, A. Y. Ng, M. I. Jordan: Latent Dirichlet Allocation. JMLR 3, 2003.
M. D. Hoffman, D. M. Blei, F. Bach: Online learning for latent Dirichlet allocation. NIPS 2010.
M. Magnusson, L. Jonsson, M. Villani, D. Broman: Sparse partially collapsed MCMC for parallel
inference in topic models. JCGS 27, 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from vemfast.reference.random import Stream

__all__ = [
    "Proportions",
    "dirichlet_entropy",
    "dirichlet_multinomial",
    "expected_log",
    "factorised",
    "hard",
    "sampled",
    "shares_of",
]

Array = NDArray[np.float64]
Labels = NDArray[np.int32]

LEAST_SHARE = 1e-290  # of e and of the norms: their reciprocals times any count are numbers


@dataclass(frozen=True)
class Proportions:
    """q(θ) = Dirichlet(gamma) of one document, and what follows from it for its words.

    Attributes
    ----------
    gamma : ndarray of shape (K,)
    phi : ndarray of shape (n, K)
        q(z) of each distinct word.
    log_norms : ndarray of shape (n,)
        log Σ_k exp(E[log θ_k]) B_wk.
    """

    gamma: Array
    phi: Array
    log_norms: Array


def factorised(
    rows: Array, counts: Array, alpha: Array, gamma: Array, max_inner: int, inner_tol: float
) -> Proportions:
    """Iterate γ = α + Σ_w c_w φ_w, φ_wk ∝ exp(ψ(γ_k)) B_wk, from `gamma`: coordinate ascent.

    φ is never stored: with e_k = exp(ψ(γ_k)) it is e_k B_wk / norm_w. The iteration ends when the
    mean of the changes is below `inner_tol`, as scikit-learn's.
    """
    for _ in range(max_inner):
        shares = shares_of(gamma)
        norms = np.maximum(rows @ shares, LEAST_SHARE)
        moved = alpha + shares * ((counts / norms) @ rows)
        change = np.abs(moved - gamma).mean()
        gamma = moved
        if change < inner_tol:
            break
    shares = shares_of(gamma)
    norms = np.maximum(rows @ shares, LEAST_SHARE)
    phi = rows * shares / norms[:, None]
    return Proportions(gamma, phi, np.log(norms) + expected_log(gamma).max())


def shares_of(gamma: Array) -> Array:
    """Return exp(ψ(γ)), divided by its largest: all of it may underflow where γ is tiny."""
    psi = digamma(gamma)
    return np.asarray(np.maximum(np.exp(psi - psi.max()), LEAST_SHARE))


def hard(
    rows: Array, counts: Array, alpha: Array, labels: Labels | None, max_sweeps: int
) -> Labels:
    """Return the topic of each token: ascent on log p(w, z | α, β), one token at a time.

    θ is integrated out, which leaves p(z_i = k | other z, w) ∝ (n_k + α_k) B_wk with n_k the other
    tokens in topic k. Without labels to start from, the first sweep adds the tokens one by one.
    """
    words, z, tokens = _tokens(rows, counts, alpha, labels)
    is_cold = labels is None
    for sweep in range(max_sweeps):
        before = z.copy()
        for i, w in enumerate(words):
            if not is_cold or sweep > 0:
                tokens[z[i]] -= 1
            z[i] = np.argmax((tokens + alpha) * rows[w])  # the first of equals
            tokens[z[i]] += 1
        if (not is_cold or sweep > 0) and np.array_equal(z, before):
            break
    return z


def sampled(
    rows: Array, counts: Array, alpha: Array, labels: Labels | None, stream: Stream
) -> Labels:
    """Return the topic of each token after one Gibbs sweep, one uniform a token.

    Without labels to start from, each token is drawn given those before it.
    """
    words, z, tokens = _tokens(rows, counts, alpha, labels)
    for i, w in enumerate(words):
        if labels is not None:
            tokens[z[i]] -= 1
        cumulated = np.cumsum((tokens + alpha) * rows[w])
        found = np.searchsorted(cumulated, stream.uniform() * cumulated[-1], side="right")
        z[i] = min(found, len(alpha) - 1)
        tokens[z[i]] += 1
    return z


def _tokens(
    rows: Array, counts: Array, alpha: Array, labels: Labels | None
) -> tuple[NDArray[np.int64], Labels, Array]:
    """Return the word of each token, its label and the tokens a topic."""
    words = np.repeat(np.arange(len(rows)), counts.astype(np.int64))
    if labels is None:
        return words, np.zeros(words.size, dtype=np.int32), np.zeros(alpha.size)
    return words, labels.copy(), np.bincount(labels, minlength=alpha.size).astype(np.float64)


# ---- Dirichlet distributions -----------------------------------------------------------------


def expected_log(gamma: Array) -> Array:
    """Return E[log θ] under Dirichlet(gamma)."""
    return np.asarray(digamma(gamma) - digamma(gamma.sum()))


def dirichlet_entropy(gamma: Array) -> float:
    """Return the entropy of Dirichlet(gamma), nats."""
    log_norm = gammaln(gamma).sum() - gammaln(gamma.sum())
    return float(log_norm - (gamma - 1) @ expected_log(gamma))


def dirichlet_multinomial(tokens: Array, alpha: Array) -> float:
    """Return log p(z | α) of labels with so many tokens a topic, θ integrated out."""
    total = gammaln(alpha.sum()) - gammaln(alpha.sum() + tokens.sum())
    return float(total + (gammaln(alpha + tokens) - gammaln(alpha)).sum())
