"""VariationalAutoencoder: fitting, use of a fit, rungs, partial_fit, early stopping, files."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from scipy import stats
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from vae_data import LIKELIHOODS, ROWS, autoencoder, fitted, weights

import vemfast
from vemfast import VariationalAutoencoder
from vemfast.models import vae_points as points

X = ROWS["bernoulli"]
LINEAR = {"hidden_layer_sizes": (), "likelihood": "gaussian", "inference": "em"}


@pytest.mark.parametrize("inference", ["variational-em", "hard-em"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_training_lowers_the_loss(likelihood, inference):
    vae = fitted(likelihood, inference=inference, max_iter=30, learning_rate_init=0.01)
    assert len(vae.loss_curve_) == vae.n_iter_ == 30
    assert vae.loss_curve_[-1] < vae.loss_curve_[0] - 0.1
    assert vae.stop_reason_ == "max_iter"
    rows = ROWS[likelihood]
    away = np.abs(vae.reconstruct(rows) - rows).mean()
    assert away < 0.8 * np.abs(rows - rows.mean(axis=0)).mean()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_shapes_and_the_law_of_samples(likelihood):
    vae = fitted(likelihood, max_iter=30, learning_rate_init=0.01)
    rows = ROWS[likelihood]
    Z = vae.transform(rows)
    assert Z.shape == (150, 2)
    assert vae.inverse_transform(Z).shape == rows.shape
    assert list(vae.get_feature_names_out()) == [f"variationalautoencoder{i}" for i in range(2)]
    drawn, codes = vae.sample(4000)
    assert stats.kstest(codes.ravel(), "norm").pvalue > 1e-4
    np.testing.assert_allclose(drawn.mean(axis=0), rows.mean(axis=0), rtol=0.5, atol=0.3)
    assert vae.elbo(rows).shape == vae.score_samples(rows, n_draws=5).shape == (150,)


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_log_marginal_sums_to_one(likelihood):
    """Over all rows of a small space, as a probability should."""
    bits = np.array(np.meshgrid(*[np.arange(2 if likelihood == "bernoulli" else 30)] * 2))
    space = bits.reshape(2, -1).T.astype(float)
    rows = (ROWS[likelihood][:, :2] > 0.5).astype(float)
    vae = fitted(likelihood, rows, max_iter=10)
    total = np.exp(vae.score_samples(space, n_draws=2000)).sum()
    assert total == pytest.approx(1.0, abs=0.03)


def test_the_gap_is_not_negative_and_told():
    vae = fitted("gaussian", max_iter=20)
    found = vae.log_marginal(ROWS["gaussian"], 50)
    assert found.gap.mean() > 0
    assert found.gap.min() > -0.5  # by 50 draws
    np.testing.assert_array_equal(found.elbo, vae.elbo(ROWS["gaussian"], n_draws=50))
    assert "150 rows, 50 draws" in str(found)
    np.testing.assert_array_equal(
        vae.score_samples(ROWS["gaussian"], n_draws=50), found.log_marginal
    )
    few = vae.log_marginal(ROWS["gaussian"], 1)
    assert few.log_marginal.mean() < found.log_marginal.mean()
    assert vae.score(ROWS["gaussian"]) == pytest.approx(found.log_marginal.mean(), abs=0.2)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_refinement_raises_the_bound(likelihood):
    vae, rows = fitted(likelihood, max_iter=8), ROWS[likelihood]
    plain = vae.elbo(rows, n_draws=200)
    better = vae.elbo(rows, n_draws=200, refine=20)
    assert better.mean() > plain.mean()
    assert (better - plain).min() > -0.25  # of a row, by 200 draws
    moved = vae.transform(rows, refine=20)
    assert np.abs(moved - vae.transform(rows)).max() > 1e-3
    np.testing.assert_array_equal(vae.transform(rows, refine=20), moved)


def test_refined_bounds_never_fall_under_their_draws():
    vae, rows = fitted("poisson", max_iter=8), ROWS["poisson"]
    block = vae._block(rows)
    model, state = vae._fitted()
    q = points.posterior(model, state, block)
    noises = points._balanced([model.noise(5, draw, q.keys()) for draw in range(6)])
    last = -np.inf
    for steps in (0, 1, 2, 5, 10):
        r = points.refined(model, state, block, q, steps, 5)
        found, _, _ = points._slopes(
            model, state, block, np.float64(r.mean), np.float64(r.log_variance), noises, 1
        )
        assert (found >= last).all()
        last = found


# ---- rungs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["spherical", "diag"])
def test_em_is_probabilistic_pca_and_factor_analysis(noise):
    rows = ROWS["gaussian"]
    vae = VariationalAutoencoder(2, noise=noise, tol=1e-9, max_iter=5000, **LINEAR).fit(rows)
    peer = (
        PCA(2).fit(rows)
        if noise == "spherical"
        else FactorAnalysis(2, tol=1e-8, max_iter=5000, svd_method="lapack").fit(rows)
    )
    expected = peer.score(rows)
    if noise == "spherical":  # scikit-learn's noise is of n - 1, the maximum's of n
        D = rows.shape[1]
        values = np.sort(np.linalg.eigvalsh(np.cov(rows.T, bias=True)))[::-1]
        expected = -0.5 * (
            D * np.log(2 * np.pi)
            + np.log(values[:2]).sum()
            + (D - 2) * np.log(values[2:].mean())
            + D
        )
    assert vae.score(rows) == pytest.approx(expected, abs=1e-6 if noise == "spherical" else 1e-3)
    assert vae.lower_bound_ / len(rows) == pytest.approx(vae.score(rows), abs=1e-9)
    assert vae.converged_
    # Its encoder is the exact posterior: the importance weights are all the same.
    found = vae.log_marginal(rows, 3)
    np.testing.assert_allclose(found.log_marginal, vae.score_samples(rows), atol=1e-3)


def test_a_linear_autoencoder_trained_by_full_batches_reaches_the_exact_rung():
    """O6: where training ends is the maximum of probabilistic PCA (Lucas et al. 2019)."""
    rows = ROWS["gaussian"]
    exact = VariationalAutoencoder(2, tol=1e-9, max_iter=5000, **LINEAR).fit(rows)
    vae = autoencoder(
        "gaussian", hidden_layer_sizes=(), batch_size=len(rows), max_iter=1500, warm_start=True
    )
    for rate in (0.05, 0.01, 0.002, 0.0004):
        vae.set_params(learning_rate_init=rate).fit(rows)
    assert vae.elbo(rows, n_draws=400).mean() == pytest.approx(exact.score(rows), abs=0.01)


@pytest.mark.parametrize("inference", ["mean-field", "gibbs"])
def test_rungs_without_a_closed_form_name_one_that_has(inference):
    with pytest.raises(ValueError, match="use inference='variational-em'"):
        autoencoder(inference=inference).fit(X)


def test_em_of_a_network_names_what_works():
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(\) with likelihood='gaussian'"):
        autoencoder(inference="em").fit(X)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"inference": "hard-em", "beta": 2.0}, "beta"),
        ({"inference": "hard-em", "kl_warmup": 3}, "kl_warmup"),
        ({"prior": False}, "prior"),
        ({"noise": "diag"}, "noise"),
        ({"n_iter_no_change": 3}, "n_iter_no_change"),
        ({"tol": 1.0}, "tol"),
        ({"hidden_layer_sizes": (), "activation": "tanh"}, "activation"),
    ],
)
def test_options_without_effect_are_refused(options, name):
    with pytest.raises(ValueError, match=f"{name}=.* has no effect"):
        autoencoder(**options).fit(X)


@pytest.mark.parametrize("inference", ["em", "hard-em"])
def test_draws_and_steps_where_nothing_is_drawn_are_refused(inference):
    rows = ROWS["gaussian"]
    options = {"inference": inference, "likelihood": "gaussian", "random_state": 0}
    if inference == "em":
        options["hidden_layer_sizes"] = ()
    vae = VariationalAutoencoder(2, max_iter=5, **options).fit(rows)
    for use in (vae.elbo, vae.score_samples):
        with pytest.raises(ValueError, match="n_draws=7 has no effect"):
            use(rows, n_draws=7)
        with pytest.raises(ValueError, match="n_draws must be"):
            use(rows, n_draws=0)
    for use in (vae.elbo, vae.transform, vae.reconstruct):
        with pytest.raises(ValueError, match="refine"):
            use(rows, refine=3)
        with pytest.raises(ValueError, match="refine must be"):
            use(rows, refine=-1)


def test_a_plain_autoencoder_has_larger_codes_than_one_with_a_prior():
    plain = fitted("gaussian", inference="hard-em", prior=False, max_iter=40)
    held = fitted("gaussian", inference="hard-em", max_iter=40)
    rows = ROWS["gaussian"]
    assert (plain.transform(rows) ** 2).sum() > (held.transform(rows) ** 2).sum()
    assert plain.elbo(rows).mean() > held.elbo(rows).mean()  # without log p(z) against with
    with pytest.raises(ValueError, match="hard-em"):
        held.log_marginal(rows)


def test_beta_trades_reconstruction_for_divergence():
    low, high = (fitted("gaussian", beta=beta, max_iter=40) for beta in (0.1, 10.0))
    rows = ROWS["gaussian"]
    errors = [np.square(vae.reconstruct(rows) - rows).mean() for vae in (low, high)]
    assert errors[0] < errors[1]


# ---- data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_sparse_rows_are_dense_ones(likelihood):
    rows = np.round(ROWS[likelihood])
    thin = scipy.sparse.csr_matrix(rows)
    dense, sparse = fitted(likelihood, rows), fitted(likelihood, thin)
    np.testing.assert_array_equal(weights(dense), weights(sparse))
    np.testing.assert_array_equal(dense.elbo(rows), dense.elbo(thin))
    np.testing.assert_array_equal(weights(dense), weights(fitted(likelihood, thin.tocsc())))


def test_rows_of_any_type_are_the_same():
    rows = (X > 0.5).astype(np.float64)
    expected = weights(fitted(rows=rows))
    for dtype in (np.float32, np.uint8, bool, np.int64):
        np.testing.assert_array_equal(weights(fitted(rows=rows.astype(dtype))), expected)
    np.testing.assert_array_equal(weights(fitted(rows=np.asfortranarray(rows))), expected)


def test_rows_of_weight_zero_are_as_if_they_were_not_there():
    w = np.ones(150)
    w[[3, 50, 149]] = 0
    without = fitted(rows=X[w > 0])
    np.testing.assert_array_equal(weights(fitted(rows=X, sample_weight=w)), weights(without))
    other = fitted(rows=X, sample_weight=w + np.linspace(0, 1, 150))
    assert not np.array_equal(weights(other), weights(without))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_missing_values_are_left_out_and_filled_in(likelihood):
    rows = ROWS[likelihood].copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.2] = np.nan
    with pytest.raises(ValueError, match="missing='marginalize'"):
        autoencoder(likelihood).fit(rows)
    vae = fitted(likelihood, rows, missing="marginalize", max_iter=30, learning_rate_init=0.01)
    filled = vae.reconstruct(rows)
    holes = np.isnan(rows)
    truth, means = ROWS[likelihood][holes], np.nanmean(rows, axis=0)[np.nonzero(holes)[1]]
    assert np.abs(filled[holes] - truth).mean() < np.abs(means - truth).mean()
    nothing = vae.log_marginal(np.full((1, 6), np.nan), 20, refine=60)
    np.testing.assert_allclose(nothing.log_marginal, 0, atol=1e-3)  # of an empty product


# ---- going on ----------------------------------------------------------------------------------


def test_partial_fit_goes_on_and_fit_forgets_it():
    vae = autoencoder(likelihood="gaussian")
    rows = ROWS["gaussian"]
    for _ in range(25):
        vae.partial_fit(rows)
    assert vae.n_iter_ == len(vae.loss_curve_) == 25
    assert vae.loss_curve_[-1] < vae.loss_curve_[0] - 0.5
    before = weights(vae)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes is \(3,\), but was \(16,\)"):
        vae.set_params(hidden_layer_sizes=(3,)).partial_fit(rows)
    np.testing.assert_array_equal(weights(vae), before)
    vae.set_params(hidden_layer_sizes=(16,), max_iter=1)
    assert len(vae.fit(rows).loss_curve_) == 1
    assert "_online" not in vars(vae)
    assert not hasattr(VariationalAutoencoder(**LINEAR), "partial_fit")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beta_1", 0.5),
        ("beta_2", 0.5),
        ("inference", "hard-em"),
        ("missing", "marginalize"),
        ("kl_warmup", 3),
        ("n_components", 3),
    ],
)
def test_partial_fit_names_the_option_that_changed(name, value):
    vae = autoencoder().partial_fit(X)
    before = weights(vae)
    with pytest.raises(ValueError, match=f"^{name} is {value!r}, but was"):
        vae.set_params(**{name: value}).partial_fit(X)
    np.testing.assert_array_equal(weights(vae), before)


def test_partial_fit_may_change_the_size_of_steps():
    vae = autoencoder().partial_fit(X)
    vae.set_params(learning_rate_init=1e-9, batch_size=7, n_jobs=2)
    before = weights(vae)
    np.testing.assert_allclose(weights(vae.partial_fit(X)), before, atol=1e-6)


@pytest.mark.parametrize("noise", ["spherical", "diag"])
def test_warm_start_of_exact_em(noise):
    """It begins where the last fit ended, on whatever rows."""
    rows = ROWS["gaussian"]
    options = {**LINEAR, "noise": noise, "tol": 1e-6, "max_iter": 5000, "random_state": 0}
    first = VariationalAutoencoder(2, **options).fit(rows)
    # Rows that were not fitted: spherical EM would begin at their closed form.
    others = rows[::2] * 1.5
    warm = VariationalAutoencoder(2, **options).fit(rows)
    warm.set_params(warm_start=True, max_iter=1, tol=0.0)
    with pytest.warns(ConvergenceWarning):
        warm.fit(others)
    assert warm.lower_bounds_[0] == pytest.approx(first.score_samples(others).sum(), rel=1e-9)
    with pytest.raises(ValueError, match="warm_start"):
        warm.set_params(n_components=1).fit(rows)


def test_warm_start_goes_on_from_the_weights():
    vae = fitted("gaussian", max_iter=20)
    cold, warm = vae.loss_curve_[0], vae.loss_curve_[-1]
    vae.set_params(warm_start=True, max_iter=1).fit(ROWS["gaussian"])
    assert abs(vae.loss_curve_[0] - warm) < 0.2 * (cold - warm)
    with pytest.raises(ValueError, match="warm_start"):
        vae.set_params(hidden_layer_sizes=(3,)).fit(ROWS["gaussian"])


def test_early_stopping_keeps_the_best_and_waits_for_the_warmup():
    options = {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 200}
    vae = fitted("gaussian", learning_rate_init=0.02, **options)
    scores = vae.validation_scores_
    assert vae.converged_
    assert vae.n_iter_ < 200
    assert len(scores) == vae.n_iter_ + 1
    assert max(scores) > scores[-1]
    assert max(scores[-2:]) <= max(scores[:-2]) + 1e-4
    _, held = vae._split(vae._block(ROWS["gaussian"]))
    assert held.n == 15
    assert points.held_out_bound(*vae._fitted(), held, 0, 1) == pytest.approx(max(scores))
    waiting = fitted("gaussian", learning_rate_init=0.02, kl_warmup=60, **options)
    assert waiting.n_iter_ >= 60
    with pytest.raises(ValueError, match="leaves none to train with"):
        autoencoder(early_stopping=True).fit(X[:1])


def test_rows_held_out_are_of_the_random_state():
    """Also where it is a generator: other seeds, other rows; the same seed, the same ones."""
    block = fitted()._block(X)
    for kind in (np.random.default_rng, np.random.RandomState):
        a, b, c = (
            autoencoder(early_stopping=True, random_state=kind(seed))._split(block)[1].X
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_callbacks_see_every_pass_and_stop():
    seen = []

    def stop(iteration, objective, elapsed):
        seen.append(iteration)
        return iteration == 2

    vae = fitted(callbacks=stop)
    assert seen == [0, 1, 2]
    assert vae.stop_reason_ == "callback"
    assert vae.n_iter_ == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"likelihood": "gaussian", "noise": "diag", "hidden_layer_sizes": (4, 3)},
        {"early_stopping": True},
        LINEAR,
    ],
    ids=str,
)
def test_files_and_pickles(tmp_path, options):
    vae = fitted(**{"batch_size": 128, **options})
    rows = ROWS[vae.likelihood]
    path = tmp_path / "vae.safetensors"
    vae.save(path)
    for other in (vemfast.load(path), pickle.loads(pickle.dumps(vae))):
        np.testing.assert_array_equal(weights(other), weights(vae))
        np.testing.assert_array_equal(other.elbo(rows), vae.elbo(rows))
        assert other.loss_curve_ == vae.loss_curve_


def test_torch_modules_give_the_same_numbers():
    torch = pytest.importorskip("torch")
    for activation in ("tanh", "relu", "gelu", "softplus", "identity"):
        vae = fitted(activation=activation, hidden_layer_sizes=(8, 5))
        encoder, decoder = vae.to_torch()
        with torch.no_grad():
            codes = encoder(torch.as_tensor(X, dtype=torch.float32))[:, :2]
            means = torch.sigmoid(decoder(codes))
        np.testing.assert_allclose(codes.numpy(), vae.transform(X), atol=2e-6)
        np.testing.assert_allclose(means.numpy(), vae.reconstruct(X), atol=2e-6)
