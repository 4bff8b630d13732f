"""Measures of fitted models on data: how well topics hang together."""

from vemfast.metrics.coherence import coherence

__all__ = ["coherence"]
