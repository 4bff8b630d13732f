"""The page that adds a model runs as it stands, and does what it says."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest

from vemfast.data import RowBlock
from vemfast.models.base import Model
from vemfast.testing import check_model

PAGE = Path(__file__).parents[2] / "docs" / "extend.md"


@pytest.fixture(scope="module")
def page():
    """Return the names that the page's code leaves behind."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_it_is_a_page():
    assert len(PAGE.read_text("utf-8").splitlines()) <= 125


def test_every_schedule_finds_the_planted_rates(page):
    results = page["results"]
    assert set(results) == {"batch", "memoized", "minibatch"}
    for schedule, result in results.items():
        order = np.argsort(result.params["rates"])
        np.testing.assert_allclose(result.params["rates"][order], [2.0, 9.0], atol=0.25)
        weights = result.params["weights"][[0, *(1 + order)]]
        np.testing.assert_allclose(weights, [0.3, 0.5, 0.2], atol=0.04)
        assert result.converged == (schedule != "minibatch")
    bounds = [result.lower_bound for result in results.values()]
    assert bounds[0] == pytest.approx(bounds[1], abs=0.05)


def test_the_objective_is_the_log_likelihood(page):
    from scipy.stats import poisson

    result, X = page["results"]["batch"], page["X"]
    weights, rates = result.params["weights"], result.params["rates"]
    density = weights[0] * (X[:, 0] == 0) + poisson(rates).pmf(X) @ weights[1:]
    assert result.lower_bound == pytest.approx(np.log(density).sum(), rel=1e-12)


def test_the_table_names_what_the_base_class_asks_for(page):
    table = re.findall(r"^\| `(\w+)[`(]", PAGE.read_text("utf-8"), re.MULTILINE)
    assert table == ["layout", "init", "e_step", "update", "global_term"]
    own = vars(page["ZeroInflatedPoissonMixture"])
    assert set(table) - {"layout"} < set(own)
    assert issubclass(page["ZeroInflatedPoissonMixture"], Model)


def wrong_sum(base):
    class Wrong(base):
        def e_step(self, params, block, step):
            stats = super().e_step(params, block, step)
            stats["sums"] /= block.n
            return stats

    return Wrong, "do not add up"


def wrong_entropy(base):
    class Wrong(base):
        def e_step(self, params, block, step):
            stats = super().e_step(params, block, step)
            stats.entropy *= 0.99
            return stats

    return Wrong, "local_bound is"


def wrong_update(base):
    class Wrong(base):
        def update(self, params, stats, step):
            params = super().update(params, stats, step)
            return params | {"rates": params["rates"] * (1.5 if step.iteration == 6 else 1.0)}

    return Wrong, "the objective fell"


def wrong_weights(base):
    class Wrong(base):
        def e_step(self, params, block, step):
            return super().e_step(params, RowBlock(block.X, None, block.offset), step)

    return Wrong, "weight"


def wrong_threads(base):
    class Wrong(base):
        def e_step(self, params, block, step):
            stats = super().e_step(params, block, step)
            alone = threading.current_thread() is threading.main_thread()
            return stats if alone else (1 + 1e-15) * stats

    return Wrong, "other bits"


@pytest.mark.parametrize(
    "mistake", [wrong_sum, wrong_entropy, wrong_update, wrong_weights, wrong_threads]
)
def test_the_checks_catch_a_mistake(page, mistake):
    model, message = mistake(page["ZeroInflatedPoissonMixture"])
    with pytest.raises((AssertionError, ArithmeticError), match=message):
        check_model(model(2), page["X"][:500])
