"""The native mixture's whole iteration in one call gives the numbers of its steps, to the bit."""

import itertools

import numpy as np
import pytest

from vemfast import RowBlock, Step
from vemfast.execution.threads import e_step
from vemfast.inference.engine import Control, run
from vemfast.models.gaussian_config import COVARIANCE_TYPES, Start
from vemfast.models.gaussian_mixture import GaussianMixture
from vemfast.models.gaussian_setup import Hyperparameters, configure, scan

RUNGS = {
    "em": ("exact", "point"),
    "hard-em": ("hard", "point"),
    "mean-field": ("exact", "posterior"),
    "gibbs": ("sampled", "sampled"),
}


def problem(covariance_type, inference, dtype=np.float64, n=700, means=None, **hyper):
    rng = np.random.default_rng(3)
    X = (rng.normal(size=(n, 3)) + 3 * rng.integers(0, 2, (n, 1))).astype(dtype)
    block = RowBlock(X, rng.uniform(0.5, 2, n))
    local, parameter = RUNGS[inference]
    config = configure(
        block, scan(block, 1), 3, covariance_type, inference, parameter, Hyperparameters(**hyper), 1
    )
    return GaussianMixture(config, Start(means=means)), block, Step(local, parameter, 7, 0, 1)


class InSteps(GaussianMixture):
    """The model without its short cut."""

    def iterate(self, params, stats, blocks, step):
        return None


@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_as_the_steps(covariance_type, inference, dtype):
    model, block, step = problem(covariance_type, inference, dtype)
    params, stats = model.init([block], step), None
    for _ in range(4):
        at_once = model.iterate(params, stats, [block], step)
        if stats is not None:
            params = model.update(params, stats, step)
        stats = e_step(model, model.prepare(params), [block], step)
        assert at_once is not None
        assert at_once[0].kind == params.kind
        assert at_once[0].buffer.tobytes() == params.buffer.tobytes()
        assert at_once[1].buffer.tobytes() == stats.buffer.tobytes()
        assert at_once[2] == stats.local_bound + model.global_term(params)
        step = step.next


@pytest.mark.parametrize("inference", ["em", "mean-field"])
def test_the_driver_gets_the_same_trace_either_way(inference):
    model, block, step = problem("full", inference)
    start = model.init([block], step)
    control = Control(tol=0, max_iter=12)
    quick = run(model, [block], start, step, control)
    slow = run(InSteps(model.config), [block], start, step, control)
    assert quick.lower_bounds == slow.lower_bounds
    assert quick.params.buffer.tobytes() == slow.params.buffer.tobytes()


def test_several_blocks_go_in_steps():
    model, block, step = problem("full", "em")
    assert model.iterate(model.init([block], step), None, block.cut(2), step) is None


def test_an_empty_component_leaves_room_for_a_proposal():
    """And the driver takes it: a component far from all rows ends among them."""
    means = np.array([[0.0, 0, 0], [3, 3, 3], [1e3, 1e3, 1e3]])
    model, block, step = problem("full", "em", means=means)
    params = model.init([block], step)
    _, stats, _ = model.iterate(params, None, [block], step)
    assert stats["counts"].min() == 0
    assert model.iterate(params, stats, [block], step.next) is None
    result = run(model, [block], params, step, Control(max_iter=50))
    assert result.stats["counts"].min() > 0
    assert all(b >= a - 1e-9 * abs(a) for a, b in itertools.pairwise(result.lower_bounds))


def test_a_component_without_rows_is_no_matter_to_a_posterior():
    means = np.array([[0.0, 0, 0], [3, 3, 3], [1e3, 1e3, 1e3]])
    model, block, step = problem("full", "mean-field", means=means)
    params, stats, _ = model.iterate(model.init([block], step), None, [block], step)
    stats["counts"][2] = 0
    assert model.iterate(params, stats, [block], step.next) is not None
