"""The engine: the table of methods, one driver a schedule, the monitor and restarts.

May import the model contract (`vemfast.models.base`), `vemfast.execution`, `vemfast.data` and
`vemfast.stats`; must not import or name a particular model, nor an estimator.
"""

from vemfast.inference.engine import Control, fit, report, run
from vemfast.inference.methods import METHODS, Method, lookup
from vemfast.inference.monitor import FitResult, Monitor
from vemfast.inference.restarts import best, run_starts, seeds

__all__ = [
    "METHODS",
    "Control",
    "FitResult",
    "Method",
    "Monitor",
    "best",
    "fit",
    "lookup",
    "report",
    "run",
    "run_starts",
    "seeds",
]
