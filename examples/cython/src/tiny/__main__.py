"""Run the three loops on drawn data; each is checked against vemfast or against the truth."""

import numpy as np

import vemfast
from tiny import loops

rng = np.random.default_rng(0)

# A mixture of two exponentials.
x = np.concatenate([rng.exponential(1.0, 3000), rng.exponential(20.0, 2000)])
weights, rates = np.array([0.5, 0.5]), np.array([2.0, 0.1])
trace = loops.exponential_mixture(x, weights, rates, 200)
assert all(np.diff(trace) > -1e-9 * abs(trace[-1])), "the likelihood fell"
print("exponentials: weights", weights.round(2), "means", (1 / rates).round(1))
assert np.allclose(weights, [0.6, 0.4], atol=0.05)

# Sequences of a hidden Markov model with Gaussian emissions.
model = vemfast.GaussianHMM(3, "spherical", random_state=0, n_iter=20, tol=0)
X, lengths = (
    rng.normal(size=(1200, 2)) + np.repeat(rng.integers(0, 3, 120) * 4.0, 10)[:, None],
    [300] * 4,
)
model.fit(X, lengths)
deviation = ((X[:, None] - model.means_) ** 2).sum(axis=2)
variances = model.covars_
scores = -0.5 * deviation / variances - np.log(2 * np.pi * variances)
posteriors, paths, evidence = loops.smooth_all(
    model.startprob_, model.transmat_, scores.reshape(4, 300, 3)
)
assert np.allclose(posteriors.reshape(-1, 3), model.predict_proba(X, lengths), atol=1e-8)
assert np.array_equal(paths.ravel(), model.predict(X, lengths))
assert np.isclose(evidence.sum(), model.score(X, lengths))
print("chain: log evidence", round(evidence.sum(), 2))

# The proportions of one document.
topics = np.ascontiguousarray(rng.dirichlet(np.full(50, 0.2), 4).T)
words = np.arange(0, 50, 2, dtype=np.int32)
gamma, bound = loops.proportions(topics, words, np.ones(words.size), np.full(4, 0.1))
assert np.isclose(gamma.sum(), words.size + 0.4)
print("document: gamma", gamma.round(2), "bound", round(bound, 2))

# Errors come as exceptions.
try:
    loops.proportions(topics, words, -np.ones(words.size), np.full(4, 0.1))
except ValueError as error:
    print("refused:", error)
else:
    raise AssertionError("negative counts were taken")
assert np.allclose(loops.special(1.0), [-np.euler_gamma, np.exp(-np.euler_gamma), 0.0])
print("all fine")
