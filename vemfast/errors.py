"""The exceptions and warnings of the library that Python and scikit-learn do not already have."""

from __future__ import annotations

from typing import Any

__all__ = ["DegenerateWarning", "ModelFileError", "NumericalError"]


class NumericalError(ArithmeticError):
    """The arithmetic of a fit broke down.

    The objective fell by more than rounding, or left the numbers, or a covariance matrix was not
    positive definite. The estimator, and `partial` where an engine function raised this, hold the
    best parameters before that.

    Attributes
    ----------
    partial : FitResult or None
        What had been reached.
    """

    partial: Any = None


class DegenerateWarning(UserWarning):
    """A fit ended at an estimate that the data do not pin down, such as an empty component."""


class ModelFileError(ValueError):
    """A model file is damaged, inconsistent, or of a newer major version."""
