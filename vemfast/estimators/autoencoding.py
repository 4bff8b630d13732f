"""What is done with a fitted autoencoder: codes, reconstructions, scores, samples."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from vemfast.data import RowBlock
from vemfast.estimators.base import (
    Estimator,
    as_generator,
    check_count,
    check_sample_weight,
    chunks_of,
    refuse_text,
)
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.inference.restarts import seeds
from vemfast.models import vae_points as points
from vemfast.models.discrete_rows import _own_csr
from vemfast.models.vae import VariationalAutoencoder as Model
from vemfast.models.vae_config import VaeConfig

__all__ = ["AutoencodingEstimator", "Rows", "dense_rows"]

Array = NDArray[Any]
Rows = RowBlock | IndexedBlock

_LARGEST = 1e10  # of |X|: beyond, squares and exponentials leave single precision
_NUMBERS_OF_A_PIECE = 1 << 16  # which stay in the cache


class AutoencodingEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):  # type: ignore[misc]
    """Base of the autoencoder: its data, and the use of a fit."""

    _may_take_nan = True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = self.likelihood != "gaussian"
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.decoder_coefs_[0])

    def _takes_nan(self) -> bool:
        return bool(self.missing == "marginalize")

    def _config(self, n_features: int) -> VaeConfig:
        raise NotImplementedError

    # ---- rows ----------------------------------------------------------------------------------

    def _block_to_fit(self, X: Any) -> tuple[Rows, dict[str, Any]]:
        """Return rows as a block, and the attributes that describe their columns."""
        scratch = copy.copy(self)
        block = self._block_of(scratch, X, True)
        named = ("n_features_in_", "feature_names_in_")
        return block, {name: vars(scratch)[name] for name in named if name in vars(scratch)}

    def _block(self, X: Any) -> Rows:
        """Return rows of the columns that were fitted."""
        check_is_fitted(self)
        return self._block_of(self, X, False)

    def _block_of(self, estimator: Any, X: Any, reset: bool) -> Rows:
        if not isinstance(X, np.memmap) and chunks_of(X) is not None:
            raise ValueError(
                f"{type(self).__name__} takes rows in one array; call partial_fit for each chunk"
            )
        if scipy.sparse.issparse(X):
            return self._sparse(estimator, X, reset)
        bits = isinstance(X, np.ndarray) and X.dtype in (np.uint8, np.bool_)
        if bits and X.ndim == 2 and X.size and X.max() < 255 and X.flags.c_contiguous:
            rows = validate_data(
                estimator, X, reset=reset, dtype=None, estimator=type(self).__name__
            )
            self._check_range(rows)
            return IndexedBlock(rows.view(np.uint8), dtype=np.float32)
        rows = self._validated(estimator, X, reset)
        limits = _extremes(rows)  # what is not finite shows here: one look at all numbers
        if not np.isfinite(limits).all():
            self._check_finite(rows, self._takes_nan())
            limits = _limits(rows)
        self._check_limits(*limits)
        if rows.shape[1] > 1 and rows.strides[1] != rows.itemsize:
            rows = np.ascontiguousarray(rows)  # once, and not in every pass
        return RowBlock(rows)

    def _sparse(self, estimator: Any, X: Any, reset: bool) -> IndexedBlock:
        refuse_text(X)
        validate_data(
            estimator,
            X,
            reset=reset,
            dtype=None,
            accept_sparse=True,
            ensure_all_finite=False,
            estimator=type(self).__name__,
        )
        matrix = _own_csr(X)
        single = matrix.dtype == np.float32
        values = np.asarray(matrix.data, dtype=np.float32 if single else np.float64)
        bad = ~np.isfinite(values)
        if self._takes_nan():
            bad &= ~np.isnan(values)
        if bad.any():
            entry = int(np.argmax(bad))
            row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
            raise ValueError(
                f"X contains {values[entry]} at row {row}, column {matrix.indices[entry]}; drop "
                "or impute such rows"
            )
        self._check_range(values)
        rows = SparseRows(
            np.ascontiguousarray(matrix.indptr, dtype=np.int64),
            np.ascontiguousarray(matrix.indices, dtype=np.int32),
            values,
            int(matrix.shape[1]),
        )
        return IndexedBlock(rows, dtype=np.float32)

    def _check_range(self, values: Array) -> None:
        if values.size:
            self._check_limits(*_limits(values))

    def _check_limits(self, low: Any, high: Any) -> None:
        """Raise a ValueError for numbers that the likelihood does not have."""
        name = type(self).__name__
        if self.likelihood == "bernoulli" and (low < 0 or high > 1):
            raise ValueError(
                f"X has values from {low:g} to {high:g}, but likelihood='bernoulli' takes 0 to 1; "
                "scale X, or use likelihood='gaussian' or 'poisson'"
            )
        if self.likelihood == "poisson" and low < 0:
            raise ValueError(
                f"Negative values in data passed to {name}: X has values from {low:g}, but "
                "likelihood='poisson' takes counts >= 0"
            )
        if max(-float(low), float(high)) > _LARGEST:
            raise ValueError(
                f"X has values from {low:g} to {high:g}, too large for single precision; "
                "standardise X (sklearn.preprocessing.StandardScaler)"
            )

    # ---- use -----------------------------------------------------------------------------------

    def _fitted(self) -> tuple[Model, Any]:
        """Return the model and the state of the fitted weights."""
        check_is_fitted(self)
        config = self._config(self.n_features_in_)
        return Model(config), points.state_of(config, vars(self))

    def _q(self, X: Any, refine: int, random_state: Any) -> tuple[Any, ...]:
        """Return model, state, rows, their q(z|x), a seed and the threads."""
        block = self._block(X)
        model, state = self._fitted()
        seed, threads = seeds(random_state, 2)[0], self._threads()
        q = points.posterior(model, state, block, threads)
        if check_count("refine", refine, 0):
            self._may_refine()
            own = seeds(random_state, 2)[1]  # draws of its own, so that scores are fair
            q = points.refined(model, state, block, q, int(refine), own, threads)
        return model, state, block, q, seed, threads

    def _needs_posterior(self, what: str) -> None:
        if self.inference == "hard-em":
            raise ValueError(
                f"{what} needs q(z|x), but inference='hard-em' has a single z for each row; use "
                "inference='variational-em'"
            )

    def _may_refine(self) -> None:
        self._needs_posterior("refine")
        if self.inference == "em":
            raise ValueError("refine has no effect with inference='em', whose q(z|x) is exact")

    def _without_draws(self, n_draws: int, usual: int) -> None:
        """Raise a ValueError for draws that nothing would be drawn for."""
        if check_count("n_draws", n_draws, 1) != usual:
            raise ValueError(
                f"n_draws={n_draws!r} has no effect with inference={self.inference!r}, where "
                "nothing is drawn; it is for inference='variational-em'"
            )

    def transform(self, X: Any, *, refine: int = 0, random_state: Any = 0) -> Array:
        """Return the means of q(z|x), shape (n_samples, n_components).

        Parameters
        ----------
        X : as in `fit`
        refine : int, default=0
            Gradient steps that improve q(z|x) of each row from the encoder's answer
            (semi-amortised inference; Kim et al. 2018). Its bound, under the draws of the steps,
            does not fall. For "variational-em".
        random_state : int, RandomState, Generator or None, default=0
            Of those draws.
        """
        q = self._q(X, refine, random_state)[3]
        return np.asarray(q.mean, dtype=np.float64)

    def inverse_transform(self, Z: Any) -> Array:
        """Return the means of p(x|z), shape (n_samples, n_features_in_).

        Probabilities, means or rates.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
        """
        check_is_fitted(self)
        z = np.asarray(Z, dtype=np.float32)
        if z.ndim != 2 or z.shape[1] != self._n_features_out:
            raise ValueError(f"Z has shape {z.shape}, expected (n_samples, {self._n_features_out})")
        if not np.isfinite(z).all():
            raise ValueError("Z must be finite")
        model, state = self._fitted()
        return np.asarray(model.decode(state, z, self._threads()), dtype=np.float64)

    def reconstruct(self, X: Any, *, refine: int = 0, random_state: Any = 0) -> Array:
        """Return ``inverse_transform(transform(X))``: missing values are filled in."""
        return self.inverse_transform(self.transform(X, refine=refine, random_state=random_state))

    def elbo(
        self, X: Any, *, n_draws: int = 1, refine: int = 0, random_state: Any = 0
    ) -> NDArray[np.float64]:
        """Return the evidence lower bound of each row, shape (n_samples,), nats.

        E_q[log p(x|z)] - KL(q(z|x) || p(z)), whatever `beta` the fit had, the expectation by
        `n_draws` draws. Under "em" it is log p(x), as q is exact. Under "hard-em" it is
        log p(x, z) at the encoder's z, without log p(z) if ``prior=False``.

        Parameters
        ----------
        X : as in `fit`
        n_draws : int, default=1
        refine : int, default=0
            As in `transform`.
        random_state : int, RandomState, Generator or None, default=0
            Of the draws.
        """
        draws = check_count("n_draws", n_draws, 1)
        if self.inference != "variational-em":
            self._without_draws(draws, 1)
        if self.inference == "em":
            if check_count("refine", refine, 0):
                self._may_refine()
            return self.score_samples(X)
        model, state, block, q, seed, threads = self._q(X, refine, random_state)
        if self.inference == "hard-em":
            return points.log_joint(model, state, block, q.mean, bool(self.prior), threads)
        return points.bounds(model, state, block, q, seed, draws, threads)

    def log_marginal(
        self, X: Any, n_draws: int = 100, *, refine: int = 0, random_state: Any = 0
    ) -> points.LogMarginal:
        """Return estimates of log p(x) beside the ELBO: how much the rung loses.

        Importance-weighted (Burda, Grosse and Salakhutdinov 2016): too low on average, by less the
        more draws. Printing the result reports the means and the gap.

        Parameters
        ----------
        X : as in `fit`
        n_draws : int, default=100
        refine : int, default=0
            As in `transform`.
        random_state : int, RandomState, Generator or None, default=0

        Returns
        -------
        LogMarginal
            `log_marginal`, `elbo` and `gap`, each (n_samples,), nats.
        """
        self._needs_posterior("log_marginal")
        draws = check_count("n_draws", n_draws, 1)
        model, state, block, q, seed, threads = self._q(X, refine, random_state)
        return points.importance_weighted(model, state, block, q, seed, draws, threads)

    def score_samples(
        self, X: Any, *, n_draws: int = 100, random_state: Any = 0
    ) -> NDArray[np.float64]:
        """Return log p(x) of each row, shape (n_samples,), nats.

        Importance-weighted with `n_draws` draws; exact under "em". Under "hard-em", which has no
        q(z|x), log p(x, z) as of `elbo`.
        """
        if self.inference != "variational-em":
            self._without_draws(n_draws, 100)
        if self.inference == "em":
            block = self._block(X)
            return points.log_density_linear(vars(self), dense_rows(block))
        if self.inference == "hard-em":
            return self.elbo(X)
        return self.log_marginal(X, n_draws, random_state=random_state).log_marginal

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the (weighted) mean of `score_samples`, nats a row."""
        found = self.score_samples(X)
        weights = check_sample_weight(sample_weight, len(found))
        return float(np.average(found, weights=weights))

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Draw rows from p(x|z), z from its prior.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_)
        Z : ndarray of shape (n_samples, n_components)
        """
        n = check_count("n_samples", n_samples, 1)
        check_is_fitted(self)
        rng = as_generator(self.random_state)
        Z = rng.standard_normal((n, self._n_features_out))
        means = self.inverse_transform(Z)
        if self.likelihood == "bernoulli":
            X = (rng.random(means.shape) < means).astype(np.float64)
        elif self.likelihood == "poisson":
            X = rng.poisson(means).astype(np.float64)
        else:
            X = means + np.sqrt(self.noise_variance_) * rng.standard_normal(means.shape)
        return X, Z

    def to_torch(self) -> tuple[Any, Any]:
        """Return encoder and decoder as ``torch.nn.Sequential`` modules of the same weights.

        The encoder, which under Poisson takes log(1 + x), gives means and log variances of q(z|x)
        side by side; the decoder gives logits (Bernoulli), means (Gaussian) or log rates (Poisson).

        Raises
        ------
        ImportError
            Without PyTorch.
        """
        check_is_fitted(self)
        try:
            import torch
        except ImportError as error:
            raise ImportError("to_torch needs PyTorch: pip install torch") from error
        nonlinear = {
            "tanh": torch.nn.Tanh,
            "relu": torch.nn.ReLU,
            "gelu": torch.nn.GELU,
            "softplus": torch.nn.Softplus,
            "identity": torch.nn.Identity,
        }[self.activation]
        modules = []
        for coefs, intercepts in (
            (self.encoder_coefs_, self.encoder_intercepts_),
            (self.decoder_coefs_, self.decoder_intercepts_),
        ):
            layers: list[Any] = []
            for i, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
                linear = torch.nn.Linear(*W.shape)
                with torch.no_grad():
                    linear.weight.copy_(torch.as_tensor(np.asarray(W.T, dtype=np.float32)))
                    linear.bias.copy_(torch.as_tensor(np.asarray(b, dtype=np.float32)))
                layers += [nonlinear(), linear] if i else [linear]
            modules.append(torch.nn.Sequential(*layers))
        return modules[0], modules[1]

    def save(self, path: Any) -> None:
        """Write the fitted weights to a safetensors file; `vemfast.load` reads it."""
        from vemfast.io import save

        save(self, path)


def dense_rows(block: Rows) -> Array:
    """Return the rows of a block as one array."""
    if isinstance(block, RowBlock):
        return block.X
    rows = block.rows
    if not isinstance(rows, SparseRows):
        return np.asarray(rows, dtype=np.float64)
    shape = (block.n, rows.n_features)
    values = np.ones(rows.indices.size) if rows.values is None else rows.values
    return np.asarray(
        scipy.sparse.csr_array((values, rows.indices, rows.indptr), shape=shape).toarray()
    )


def _extremes(rows: Array) -> tuple[Any, Any]:
    """Return the least and the largest number; piece by piece, so that each is read once."""
    step = max(1, _NUMBERS_OF_A_PIECE // rows.shape[1])
    pieces = [rows[start : start + step] for start in range(0, len(rows), step)]
    return np.min([piece.min() for piece in pieces]), np.max([piece.max() for piece in pieces])


def _limits(values: Array) -> tuple[Any, Any]:
    """Return the least and the largest number, NaN apart."""
    with np.errstate(invalid="ignore"):
        return np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
