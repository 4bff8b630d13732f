"""The second part of ``vemfast demo``: topics of the docstrings of Python's standard library.

Real text that every machine has. Docstrings are read from the source files, nothing is imported.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["run"]

_TOPICS, _PASSES, _SHOWN = 20, 50, 8
_LEAST_WORDS = 10  # of a docstring, after the words that most of them have are left out
_LEAST_DOCUMENTS = 5
_LARGEST_SHARE = 0.1
_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
_WORD = re.compile(r"[a-z][a-z]{2,}")


def run() -> None:
    """Fit topics, and print their words, the objective, seconds, and tokens a second."""
    import numpy as np

    from vemfast import LatentDirichletAllocation

    counts, words = corpus(docstrings(Path(sysconfig.get_paths()["stdlib"])))
    tokens = int(counts.sum())
    print(
        f"Docstrings of Python's standard library: {counts.shape[0]:,} documents, "
        f"{len(words):,} words, {tokens:,} tokens;\n{_TOPICS} topics by variational EM, "
        f"{_PASSES} passes.\n"
    )
    lda = LatentDirichletAllocation(
        _TOPICS,
        inference="variational-em",
        doc_topic_prior="learn",
        max_iter=_PASSES,
        random_state=0,
    )
    started = perf_counter()
    lda.fit(counts)
    seconds = perf_counter() - started
    share = lda.transform(counts).mean(axis=0)
    top = lda.top_words(words, _SHOWN)
    for k in np.argsort(-share)[: _TOPICS // 2]:
        print(f"{share[k]:6.1%}  {' '.join(top[k])}")
    print(
        f"\nobjective {lda.lower_bound_:.6g} nats, {lda.lower_bound_ / tokens:.4f} a token; "
        f"{seconds:.2f} s, {lda.n_iter_ * tokens / seconds:,.0f} tokens a second"
    )


def docstrings(folder: Path) -> Iterator[str]:
    """Yield the docstrings of all Python files below a folder, in order of their names."""
    for path in sorted(folder.rglob("*.py")):
        if _SKIPPED.intersection(path.relative_to(folder).parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):  # templates, and files in old encodings
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node, clean=False)
                if text:
                    yield text


def corpus(texts: Iterable[str]) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """Return counts of words, one text a row, and the words.

    Words in fewer than five texts or in more than a tenth are left out, and then texts of fewer
    than ten words.
    """
    import numpy as np
    import scipy.sparse

    found = [Counter(_WORD.findall(text.lower())) for text in texts]
    in_texts = Counter(word for text in found for word in text)
    most = _LARGEST_SHARE * len(found)
    words = sorted(word for word, n in in_texts.items() if _LEAST_DOCUMENTS <= n <= most)
    number = {word: i for i, word in enumerate(words)}
    rows: list[dict[int, int]] = []
    for text in found:
        row = {number[word]: n for word, n in text.items() if word in number}
        if sum(row.values()) >= _LEAST_WORDS:
            rows.append(row)
    if not rows:
        raise ValueError("there is no text: Python's standard library is not here as source")
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([w for row in rows for w in row], dtype=np.int32)
    data = np.array([n for row in rows for n in row.values()], dtype=np.float64)
    counts: Any = scipy.sparse.csr_matrix((data, indices, indptr), (len(rows), len(words)))
    counts.sort_indices()
    return counts, words
