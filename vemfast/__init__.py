"""Latent variable models on one ladder of inference methods, with a native core.

The public names are imported on first use, so that ``import vemfast`` costs next to nothing
(build tools import it, too, to find the headers).
What lives where: ``estimators`` (the scikit-learn face), ``inference`` (methods and drivers),
``models`` and ``reference`` (the native models and their NumPy twins), ``execution`` (threads),
``stats`` and ``data`` (statistics and blocks).  Imports run in that order, never back.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vemfast._config import build_info, cmake_dir, get_include, show_config
    from vemfast._core import __version__
    from vemfast.data import RowBlock, make_blocks
    from vemfast.documents import DocumentBlock
    from vemfast.errors import DegenerateWarning, ModelFileError, NumericalError
    from vemfast.estimators import (
        GMMHMM,
        BernoulliHMM,
        BernoulliMixture,
        CategoricalHMM,
        CategoricalMixture,
        DiscreteMixtureFits,
        GaussianHMM,
        GaussianMixture,
        LatentDirichletAllocation,
        MixtureFits,
        PoissonHMM,
        PoissonMixture,
        SeriesFits,
        VariationalAutoencoder,
        fit_many,
    )
    from vemfast.indexed import IndexedBlock
    from vemfast.inference import fit
    from vemfast.io import load
    from vemfast.ladder import ladder
    from vemfast.models.base import Model, Step
    from vemfast.selection import select
    from vemfast.sequences import SequenceBlock
    from vemfast.stats import Layout, Params, Stats

# Where each public name is defined.
_LAZY = {
    "GMMHMM": "vemfast.estimators",
    "BernoulliHMM": "vemfast.estimators",
    "BernoulliMixture": "vemfast.estimators",
    "CategoricalHMM": "vemfast.estimators",
    "CategoricalMixture": "vemfast.estimators",
    "DegenerateWarning": "vemfast.errors",
    "DiscreteMixtureFits": "vemfast.estimators",
    "DocumentBlock": "vemfast.documents",
    "GaussianHMM": "vemfast.estimators",
    "GaussianMixture": "vemfast.estimators",
    "IndexedBlock": "vemfast.indexed",
    "LatentDirichletAllocation": "vemfast.estimators",
    "Layout": "vemfast.stats",
    "MixtureFits": "vemfast.estimators",
    "Model": "vemfast.models.base",
    "ModelFileError": "vemfast.errors",
    "NumericalError": "vemfast.errors",
    "Params": "vemfast.stats",
    "PoissonHMM": "vemfast.estimators",
    "PoissonMixture": "vemfast.estimators",
    "RowBlock": "vemfast.data",
    "SequenceBlock": "vemfast.sequences",
    "SeriesFits": "vemfast.estimators",
    "Stats": "vemfast.stats",
    "Step": "vemfast.models.base",
    "VariationalAutoencoder": "vemfast.estimators",
    "__version__": "vemfast._core",
    "build_info": "vemfast._config",
    "cmake_dir": "vemfast._config",
    "fit": "vemfast.inference",
    "get_include": "vemfast._config",
    "fit_many": "vemfast.estimators",
    "ladder": "vemfast.ladder",
    "load": "vemfast.io",
    "make_blocks": "vemfast.data",
    "select": "vemfast.selection",
    "show_config": "vemfast._config",
}

__all__ = [
    "GMMHMM",
    "BernoulliHMM",
    "BernoulliMixture",
    "CategoricalHMM",
    "CategoricalMixture",
    "DegenerateWarning",
    "DiscreteMixtureFits",
    "DocumentBlock",
    "GaussianHMM",
    "GaussianMixture",
    "IndexedBlock",
    "LatentDirichletAllocation",
    "Layout",
    "MixtureFits",
    "Model",
    "ModelFileError",
    "NumericalError",
    "Params",
    "PoissonHMM",
    "PoissonMixture",
    "RowBlock",
    "SequenceBlock",
    "SeriesFits",
    "Stats",
    "Step",
    "VariationalAutoencoder",
    "__version__",
    "build_info",
    "cmake_dir",
    "fit",
    "fit_many",
    "get_include",
    "ladder",
    "load",
    "make_blocks",
    "select",
    "show_config",
]

_SUBMODULES = frozenset({"_core", "io", "metrics", "plot", "special", "testing"})

_NO_EXTENSION = (
    "vemfast's compiled extension was not found. If this is the source folder, install it with "
    "`pip install .` and run Python from another folder (or run plain `pytest`, not "
    "`python -m pytest`), or use an editable install: `pip install -e .`."
)


def __getattr__(name: str) -> Any:
    module = f"vemfast.{name}" if name in _SUBMODULES else _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'vemfast' has no attribute {name!r}")
    try:
        value: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == "vemfast._core":
            raise ImportError(_NO_EXTENSION) from error
        raise
    if name not in _SUBMODULES:
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
