"""The third part of ``vemfast demo``: a chain of two states finds vowels and consonants.

After A. A. Markov, who in 1913 counted them in Pushkin's Eugene Onegin, and R. L. Cave and L. P.
Neuwirth (1980), who let a hidden Markov model find them: nothing tells it what a vowel is.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from vemfast.cli.demo_topics import docstrings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["run"]

_SYMBOLS = " abcdefghijklmnopqrstuvwxyz"
_LETTERS = 100_000
_STARTS = 3
_WIDTH, _SHOWN = 72, 3
_PICTURE = "demo_hidden_markov.png"


def run(folder: Path) -> None:
    """Fit the chain; print its letters and a decoded text, and save the picture."""
    from vemfast import CategoricalHMM

    codes = letters(docstrings(Path(sysconfig.get_paths()["stdlib"])), _LETTERS)
    print(
        f"{len(codes):,} letters and blanks of the same docstrings; a chain of two hidden states "
        f"by EM, {_STARTS} starts.\n"
    )
    hmm = CategoricalHMM(
        2, n_features=len(_SYMBOLS), n_init=_STARTS, init_params="random_from_data",
        n_iter=200, tol=1e-5, random_state=0,
    )  # fmt: skip
    started = perf_counter()
    hmm.fit(codes)
    seconds = perf_counter() - started
    order = sorted(range(2), key=lambda k: hmm.emissionprob_[k][[1, 5, 9, 15, 21]].sum())
    groups = of_states(hmm)
    for k, name in zip(order, ("consonants", "vowels"), strict=True):
        stays = hmm.transmat_[k, k]
        print(f"state {k}, {name + ':':<12} {' '.join(groups[k])}   (stays with {stays:.0%})")
    start = _SHOWN * _WIDTH * 3
    part = codes[start : start + _SHOWN * _WIDTH]
    states = hmm.predict(part) == order[1]
    print("\ndecoded, ^ under the state of the vowels:\n")
    for first in range(0, len(part), _WIDTH):
        row = slice(first, first + _WIDTH)
        print("  " + "".join(_SYMBOLS[c] for c in part[row, 0]))
        print("  " + "".join("^" if state else " " for state in states[row]))
    print(
        f"\nobjective {hmm.lower_bound_:.6g} nats, {hmm.lower_bound_ / len(codes):.4f} a letter; "
        f"{seconds:.2f} s"
    )
    print(_draw(hmm, order, part, states, folder / _PICTURE))


def letters(texts: Iterable[str], n: int) -> NDArray[Any]:
    """Return the codes of the first n letters and single blanks of texts, (n, 1)."""
    import numpy as np

    found: list[str] = []
    size = 0
    for text in texts:
        clean = re.sub(r"[^a-z]+", " ", text.lower()).strip()
        if clean:
            found.append(clean)
            size += len(clean) + 1
        if size > n:
            break
    if not found:
        raise ValueError("there is no text: Python's standard library is not here as source")
    code = {symbol: i for i, symbol in enumerate(_SYMBOLS)}
    return np.array([code[c] for c in islice(" ".join(found), n)], dtype=np.int64)[:, None]


def of_states(hmm: Any) -> list[list[str]]:
    """Return the letters that each state has the larger share of, the likeliest first."""
    share = hmm.get_stationary_distribution()[:, None] * hmm.emissionprob_
    groups: list[list[str]] = [[], []]
    for code in sorted(range(len(_SYMBOLS)), key=lambda c: -share[:, c].max()):
        groups[int(share[:, code].argmax())].append(_SYMBOLS[code].replace(" ", "blank"))
    return groups


def _draw(hmm: Any, order: list[int], part: Any, states: Any, path: Path) -> str:
    """Save the letters by state and the decoded text; return what to say about it."""
    import numpy as np

    try:
        from matplotlib.figure import Figure
    except ImportError:
        return 'no picture: it needs matplotlib: pip install "vemfast[plot]"'
    from vemfast.io.atomic import atomic_write

    share = hmm.get_stationary_distribution()[:, None] * hmm.emissionprob_
    vowels = share[order[1]] / share.sum(axis=0)
    figure = Figure(figsize=(11, 5), layout="constrained")
    bars, text = figure.subplots(2, 1)
    at = np.arange(len(_SYMBOLS))
    colours = np.where(vowels > 0.5, "C1", "C0")
    bars.bar(at, vowels, color=colours)
    bars.set_xticks(at, ["_", *_SYMBOLS[1:]])
    bars.set_ylabel("p(second state | letter)")
    text.set_axis_off()
    text.set_xlim(0, _WIDTH)
    text.set_ylim(_SHOWN, 0)
    for i, (code, state) in enumerate(zip(part[:, 0], states, strict=True)):
        row, column = divmod(i, _WIDTH)
        text.text(
            column + 0.5, row + 0.5, _SYMBOLS[code], family="monospace", size=12,
            color="C1" if state else "C0", ha="center", va="center",
        )  # fmt: skip
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return f"picture: {path}"
