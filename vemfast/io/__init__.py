"""Files: fitted models (safetensors) and tables of numbers.

`models` saves and loads estimators, on top of `schemas` (what each class must hold), `container`
(the layout of the file) and `atomic` (writes that happen whole or not at all); `tables` reads data.
May import estimators; is imported by the package, the command line, and by an estimator's own
`save`, when that is called.
"""

from vemfast.io.models import load, save
from vemfast.io.tables import Table, TableError, read_table

__all__ = ["Table", "TableError", "load", "read_table", "save"]
