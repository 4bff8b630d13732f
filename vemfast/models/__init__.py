"""Models behind one contract (`base.py`): thin classes whose mathematics is in the extension.

May import `vemfast.stats`, `vemfast.data`, `vemfast.errors` and `vemfast._core`; must not import
drivers or estimators. The same models in NumPy are in `vemfast.reference`.
"""

from vemfast.models.base import Model, Step

__all__ = ["Model", "Step"]
