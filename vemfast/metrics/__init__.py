"""Measures of models on data: how well topics hang together, and a fit's held-out score."""

from vemfast.estimators.held_out_score import HeldOutScore
from vemfast.metrics.coherence import coherence

__all__ = ["HeldOutScore", "coherence"]
