"""Files: fitted models (safetensors), tables of numbers and corpora of word counts.

`models` saves and loads estimators, on top of `schemas` (what each class must hold), `container`
(the layout of the file) and `atomic` (writes that happen whole or not at all); `tables` and
`corpora` read data.
May import estimators; is imported by the package, the command line, and by an estimator's own
`save`, when that is called.
"""

from vemfast.io.corpora import (
    Corpus,
    CorpusError,
    CorpusStream,
    read_corpus,
    read_vocabulary,
    stream_corpus,
    write_corpus,
)
from vemfast.io.models import load, save
from vemfast.io.tables import Table, TableError, read_table

__all__ = [
    "Corpus",
    "CorpusError",
    "CorpusStream",
    "Table",
    "TableError",
    "load",
    "read_corpus",
    "read_table",
    "read_vocabulary",
    "save",
    "stream_corpus",
    "write_corpus",
]
