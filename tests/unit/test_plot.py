"""Pictures: what is on the axes, without a screen and without matplotlib."""

import builtins
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from vemfast import (
    GaussianHMM,
    GaussianMixture,
    LatentDirichletAllocation,
    VariationalAutoencoder,
    plot,
)
from vemfast.models.gaussian_config import COVARIANCE_TYPES

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Ellipse  # noqa: E402

_rng = np.random.default_rng(0)
X = np.concatenate([_rng.normal(0, 1, (80, 3)), _rng.normal(6, (0.5, 1, 2), (40, 3))])


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


@pytest.fixture
def axes():
    return Figure().add_subplot()


def fitted(**options):
    return GaussianMixture(2, random_state=0, **options).fit(X)


def test_trace_draws_every_iteration_and_the_start(axes):
    estimator = fitted()
    assert plot.trace(estimator, axes) is axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), estimator.lower_bounds_)
    np.testing.assert_array_equal(line.get_xdata(), range(estimator.n_iter_ + 1))
    assert axes.get_xlabel() == "iteration"
    assert axes.get_ylabel() == "objective (nats)"


def test_without_axes_a_figure_is_made():
    estimator = fitted()
    figures = {plot.trace(estimator).figure, plot.ellipses(estimator).figure}
    assert len(figures) == 2


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_ellipses_are_the_marginal_covariances(axes, covariance_type):
    estimator = fitted(covariance_type=covariance_type)
    pair = [2, 0]
    plot.ellipses(estimator, X, axes, columns=(2, 0), n_std=1.5)
    patches = [patch for patch in axes.patches if isinstance(patch, Ellipse)]
    matrices = {
        "full": lambda c: c,
        "tied": lambda c: np.array([c, c]),
        "diag": lambda c: np.array([np.diag(v) for v in c]),
        "spherical": lambda c: c[:, None, None] * np.eye(3),
        "tied-spherical": lambda c: np.broadcast_to(c * np.eye(3), (2, 3, 3)),
    }[covariance_type](estimator.covariances_)
    assert len(patches) == 2
    for patch, mean, matrix in zip(patches, estimator.means_, matrices, strict=True):
        np.testing.assert_allclose(patch.center, mean[pair])
        turn = np.radians(patch.angle)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        axis = np.diag([patch.width, patch.height]) / (2 * 1.5)
        np.testing.assert_allclose(
            rotation @ axis**2 @ rotation.T, matrix[np.ix_(pair, pair)], atol=1e-12
        )
    (points,) = axes.collections
    np.testing.assert_array_equal(points.get_offsets(), X[:, pair])
    left, right = axes.get_xlim()
    assert left < X[:, 2].min() < X[:, 2].max() < right


def test_ellipses_need_two_features(axes):
    estimator = fitted()
    for columns in [(0, 3), (0,), (-1, 0)]:
        with pytest.raises(ValueError, match="must be two of the 3 features"):
            plot.ellipses(estimator, ax=axes, columns=columns)


def test_names_of_columns_are_on_the_axes(axes):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    plot.ellipses(GaussianMixture(2, random_state=0).fit(frame), frame, axes, columns=(1, 2))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("b", "c")


def test_the_ladder_is_what_was_reached_against_time(axes):
    rows = [
        SimpleNamespace(rung="gibbs", seconds=4.0, held_out=-1.0),
        SimpleNamespace(rung="em", seconds=0.5, held_out=-1.5),
        SimpleNamespace(rung="hard-em", seconds=0.1, held_out=-2.0),
    ]
    assert plot.ladder(SimpleNamespace(rows=rows), axes) is axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), [4.0, 0.5, 0.1])
    np.testing.assert_array_equal(line.get_ydata(), [-1.0, -1.5, -2.0])
    assert [text.get_text() for text in axes.texts] == ["gibbs", "em", "hard-em"]
    assert axes.get_xscale() == "log"


def test_what_is_not_fitted():
    for draw in (plot.trace, plot.ellipses):
        with pytest.raises(NotFittedError):
            draw(GaussianMixture())


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **options)

    estimator = fitted()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'needs matplotlib: pip install "vemfast\[plot\]"'):
        plot.trace(estimator)


# ---- topics ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def topics():
    rng = np.random.default_rng(1)
    shape = np.kron(np.eye(2), np.ones(4) / 4)
    counts = np.array([rng.multinomial(30, shape[int(i % 3 == 0)]) for i in range(60)])
    return LatentDirichletAllocation(2, random_state=0).fit(counts), counts


def test_top_words_are_bars_the_likeliest_on_top(axes, topics):
    lda, _ = topics
    words = list("abcdefgh")
    assert plot.top_words(lda, 1, words, n=3, ax=axes) is axes
    np.testing.assert_allclose(
        [patch.get_width() for patch in axes.patches], np.sort(lda.topic_word_[1])[::-1][:3]
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == lda.top_words(words, 3)[1]
    low, high = axes.get_ylim()
    assert low > high
    for topic in (2, -1):
        with pytest.raises(ValueError, match=f"topic {topic} is not one of the 2 topics"):
            plot.top_words(lda, topic, ax=axes)
    with pytest.raises(NotFittedError):
        plot.top_words(LatentDirichletAllocation(), 0, ax=axes)


def test_topic_proportions_are_means_the_largest_first(axes, topics):
    lda, counts = topics
    assert plot.topic_proportions(lda, counts, ax=axes) is axes
    widths = [patch.get_width() for patch in axes.patches]
    np.testing.assert_allclose(widths, np.sort(lda.transform(counts).mean(axis=0))[::-1])
    assert widths[0] == pytest.approx(2 / 3, abs=0.05)
    first = int(np.argmax(lda.transform(counts).mean(axis=0)))
    label = axes.get_yticklabels()[0].get_text()
    assert label == f"{first}: {', '.join(map(str, lda.top_words(n=3)[first]))}"


def test_held_out_scores_by_time(axes):
    curves = {"mean-field": [(0.1, -8.0), (1.0, -7.5)], "gibbs": [(0.5, -7.9)]}
    assert plot.held_out(curves, axes) is axes
    for line, (name, points) in zip(axes.lines, curves.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xydata(), points)
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() == "held-out score (nats a token)"


def test_decoded_states_are_spans_below_the_series(axes):
    X = np.repeat([0.0, 8.0, 0.0], [5, 7, 4])[:, None] + np.tile([0.1, -0.1], 8)[:, None]
    hmm = GaussianHMM(2, means_init=[[0.0], [8.0]]).fit(X)
    assert plot.decoded(hmm, X, ax=axes) is axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), X[:, 0])
    edges = [(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches]
    np.testing.assert_allclose(edges, [(-0.5, 4.5), (4.5, 11.5), (11.5, 15.5)])
    colours = [patch.get_facecolor() for patch in axes.patches]
    assert colours[0] == colours[2] != colours[1]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["state 0", "state 1"]


def test_transitions_are_cells_with_their_numbers(axes):
    with pytest.raises(NotFittedError):
        plot.transitions(GaussianHMM(2), axes)
    hmm = GaussianHMM(2, transmat_frozen=[[0.75, 0.25], [0.5, 0.5]], n_iter=2, tol=1e9)
    hmm.fit(np.repeat([[0.0], [9.0]], 5, axis=0) + np.arange(10)[:, None] * 0.1)
    assert plot.transitions(hmm, axes) is axes
    np.testing.assert_array_equal(axes.images[0].get_array(), hmm.transmat_)
    assert [text.get_text() for text in axes.texts] == ["0.75", "0.25", "0.5", "0.5"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("next state", "state")


# ---- autoencoders ----


@pytest.fixture(scope="module")
def images():
    return np.repeat(np.random.default_rng(0).random((40, 2)) < 0.5, 8, axis=1).astype(float)


@pytest.fixture(scope="module")
def autoencoder(images):
    vae = VariationalAutoencoder(
        2, hidden_layer_sizes=8, max_iter=20, early_stopping=True, random_state=0, beta=0.1
    )
    return vae.fit(images)


def test_the_loss_is_drawn_by_pass(axes, autoencoder):
    training, held_out = plot.loss_curve(autoencoder, axes).lines
    np.testing.assert_array_equal(training.get_ydata(), autoencoder.loss_curve_)
    np.testing.assert_array_equal(-held_out.get_ydata(), autoencoder.validation_scores_)
    assert training.get_xdata()[0] == 1
    assert held_out.get_xdata()[0] == 0


def test_reconstructions_stand_to_the_right_of_rows(axes, autoencoder, images):
    plot.reconstructions(autoencoder, images, n=4, ax=axes)
    drawn = axes.images[0].get_array()
    assert drawn.shape == (8, 16)
    np.testing.assert_array_equal(drawn[:4, 8:12], images[1].reshape(4, 4))
    expected = autoencoder.reconstruct(images[1:2]).reshape(4, 4)
    np.testing.assert_array_equal(drawn[:4, 12:], expected)
    with pytest.raises(ValueError, match="no image of 3 x 5"):
        plot.reconstructions(autoencoder, images, shape=(3, 5), ax=axes)


def test_codes_are_drawn_by_class(axes, autoencoder, images):
    labels = images[:, 0]
    plot.latent(autoencoder, images, labels, ax=axes)
    codes = autoencoder.transform(images)
    for value, points in zip((0, 1), axes.collections, strict=True):
        np.testing.assert_array_equal(points.get_offsets(), codes[labels == value])
    with pytest.raises(ValueError, match="2 dimension"):
        plot.latent(autoencoder, images, columns=(0, 2))


def test_the_manifold_is_at_quantiles_of_the_prior(axes, autoencoder):
    plot.manifold(autoencoder, n=3, ax=axes)
    drawn = axes.images[0].get_array()
    middle = autoencoder.inverse_transform(np.zeros((1, 2))).reshape(4, 4)
    np.testing.assert_allclose(drawn[4:8, 4:8], middle)
    corner = autoencoder.inverse_transform([[-0.96742157, 0.96742157]]).reshape(4, 4)
    np.testing.assert_allclose(drawn[:4, :4], corner, rtol=1e-5)
