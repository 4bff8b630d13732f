"""Local state: who keeps it, when it is accepted, and that it stays out of everything else."""

import copy
import pickle

import numpy as np
import pytest

from vemfast.data import RowBlock
from vemfast.errors import NumericalError
from vemfast.execution.threads import e_step
from vemfast.inference import fit, run
from vemfast.inference.engine import Control
from vemfast.models.base import Model, Step
from vemfast.stats import Layout, Stats


class Cell:
    """A block with state."""

    dtype = np.dtype(np.float64)

    def __init__(self, name, local=None):
        self.name, self.local, self.pending = name, local, None
        self.n, self.total_weight = 1, 1.0

    def fork(self):
        return Cell(self.name, self.local)


class Counting(Model):
    """Each E-step of a block goes one further than the last; parameters count the updates."""

    layout = Layout({"steps": ()})
    local_rules = {"em": "exact", "gibbs": "sampled"}  # noqa: RUF012
    proposes = False

    def __init__(self):
        self.seen = []

    def init(self, blocks, step):
        return 0.0

    def e_step(self, params, block, step):
        stats = Stats(self.layout)
        reached = (block.local or 0) + 1
        self.seen.append((block.name, params, block.local))
        stats["steps"] = reached
        stats.local_bound = stats.entropy = float(reached)
        stats.local = reached
        return stats

    def update(self, params, stats, step):
        return params + 1

    def global_term(self, params):
        return 0.0

    def expected_log_joint(self, params, stats):
        return 0.0

    def propose(self, params, stats, blocks, step):
        return params + 0.5 if self.proposes else None


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

STEP = Step()


def test_state_does_not_add_up():
    stats = Stats(Counting.layout)
    stats.local = "state"
    for other in (stats + stats, stats - stats, 2 * stats, pickle.loads(pickle.dumps(stats))):
        assert other.local is None
    assert stats.local == "state"


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("names", ["a", "abc"])
def test_the_e_step_leaves_state_waiting(names, n_jobs):
    blocks = [Cell(name, 4) for name in names]
    stats = e_step(Counting(), 0.0, blocks, Step(n_jobs=n_jobs))
    assert stats.local is None
    assert [(block.local, block.pending) for block in blocks] == [(4, 5)] * len(names)


def test_rows_have_no_place_for_it():
    class OfRows(Counting):
        def e_step(self, params, block, step):
            stats = Stats(self.layout)
            stats.local = "state"
            return stats

    block = RowBlock(np.ones((3, 1)))
    assert e_step(OfRows(), 0.0, [block], STEP).local is None


def test_batch_goes_on_from_accepted_state():
    model, block = Counting(), Cell("a")
    result = fit(model, [block], tol=0, max_iter=3)
    assert [local for _, _, local in model.seen] == [None, 1, 2, 3]
    assert result.lower_bounds == [1.0, 2.0, 3.0, 4.0]
    assert (block.local, block.pending) == (None, None)  # the caller's stays as it was
    assert result.stats.local is None


def test_a_given_state_is_gone_on_from():
    model, block = Counting(), Cell("a", local=10)
    assert fit(model, [block], tol=0, max_iter=1).lower_bounds == [11.0, 12.0]
    assert (block.local, block.pending) == (10, None)


def test_memoized_accepts_block_by_block():
    model = Counting()
    fit(model, [Cell("a"), Cell("b")], schedule="memoized", tol=0, max_iter=2)
    assert model.seen == [
        ("a", 0.0, None), ("b", 0.0, None),
        ("a", 1.0, 1), ("b", 2.0, 1),
        ("a", 3.0, 2), ("b", 4.0, 2),
    ]  # fmt: skip


def test_minibatch_starts_afresh():
    model = Counting()
    fit(model, [Cell("a"), Cell("b")], schedule="minibatch", max_iter=3)
    assert {local for _, _, local in model.seen} == {None}


def test_gibbs_goes_on_too():
    model = Counting()
    fit(model, [Cell("a")], inference="gibbs", n_burn=1, n_draws=3)
    assert [local for _, _, local in model.seen] == [None, 1, 2, 3, 4]


def test_a_proposal_that_is_tried_changes_no_state():
    model = Counting()
    model.proposes = True
    fit(model, [Cell("a")], tol=0, max_iter=2)
    # The E-step of the start, the proposal's, that of what it is compared with, and so on.
    assert [local for _, _, local in model.seen] == [None, 1, 1, 1, 2, 2, 2]


def test_a_rejected_iteration_leaves_the_last_accepted_state(monkeypatch):
    class Falling(Counting):
        def global_term(self, params):
            return -100.0 if params == 2 else 0.0

    kept = []
    monkeypatch.setattr(
        "vemfast.inference.engine.forked", lambda blocks: kept.extend(blocks) or blocks
    )
    block = Cell("a")
    with pytest.raises(NumericalError, match="fell at iteration 2"):
        run(Falling(), [block], 0.0, STEP, Control(tol=0.0, max_iter=5))
    assert (block.local, block.pending) == (2, 3)


def test_starts_do_not_share_state():
    blocks = [Cell("a")]
    first, second = Counting(), Counting()
    control = Control(tol=0.0, max_iter=2)
    for model in (first, second):
        run(model, blocks, 0.0, STEP, control)
    assert first.seen == second.seen
    assert copy.copy(blocks[0]).local is None
