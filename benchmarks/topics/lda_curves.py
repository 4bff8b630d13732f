"""Latent Dirichlet allocation: held-out score against seconds, every rung beside other libraries.

One judge for everybody, document completion: half of each test document's tokens infer its
proportions by variational Bayes with the peer's topics (mixed with a thousandth of the unigram),
the other half is scored, nats a token. K = 100, α = 0.05, η = 0.01 (the rungs with point topics:
1.01), and the same with α learned where a library can. Peers go on with one fit, and only their
passes are timed. Each of our points is a whole fit of so many passes, its start and the conversion
of the data included. gensim's `LdaModel` has one thread.

Parts (`--only`): L1, L2, file, and the names of fits. Peers have VEMFAST_BUDGET seconds each (60),
the longest of our fits VEMFAST_OWN_BUDGET (4); a file that VEMFAST_CURVES names keeps curves, so
that they can be measured one at a time. Which fits were left out, the report says.

`seconds` are those to come within 1 % of the best score that any peer reaches in the time it is
given: for a peer on the straight line between the points around, for us at the first point beyond.
A curve that does not come there is left out of the table, and stands in full below: score (seconds,
passes). Of the ratios, the last is between the fastest of both sides; the others are what the
fastest of the peers takes beside each rung.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.compare.lda import FITS, Vemfast, absent
from benchmarks.session import note
from benchmarks.suite.corpora import CORPORA, Judge, corpus_file, load
from benchmarks.timing import Sample
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Latent Dirichlet allocation: held-out score against time"
BUDGET = float(os.environ.get("VEMFAST_BUDGET", "60"))  # seconds a peer
OWN_BUDGET = float(os.environ.get("VEMFAST_OWN_BUDGET", "4"))  # seconds of our longest fit
_GROWTH = 1.5

Curve = list[tuple[int, float, float]]  # passes, seconds, score


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a corpus."""
    for name in settings.pick(CORPORA):
        if name != "file" or corpus_file():
            yield curves(name, settings)


def curves(name: str, settings: Settings) -> Record:
    """Return everybody's curves on one corpus."""
    problem = load(name, settings.scale)
    judge = Judge(problem)
    facts: dict[str, str | float] = {"corpus": problem.shape, "unigram": judge.unigram_score()}
    if problem.true_topics is not None:
        assert problem.true_alpha is not None
        facts["true topics"] = judge.score(problem.true_topics, problem.true_alpha)
    found: dict[str, Curve] = {}
    kept = _Kept(problem.name)
    chosen = settings.pick(FITS)
    if others := [fit for fit in FITS if fit not in chosen]:
        facts["not run"] = ", ".join(others)
    for fit in chosen:
        library = FITS[fit][0]
        if absent(library):
            facts[f"skipped: {fit}"] = absent(library)
            continue
        if fit not in kept.curves:
            kept.add(fit, _curve(FITS[fit][1](problem.train, settings.threads), judge))
        found[fit] = kept.curves[fit]
        note(problem.name, fit, _told(found[fit]))
    return _compared(problem.name, found, facts)


class _Kept:
    """Curves of one corpus in the file that VEMFAST_CURVES names, if it does: a line each."""

    def __init__(self, corpus: str) -> None:
        self.corpus, path = corpus, os.environ.get("VEMFAST_CURVES")
        self.path = None if path is None else Path(path)
        self.curves: dict[str, Curve] = {}
        if self.path is not None and self.path.exists():
            for line in self.path.read_text().splitlines():
                own = json.loads(line)
                if own["corpus"] == corpus:
                    self.curves[own["fit"]] = [tuple(point) for point in own["curve"]]

    def add(self, fit: str, curve: Curve) -> None:
        self.curves[fit] = curve
        if self.path is not None:
            with self.path.open("a") as lines:
                print(json.dumps({"corpus": self.corpus, "fit": fit, "curve": curve}), file=lines)


def _curve(fit: Any, judge: Judge) -> Curve:
    whole = isinstance(fit, Vemfast)
    budget = OWN_BUDGET if whole else BUDGET
    curve: Curve = []
    passes, total, wanted = 0, 0.0, 1
    while True:
        began = perf_counter()
        fit.go(wanted if whole else wanted - passes)
        seconds = perf_counter() - began
        total = seconds if whole else total + seconds
        passes = wanted
        curve.append((passes, total, judge.score(*fit.found())))
        wanted = max(passes + 1, round(passes * _GROWTH))
        first, start, _ = curve[0]
        if not whole:
            expected = total * wanted / passes
        elif passes == first:
            expected = total  # of which the start may be the most
        else:
            expected = total + (wanted - passes) * max(0.0, total - start) / (passes - first)
        if expected > budget:
            return curve


def _compared(name: str, found: dict[str, Curve], facts: dict[str, Any]) -> Record:
    """Return the record: seconds to come near the best score of the peers."""
    ours = [fit for fit in found if FITS[fit][0] == "vemfast"]
    peers = [fit for fit in found if fit not in ours]
    best, whose = max((score, fit) for fit in peers or ours for _, _, score in found[fit])
    facts["best score of a peer" if peers else "best score"] = f"{best:.4f} ({whose})"
    facts["seconds a peer has"] = BUDGET
    samples = {}
    for fit, curve in found.items():
        seconds = _reached(curve, 1.01 * best, between=fit in peers)
        if seconds is not None:
            samples[fit] = Sample((seconds,))
        facts[fit] = _told(curve)

    def by_seconds(names: list[str]) -> list[str]:
        there = [fit for fit in names if fit in samples]
        return sorted(there, key=lambda fit: samples[fit].median)

    slow, fast = by_seconds(peers), by_seconds(ours)
    asked = [Quotient(slow[0], fit) for fit in fast[:0:-1]] if slow else []
    asked += [Quotient(slow[0], fast[0], least=1.0)] if slow and fast else []
    return record(f"{name}: seconds to within 1 % of the best", samples, asked, **facts)


def _reached(curve: Curve, wanted: float, between: bool) -> float | None:
    """Return the seconds after which a curve has come to a score, if it has."""
    before: tuple[int, float, float] | None = None
    for point in curve:
        _, seconds, score = point
        if score >= wanted:
            if before is None or not between:
                return seconds
            share = (wanted - before[2]) / (score - before[2])
            return before[1] + share * (seconds - before[1])
        before = point
    return None


def _told(curve: Curve) -> str:
    """Return a curve in words: score (seconds), at its first, middle and last points and its best.

    Points that add nothing to the eye are left out.
    """
    kept = curve if len(curve) <= 8 else [*curve[:-7:2], *curve[-7::2]]
    best = max(curve, key=lambda point: point[2])
    if best not in kept:
        kept = sorted([*kept, best])
    return ", ".join(f"{score:.3f} ({seconds:.3g} s, {n})" for n, seconds, score in kept)
