"""The scikit-learn face: one file a group of estimators, no mathematics.

An estimator stores its parameters, validates them and the data, asks the engine for a fit, and
names the fitted attributes. May import every layer below; above it are the package, model files,
the command line, metrics, plots, `vemfast.selection` and `vemfast.ladder`.
"""

from vemfast.estimators.bernoulli_hmm import BernoulliHMM
from vemfast.estimators.bernoulli_mixture import BernoulliDraws, BernoulliMixture
from vemfast.estimators.categorical_hmm import CategoricalHMM
from vemfast.estimators.categorical_mixture import CategoricalDraws, CategoricalMixture
from vemfast.estimators.gaussian_hmm import GaussianHMM
from vemfast.estimators.gaussian_mixture import GaussianMixture, PosteriorDraws
from vemfast.estimators.gmm_hmm import GMMHMM
from vemfast.estimators.hmm import StateDraws
from vemfast.estimators.hmm_filter import HmmFilter
from vemfast.estimators.lda import LatentDirichletAllocation, TopicDraws
from vemfast.estimators.many import MixtureFits, fit_many
from vemfast.estimators.many_discrete import DiscreteMixtureFits
from vemfast.estimators.many_series import SeriesFits
from vemfast.estimators.poisson_hmm import PoissonHMM
from vemfast.estimators.poisson_mixture import PoissonDraws, PoissonMixture
from vemfast.estimators.vae import VariationalAutoencoder

__all__ = [
    "GMMHMM",
    "BernoulliDraws",
    "BernoulliHMM",
    "BernoulliMixture",
    "CategoricalDraws",
    "CategoricalHMM",
    "CategoricalMixture",
    "DiscreteMixtureFits",
    "GaussianHMM",
    "GaussianMixture",
    "HmmFilter",
    "LatentDirichletAllocation",
    "MixtureFits",
    "PoissonDraws",
    "PoissonHMM",
    "PoissonMixture",
    "PosteriorDraws",
    "SeriesFits",
    "StateDraws",
    "TopicDraws",
    "VariationalAutoencoder",
    "fit_many",
]
