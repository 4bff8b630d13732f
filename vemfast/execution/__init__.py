"""Back ends: they map a model's E-step over blocks and add the statistics in a fixed order.

May import `vemfast.stats`, `vemfast.data` and the contract in `vemfast.models.base`; must not
import a particular model, a driver or an estimator.
"""
