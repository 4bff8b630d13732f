"""The ladder measured: each rung's seconds, held-out score and error against a long sampler.

The textbook orders the rungs from accurate and slow (gibbs) to inaccurate and fast (hard-em).
Here every rung of a model starts at the same parameters and fits the same data. "held-out" is the
mean log predictive density of data that no fit saw, in nats a row (step, token; topics by document
completion): higher is better. "error" is the root mean square difference of the estimates from
those of a gibbs run ten times as long, components matched, in units of the model's spread.
"out of order" lists rungs that beat one above them: those held out better by more than
0.001 nats, or those that took a tenth longer than one above.

The linear autoencoder has no sampler, and its em is exact: errors are those of the covariance of x,
taken from em, and the held-out densities are exact for every rung. The other two rungs make 100
passes of Adam.

Data: drawn from the model with components that overlap, so that rungs differ; and real: Iris and
the handwritten digits of scikit-learn, the eruptions of Old Faithful in order of time, and words of
the docstrings of Python's standard library. Parts (`--only`): the names of cases. With
VEMFAST_LADDER=folder the long runs are kept there, so that a later run times the rungs alone.
"""

from __future__ import annotations

import os
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import vemfast
from benchmarks.timing import Sample
from benchmarks.topics import Quotient, Record, Settings, record
from vemfast.inference.methods import METHODS

TITLE = "The ladder, measured"
LONGER = 10  # the sampler that errors are taken from, in runs of the usual length
NOTICEABLE = 1e-3  # nats
SLOWER = 1.1  # times: less is noise
FAITHFUL = Path(__file__).resolve().parents[2] / "tests" / "data" / "faithful.csv"


@dataclass(frozen=True)
class Case:
    """A model and its data.

    Attributes
    ----------
    title : str
    estimator : object
        At its start: every rung begins there.
    train, test : tuple
        Arguments of `fit` and of `score`.
    score : callable of (model, *test)
    estimates : callable of a model, (K, p) in units of its spread
    """

    title: str
    estimator: Any
    train: tuple[Any, ...]
    test: tuple[Any, ...]
    score: Callable[..., float]
    estimates: Callable[[Any], Any]


def _mixture(title: str, estimator: Any, X: Any, is_test: Any) -> Case:
    train, test = X[~is_test], X[is_test]
    begin = clone(estimator).set_params(**estimator.common_start(train))
    return Case(
        title,
        begin,
        (train,),
        (test,),
        lambda model, held: float(getattr(model, "held_out_score", model.score)(held)),
        lambda model: model.component_estimates(),
    )


def _fifth(n: int) -> Any:
    return np.arange(n) % 5 == 0


def gaussians(scale: float) -> Case:
    """Draw four Gaussians that overlap, few rows."""
    import vemfast

    rng = np.random.default_rng(0)
    n = round(1000 * scale)
    centres = rng.normal(0, 1.5, (4, 3))
    X = centres[rng.integers(4, size=5 * n)] + rng.normal(size=(5 * n, 3))
    is_test = np.arange(5 * n) >= n
    model = vemfast.GaussianMixture(4, tol=1e-6, max_iter=2000, random_state=0)
    return _mixture(f"Gaussian mixture, drawn: {n:,} x 3, 4 full", model, X, is_test)


def iris(scale: float) -> Case:
    """Take Fisher's irises."""
    from sklearn.datasets import load_iris

    import vemfast

    X = load_iris().data
    model = vemfast.GaussianMixture(3, tol=1e-6, max_iter=2000, random_state=0)
    return _mixture("Gaussian mixture, Iris: 120 x 4, 3 full", model, X, _fifth(len(X)))


def bits(scale: float) -> Case:
    """Take the digits, black and white."""
    from sklearn.datasets import load_digits

    import vemfast

    X = (load_digits().data > 7).astype(np.float64)
    X = X[: round(len(X) * scale)]
    model = vemfast.BernoulliMixture(
        20, tol=1e-6, max_iter=2000, random_state=0, alpha_prior=1.1, beta_prior=1.1
    )
    title = f"Bernoulli mixture, digits: {np.sum(~_fifth(len(X))):,} x 64, 20"
    return _mixture(title, model, X, _fifth(len(X)))


def counts(scale: float) -> Case:
    """Draw topics that share words, and short documents."""
    import vemfast

    rng = np.random.default_rng(1)
    n = round(1500 * scale)
    topics = rng.dirichlet(np.full(400, 0.1), 10)
    theta = rng.dirichlet(np.full(10, 0.2), n)
    X = np.array([rng.multinomial(60, p) for p in theta @ topics])
    title = f"Topics, drawn: {np.sum(~_fifth(n)):,} documents of 60 tokens, 10 topics"
    return _mixture(title, _topics(vemfast, 10), X, _fifth(n))


def docstrings(scale: float) -> Case:
    """Take the docstrings of the standard library."""
    import vemfast
    from vemfast.cli import demo_topics

    X, _ = demo_topics.corpus(demo_topics.docstrings(Path(sysconfig.get_path("stdlib"))))
    X = X[: round(X.shape[0] * scale)]
    title = f"Topics, docstrings: {np.sum(~_fifth(X.shape[0])):,} documents, 20 topics"
    return _mixture(title, _topics(vemfast, 20), X, _fifth(X.shape[0]))


def _topics(library: Any, k: int) -> Any:
    return library.LatentDirichletAllocation(
        k, max_iter=100, doc_topic_prior=0.2, topic_word_prior=1.05, random_state=0
    )


def _chain(title: str, k: int, X: Any, lengths: Any, is_test: Any) -> Case:
    """Return a Gaussian chain; every rung starts at a mixture's components."""
    import vemfast

    ends = np.cumsum(lengths)
    held = np.repeat(is_test, lengths)
    train, test = X[~held], X[held]
    begin = vemfast.GaussianMixture(k, covariance_type="diag", random_state=0, max_iter=50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        begin.fit(train)
    model = vemfast.GaussianHMM(
        k,
        "diag",
        startprob_init=np.full(k, 1 / k),
        transmat_init=np.full((k, k), 0.3 / k) + 0.7 * np.eye(k),
        means_init=begin.means_,
        precisions_init=begin.precisions_,
        tol=1e-6,
        n_iter=2000,
        random_state=0,
    )
    spread = X.std(axis=0)
    assert ends[-1] == len(X)
    return Case(
        title,
        model,
        (train, lengths[~is_test]),
        (test, lengths[is_test]),
        lambda own, rows, parts: float(own.score(rows, parts)) / len(rows),
        lambda own: np.asarray(own.means_) / spread,
    )


def chain(scale: float) -> Case:
    """Draw a chain whose states overlap."""
    rng = np.random.default_rng(2)
    S, T, k = round(50 * scale) + 10, 20, 4
    states = rng.integers(k, size=S * T)[np.cumsum(rng.random(S * T) < 0.2)]
    X = rng.normal(0, 1.0, (k, 2))[states] + rng.normal(size=(S * T, 2)) * 0.8
    is_test = np.arange(S) >= S // 3
    title = f"Hidden Markov model, drawn: {S // 3} x {T} steps x 2, 4 states"
    return _chain(title, k, X, np.full(S, T), is_test)


def faithful(scale: float) -> Case:
    """Take the eruptions of Old Faithful in the order they came, in runs of 16."""
    X = np.loadtxt(FAITHFUL, delimiter=",", skiprows=1)[:272]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    lengths = np.full(17, 16)
    title = "Hidden Markov model, Old Faithful: 208 steps x 2, 3 states"
    return _chain(title, 3, X, lengths, np.arange(17) % 4 == 3)


def _linear(title: str, k: int, X: Any, is_test: Any) -> Case:
    """Return a linear autoencoder of Gaussian noise: probabilistic PCA, which em fits exactly."""
    import vemfast
    from vemfast.models.vae_points import log_density_linear

    model = vemfast.VariationalAutoencoder(
        k, hidden_layer_sizes=(), likelihood="gaussian", max_iter=100, random_state=0
    )

    def covariance(own: Any) -> Any:
        noise = np.broadcast_to(own.noise_variance_, X.shape[1])
        W = own.decoder_coefs_[0]
        return (W.T @ W + np.diag(noise)).reshape(1, -1) / X.var(axis=0).mean()

    return Case(
        title,
        model,
        (X[~is_test],),
        (X[is_test],),
        lambda own, rows: float(log_density_linear(vars(own), rows).mean()),
        covariance,
    )


def factors(scale: float) -> Case:
    """Draw rows of a few factors and noise."""
    rng = np.random.default_rng(3)
    n, d, k = round(2000 * scale), 20, 4
    X = rng.normal(size=(n, k)) @ rng.normal(size=(k, d)) + 0.7 * rng.normal(size=(n, d))
    title = f"Linear autoencoder, drawn: {np.sum(~_fifth(n)):,} x {d}, 4 factors"
    return _linear(title, k, X, _fifth(n))


def strokes(scale: float) -> Case:
    """Take the grey values of the digits."""
    from sklearn.datasets import load_digits

    X = load_digits().data / 16.0
    X = X[: round(len(X) * scale)]
    title = f"Linear autoencoder, digits: {np.sum(~_fifth(len(X))):,} x 64, 8 factors"
    return _linear(title, 8, X, _fifth(len(X)))


CASES: dict[str, Callable[[float], Case]] = {
    "gaussians": gaussians,
    "iris": iris,
    "bits": bits,
    "topics": counts,
    "docstrings": docstrings,
    "chain": chain,
    "faithful": faithful,
    "factors": factors,
    "strokes": strokes,
}


def _on(case: Case, rung: str, threads: int, longer: int = 1) -> Any:
    from vemfast.ladder import _on_rung

    if not hasattr(case.estimator, "schedule"):  # an autoencoder
        model = clone(case.estimator).set_params(inference=rung, n_jobs=threads)
        return model.set_params(max_iter=1000, tol=1e-6) if rung == "em" else model
    model = _on_rung(case.estimator, rung).set_params(n_jobs=threads)
    if rung == "gibbs":
        now = model.get_params()
        model.set_params(n_draws=longer * now["n_draws"], n_burn=longer * now["n_burn"])
        if "n_iter" in now:  # a chain's, without effect here
            model.set_params(n_iter=100, tol=1e-3)
    return model


def _fitted(model: Any, case: Case) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = perf_counter()
        model.fit(*case.train)
        return perf_counter() - begin


def long_run(name: str, case: Case, settings: Settings) -> tuple[float, Any] | None:
    """Return the held-out score and the estimates of a long sampler, None where there is none."""
    if not hasattr(case.estimator, "schedule"):  # an autoencoder
        return None
    folder = os.environ.get("VEMFAST_LADDER")
    kept_as = f"{name}-{settings.scale:g}-{LONGER}-{vemfast.__version__}.npz"
    path = Path(folder) / kept_as if folder else None
    if path is not None and path.exists():
        with np.load(path) as kept:
            return float(kept["score"]), kept["estimates"]
    model = _on(case, "gibbs", settings.threads, LONGER)
    _fitted(model, case)
    score, estimates = case.score(model, *case.test), case.estimates(model)
    if path is not None:
        np.savez(path, score=score, estimates=estimates)
    return score, estimates


def climbed(name: str, settings: Settings) -> Record:
    """Fit every rung of one case."""
    from vemfast.ladder import _distance

    case = CASES[name](settings.scale)
    facts: dict[str, str | float] = {}
    long = long_run(name, case, settings)
    if long is not None:
        facts["long gibbs: held-out"] = long[0]
    true = None if long is None else long[1]
    seconds: dict[str, Sample] = {}
    scores: dict[str, float] = {}
    for rung in METHODS:
        model = _on(case, rung, settings.threads)
        try:
            seconds[rung] = Sample(tuple(_fitted(model, case) for _ in range(settings.repeats)))
        except ValueError as error:
            facts[f"{rung}: refused"] = str(error).split(";")[0]
            continue
        scores[rung] = case.score(model, *case.test)
        estimates = case.estimates(model)
        true = estimates if true is None else true  # the top rung's, without a sampler
        facts[f"{rung}: held-out"] = scores[rung]
        facts[f"{rung}: error"] = _distance(estimates, true)
    facts["out of order"] = "; ".join(_disorder(scores, seconds)) or "nothing"
    steps = list(seconds)
    return record(case.title, seconds, [Quotient(steps[0], rung) for rung in steps[1:]], **facts)


def _disorder(scores: dict[str, float], seconds: dict[str, Sample]) -> Iterator[str]:
    rungs = list(scores)
    for i, lower in enumerate(rungs):
        beaten = [rung for rung in rungs[:i] if scores[lower] > scores[rung] + NOTICEABLE]
        if beaten:
            yield f"{lower} predicts better than {', '.join(beaten)}"
        took = seconds[lower].median
        slower = [rung for rung in rungs[:i] if took > SLOWER * seconds[rung].median]
        if slower:
            yield f"{lower} takes longer than {', '.join(slower)}"


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a case."""
    for name in settings.pick(CASES):
        yield climbed(name, settings)
