"""Every native model once more in plain NumPy, behind the same contract.

The twins are the oracle of the tests, the baseline of the benchmarks, the text that explains the
kernels, and the pattern for a user's own model. May import the contract and the configurations in
`vemfast.models`, `vemfast.stats` and `vemfast.data`; must not import the extension, a driver or an
estimator.
"""

from vemfast.reference.configure import configure
from vemfast.reference.discrete_mixture import DiscreteMixture
from vemfast.reference.gaussian_mixture import GaussianMixture
from vemfast.reference.hmm import HiddenMarkov
from vemfast.reference.lda import LatentDirichletAllocation

__all__ = [
    "DiscreteMixture",
    "GaussianMixture",
    "HiddenMarkov",
    "LatentDirichletAllocation",
    "configure",
]
