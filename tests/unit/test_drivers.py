"""Drivers, threads, restarts and the generic engine, on a model small enough to check by hand."""

import ast
import inspect
import sys
import threading
import warnings

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from vemfast.data import RowBlock, make_blocks
from vemfast.errors import DegenerateWarning, NumericalError
from vemfast.execution import threads
from vemfast.execution.threads import e_step, effective_n_jobs
from vemfast.inference import Control, FitResult, best, fit, run, run_starts, seeds
from vemfast.inference.batch import batch
from vemfast.inference.memoized import memoized
from vemfast.inference.minibatch import minibatch
from vemfast.inference.restarts import share_threads
from vemfast.models.base import Model, Step
from vemfast.stats import Layout, Stats

rng = np.random.default_rng(5)
X = np.concatenate([rng.normal(-2, 1, 60), rng.normal(3, 1, 90)])[:, None]
rng.shuffle(X)
START = np.array([-0.5, 0.7])


class UnitMixture(Model):
    """Two Gaussians of variance 1 and weight 1/2 on the line; parameters are the two means."""

    layout = Layout({"counts": (2,), "sums": (2,), "squares": ()})
    local_rules = {"gibbs": "sampled", "em": "exact"}  # noqa: RUF012

    def init(self, blocks, step):
        return START

    def scores(self, means, x):
        return -0.5 * (x - means) ** 2 - 0.5 * np.log(2 * np.pi) - np.log(2)

    def e_step(self, means, block, step):
        w = np.ones(block.n) if block.weights is None else block.weights
        scores = self.scores(means, block.X.astype(float))
        total = logsumexp(scores, axis=1)
        r = np.exp(scores - total[:, None])
        stats = Stats(self.layout)
        stats.local_bound = w @ total
        stats.entropy = w @ (total - (r * scores).sum(axis=1))
        stats["counts"], stats["sums"] = w @ r, (w * block.X[:, 0]) @ r
        stats["squares"] = w @ block.X[:, 0] ** 2
        return stats

    def update(self, means, stats, step):
        return stats["sums"] / stats["counts"]

    def global_term(self, means):
        return 0.0

    def expected_log_joint(self, m, stats):
        n, s = stats["counts"], stats["sums"]
        constant = n.sum() * (-0.5 * np.log(2 * np.pi) - np.log(2))
        return float(constant - 0.5 * stats["squares"] + m @ s - 0.5 * n @ m**2)


class WithoutNaturalForm(UnitMixture):
    expected_log_joint = Model.expected_log_joint


def quiet_fit(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(*args, **kwargs)


def em_by_hand(n_iter):
    """Yield the means and the log-likelihood of each iteration."""
    means = START
    for _ in range(n_iter + 1):
        density = np.exp(-0.5 * (X - means) ** 2) / np.sqrt(2 * np.pi) / 2
        yield means, np.log(density.sum(axis=1)).sum()
        r = density / density.sum(axis=1, keepdims=True)
        means = (r * X).sum(axis=0) / r.sum(axis=0)


# ---- the drivers ----


@pytest.mark.parametrize("driver", [batch, memoized, minibatch])
def test_a_driver_reads_as_its_algorithm(driver):
    (function,) = ast.parse(inspect.getsource(driver)).body
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt)]
    assert len(statements) - 2 <= 10  # without the def and its docstring
    assert "rule" not in inspect.getsource(driver)


def test_batch_is_em_iteration_by_iteration():
    result = quiet_fit(UnitMixture(), X, tol=0, max_iter=7)
    by_hand = list(em_by_hand(7))
    np.testing.assert_allclose(result.lower_bounds, [bound for _, bound in by_hand], rtol=1e-13)
    np.testing.assert_allclose(result.params, by_hand[-1][0], rtol=1e-12)
    assert result.n_iter == 7
    assert result.lower_bound == result.lower_bounds[-1]


def test_the_last_objective_is_that_of_the_returned_parameters():
    for schedule in ("batch", "memoized"):
        result = fit(UnitMixture(), X, schedule=schedule)
        assert result.converged
        natural = UnitMixture().expected_log_joint(result.params, result.stats)
        assert result.lower_bound == pytest.approx(result.stats.entropy + natural, rel=1e-12)
    result = fit(UnitMixture(), X)
    stats = UnitMixture().e_step(result.params, RowBlock(X), Step())
    assert result.lower_bound == stats.local_bound


def test_memoized_with_one_batch_is_batch():
    a = quiet_fit(UnitMixture(), X, tol=0, max_iter=6)
    b = quiet_fit(UnitMixture(), X, tol=0, max_iter=6, schedule="memoized", n_batches=1)
    np.testing.assert_allclose(a.lower_bounds, b.lower_bounds, rtol=1e-12)
    np.testing.assert_allclose(a.params, b.params, rtol=1e-12)


@pytest.mark.parametrize("n_batches", [2, 7, 150])
def test_memoized_climbs_to_the_same_place_in_fewer_passes(n_batches):
    # A pass never does worse than a batch iteration here, and the bound never falls.
    a = fit(UnitMixture(), X, tol=1e-10)
    b = fit(UnitMixture(), X, tol=1e-10, schedule="memoized", n_batches=n_batches)
    assert b.lower_bound == pytest.approx(a.lower_bound, rel=1e-8)
    assert b.n_iter <= a.n_iter
    assert np.diff(b.lower_bounds).min() >= -1e-10


def test_memoized_says_what_it_needs():
    with pytest.raises(NotImplementedError, match=r"WithoutNaturalForm\.expected_log_joint"):
        fit(WithoutNaturalForm(), X, schedule="memoized")


class Recorder(UnitMixture):
    """Remembers what it was given."""

    def __init__(self):
        self.steps, self.updates = [], []

    def e_step(self, means, block, step):
        self.steps.append((step.iteration, block.offset))
        return super().e_step(means, block, step)

    def update(self, means, stats, step):
        self.updates.append((step.iteration, stats.copy()))
        return super().update(means, stats, step)


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        ("batch", [(0, 0), (1, 0), (2, 0)]),
        ("memoized", [(0, 0), (0, 75), (1, 0), (1, 75), (2, 0), (2, 75)]),
        ("minibatch", [(0, 75), (1, 0), (1, 75), (2, 0), (2, 75)]),
    ],
)
def test_an_iteration_has_one_number(schedule, steps):
    model = Recorder()
    options = {} if schedule == "batch" else {"n_batches": 2}
    quiet_fit(model, X, schedule=schedule, max_iter=2, **options)
    assert model.steps == steps
    assert [i for i, _ in model.updates] == ([1, 2] if schedule == "batch" else [1, 1, 2, 2])


def test_minibatch_blends_with_the_documented_rate():
    model, decay, offset = Recorder(), 0.6, 3.0
    blocks = make_blocks(X, n_batches=3)
    result = fit(
        model, blocks, schedule="minibatch", max_iter=2, learning_decay=decay,
        learning_offset=offset,
    )  # fmt: skip
    plain, means = UnitMixture(), START
    stats = 3 * plain.e_step(means, blocks[-1], Step())
    for t in range(1, 7):
        np.testing.assert_allclose(model.updates[t - 1][1].buffer, stats.buffer, rtol=1e-12)
        means = plain.update(means, stats, Step())
        rate = (t + offset) ** -decay
        part = 3 * plain.e_step(means, blocks[(t - 1) % 3], Step())
        stats = (1 - rate) * stats + rate * part
    np.testing.assert_allclose(result.params, means, rtol=1e-12)
    assert result.lower_bound == pytest.approx(stats.local_bound, rel=1e-12)
    assert result.stop_reason == "max_iter"


def test_minibatch_scales_by_weight_and_not_by_rows():
    weights = np.ones(150)
    weights[:75] = 3.0
    blocks = make_blocks(X, weights, n_batches=2)
    model = Recorder()
    fit(model, blocks, schedule="minibatch", max_iter=1)
    for _, stats in model.updates:
        assert stats["counts"].sum() == pytest.approx(weights.sum(), rel=1e-12)


def test_minibatch_comes_near():
    exact = fit(UnitMixture(), X, tol=1e-10)
    noisy = fit(UnitMixture(), X, schedule="minibatch", max_iter=20)
    np.testing.assert_allclose(noisy.params, exact.params, atol=0.15)


def test_gibbs_runs_under_batch():
    result = fit(UnitMixture(), X, inference="gibbs", n_burn=3, n_draws=5, thin=2)
    assert len(result.draws) == 5
    assert result.n_iter == 13
    assert result.stop_reason == "max_iter"


# ---- moves ----


class Proposing(UnitMixture):
    def __init__(self, proposal):
        self.proposal, self.asked = proposal, 0

    def propose(self, params, stats, blocks, step):
        self.asked += 1
        return self.proposal if self.asked == 1 else None


def test_a_proposal_that_helps_is_kept():
    model = Proposing(np.array([-2.0, 3.0]))
    result = quiet_fit(model, X, max_iter=1)
    np.testing.assert_array_equal(result.params, [-2.0, 3.0])
    assert result.lower_bounds[1] > list(em_by_hand(1))[1][1]


def test_a_proposal_that_harms_is_dropped_and_no_other_asked_for():
    model = Proposing(np.array([-50.0, 50.0]))
    result = quiet_fit(model, X, max_iter=3, tol=0)
    np.testing.assert_allclose(result.lower_bounds, [b for _, b in em_by_hand(3)], rtol=1e-13)
    assert model.asked == 1


def test_a_sampler_takes_no_proposals():
    model = Proposing(np.array([-2.0, 3.0]))
    fit(model, X, inference="gibbs", n_burn=0, n_draws=2)
    assert model.asked == 0


# ---- faults ----


class Faulty(UnitMixture):
    """Raises in the E-step or the update of one iteration."""

    def __init__(self, error, iteration, where="e_step"):
        self.error, self.iteration, self.where = error, iteration, where

    def e_step(self, means, block, step):
        if self.where == "e_step" and step.iteration == self.iteration:
            raise self.error
        return super().e_step(means, block, step)

    def update(self, means, stats, step):
        if self.where == "update" and step.iteration == self.iteration:
            raise self.error
        return super().update(means, stats, step)


@pytest.mark.parametrize("schedule", ["batch", "memoized", "minibatch"])
@pytest.mark.parametrize("where", ["e_step", "update"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (NumericalError("component 3: ..."), "numerical"),
        (MemoryError(), "interrupted"),
    ],
    ids=["interrupt", "numerical", "memory"],
)
def test_a_fault_leaves_the_last_full_iteration(error, reason, where, schedule):
    options = {"schedule": schedule} | ({} if schedule == "minibatch" else {"tol": 0})
    whole = quiet_fit(UnitMixture(), X, max_iter=2, **options)
    with pytest.raises(type(error)) as caught:
        fit(Faulty(error, 3, where), X, **options)
    partial = caught.value.partial
    assert isinstance(partial, FitResult)
    assert (partial.stop_reason, partial.converged, partial.n_iter) == (reason, False, 2)
    assert partial.lower_bounds == whole.lower_bounds
    np.testing.assert_array_equal(partial.params, whole.params)


def test_ctrl_c_may_return_what_there_is():
    result = fit(Faulty(KeyboardInterrupt(), 3), X, on_interrupt="return")
    assert (result.stop_reason, result.converged, result.n_iter) == ("interrupted", False, 2)


def test_ctrl_c_before_the_first_iteration_has_nothing_to_return():
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(Faulty(KeyboardInterrupt(), 0), X, on_interrupt="return")
    assert caught.value.partial is None


def test_only_ctrl_c_is_returned():
    with pytest.raises(MemoryError):
        fit(Faulty(MemoryError(), 2), X, on_interrupt="return")


def test_a_callback_that_raises_leaves_its_iteration():
    def callback(iteration, **_):
        if iteration == 2:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full") as caught:
        fit(UnitMixture(), X, callbacks=callback)
    assert (caught.value.partial.n_iter, caught.value.partial.stop_reason) == (2, "callback")


def test_a_callback_can_stop():
    result = fit(UnitMixture(), X, callbacks=[lambda iteration, **_: iteration == 2])
    assert (result.n_iter, result.stop_reason, result.converged) == (2, "callback", False)


class Falling(UnitMixture):
    def global_term(self, means):
        self.calls = getattr(self, "calls", 0) + 1
        return -100.0 * (self.calls > 3)


def test_a_falling_objective_is_an_error_with_the_best_parameters():
    with pytest.raises(NumericalError, match="fell at iteration 3") as caught:
        fit(Falling(), X, tol=0)
    partial = caught.value.partial
    assert (partial.stop_reason, partial.converged, partial.n_iter) == ("numerical", False, 2)
    np.testing.assert_allclose(partial.params, list(em_by_hand(2))[-1][0], rtol=1e-12)


# ---- warnings ----


def test_not_converged_warns_once():
    with pytest.warns(ConvergenceWarning, match="max_iter=2") as caught:
        fit(UnitMixture(), X, max_iter=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "options",
    [
        {"inference": "gibbs", "n_draws": 1, "n_burn": 0},
        {"schedule": "minibatch", "max_iter": 1},
        {"max_iter": 2, "callbacks": lambda iteration, **_: iteration == 2},
        {"max_iter": 20},
    ],
    ids=["gibbs", "minibatch", "callback", "converged"],
)
def test_no_convergence_warning(options):
    fit(UnitMixture(), X, **options)


def test_a_diagnosis_is_a_warning():
    class Diagnosing(UnitMixture):
        def diagnose(self, params, stats):
            assert stats["counts"].sum() == pytest.approx(150)
            return ["component 1 is empty"]

    with pytest.warns(DegenerateWarning, match="component 1 is empty"):
        fit(Diagnosing(), X)


# ---- the generic engine ----


def test_kinds_of_data():
    reference = fit(UnitMixture(), X)
    for data in (RowBlock(X), [RowBlock(X)], X.tolist(), make_blocks(X, n_batches=4)):
        np.testing.assert_allclose(fit(UnitMixture(), data).params, reference.params, rtol=1e-12)


def test_batch_size():
    model = Recorder()
    fit(model, RowBlock(X, offset=1000), schedule="minibatch", batch_size=40, max_iter=1)
    assert {offset for _, offset in model.steps} == {1000, 1037, 1075, 1112}
    with pytest.raises(ValueError, match="batch_size must be >= 1; got 0"):
        fit(model, X, schedule="minibatch", batch_size=0)


def test_a_start_can_be_given():
    start = np.array([3.0, -2.0])
    result = fit(UnitMixture(), X, params=start)
    assert result.params[0] > result.params[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_iter": 0}, "max_iter must be >= 1; got 0"),
        ({"tol": -1.0}, "tol must be >= 0; got -1.0"),
        ({"tol": np.nan}, "tol must be >= 0; got nan"),
        ({"on_interrupt": "ignore"}, "'raise' or 'return'; got 'ignore'"),
        ({"n_jobs": 0}, "n_jobs=0 has no meaning"),
        ({"inference": "gibbs", "n_draws": 0}, "n_draws must be >= 1; got 0"),
        ({"inference": "gibbs", "n_burn": -1}, "n_burn must be >= 0; got -1"),
        ({"inference": "gibbs", "thin": 0}, "thin must be >= 1; got 0"),
        ({"schedule": "minibatch", "learning_decay": 0.5}, r"in \(0.5, 1\]; got 0.5"),
        ({"schedule": "minibatch", "learning_offset": -1}, "learning_offset must be >= 0; got -1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        fit(UnitMixture(), X, **options)


def test_base_class_names_what_is_missing():
    class Nothing(Model):
        layout = Layout({"counts": (1,)})

    model = Nothing()
    for call in (
        lambda: model.init([], Step()),
        lambda: model.e_step(None, None, Step()),
        lambda: model.update(None, None, Step()),
        lambda: model.global_term(None),
    ):
        with pytest.raises(NotImplementedError, match=r"Nothing\.\w+"):
            call()
    assert model.prepare("params") == "params"
    assert model.propose(None, None, [], Step()) is None
    assert model.diagnose(None, None) == []


# ---- threads ----


def test_blocks_in_threads_give_the_same_bits():
    blocks = make_blocks(X, n_batches=11)
    alone = e_step(UnitMixture(), START, blocks, Step(n_jobs=1))
    for n_jobs in (2, 3, 16):
        together = e_step(UnitMixture(), START, blocks, Step(n_jobs=n_jobs))
        np.testing.assert_array_equal(alone.buffer, together.buffer)


def test_blocks_do_run_at_once_and_are_told_one_thread():
    barrier = threading.Barrier(2, timeout=30)

    class Meeting(UnitMixture):
        def e_step(self, means, block, step):
            assert step.n_jobs == 1
            barrier.wait()
            return super().e_step(means, block, step)

    e_step(Meeting(), START, make_blocks(X, n_batches=2), Step(n_jobs=2))


def test_a_model_with_its_own_threads_gets_the_blocks_in_turn():
    class Native(UnitMixture):
        threads_within = True

        def e_step(self, means, block, step):
            assert step.n_jobs == 5
            assert threading.current_thread() is threading.main_thread()
            return super().e_step(means, block, step)

    e_step(Native(), START, make_blocks(X, n_batches=3), Step(n_jobs=5))


def test_after_an_error_blocks_that_have_not_begun_do_not_begin():
    begun = []

    class Breaking(UnitMixture):
        def e_step(self, means, block, step):
            begun.append(block.offset)
            raise MemoryError

    with pytest.raises(MemoryError):
        e_step(Breaking(), START, make_blocks(X, n_batches=100), Step(n_jobs=2))
    assert len(begun) < 100


def test_n_jobs(monkeypatch):
    monkeypatch.setattr(threads, "_processors", lambda: 6)
    monkeypatch.setattr(threads, "_openmp_threads", lambda: 4)
    assert [effective_n_jobs(n) for n in (None, 1, 9, -1, -2, -6, -100)] == [4, 1, 9, 6, 5, 1, 1]
    assert effective_n_jobs(np.int32(3)) == 3
    with pytest.raises(ValueError, match="n_jobs=0"):
        effective_n_jobs(0)
    for bad in (True, 2.0, "2"):
        with pytest.raises(TypeError, match="n_jobs must be an integer or None"):
            effective_n_jobs(bad)


def test_n_jobs_without_the_extension(monkeypatch):
    monkeypatch.setitem(sys.modules, "vemfast._core", None)
    monkeypatch.delattr("vemfast._core", raising=False)
    assert effective_n_jobs() >= 1


# ---- starts ----


def result_of(i, bound=None):
    return FitResult(i, None, float(i if bound is None else bound), [0.0], 0, True, "tolerance")


@pytest.mark.parametrize("workers", [1, 3])
def test_starts_come_back_in_order(workers):
    results = run_starts(lambda i, cancelled: result_of(i), 7, workers=workers)
    assert [r.params for r in results] == list(range(7))


def test_best_is_the_first_of_equals():
    assert best([None, result_of(0, 1.0), result_of(1, 2.0), result_of(2, 2.0)]).params == 1
    assert best([]) is None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_that_fails_is_dropped_unless_all_do(workers):
    def start(i, cancelled):
        if i % 2 == 0:
            error = NumericalError(f"start {i}")
            error.partial = result_of(i)
            raise error
        return result_of(i)

    results = run_starts(start, 5, workers=workers)
    assert [r.params for r in results] == [1, 3]
    with pytest.raises(NumericalError, match="start 0") as caught:
        run_starts(lambda i, c: start(2 * i, c), 3, workers=workers)
    assert caught.value.partial.params == 4
    with pytest.raises(NumericalError, match="start 0"):
        run_starts(start, 5, workers=workers, drop_failures=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_start_carries_the_best_so_far(workers):
    def start(i, cancelled):
        if i == 2:
            error = OSError("disk full")
            error.partial = result_of(2, bound=-5.0)
            raise error
        return result_of(i, bound=-float(i))

    with pytest.raises(OSError, match="disk full") as caught:
        run_starts(start, 3, workers=workers)
    assert caught.value.partial.params == 0


def test_ctrl_c_stops_starts_in_threads(monkeypatch):
    # The main thread is interrupted while it waits; the starts see the flag and end by themselves.
    from concurrent.futures import Future

    waiting = Future.result

    def interrupted(self, timeout=None):
        monkeypatch.setattr(Future, "result", waiting)
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", interrupted)
    model, step = UnitMixture(), Step()
    control = Control(tol=0, max_iter=20_000)

    def start(i, cancelled):
        return run(model, [RowBlock(X)], START, step, control, cancelled)

    with pytest.raises(KeyboardInterrupt) as caught:
        run_starts(start, 5, workers=2)
    partial = caught.value.partial
    assert (partial.stop_reason, partial.converged) == ("interrupted", False)


def test_seeds():
    assert seeds(7, 3) == seeds(7, 3)
    assert seeds(7, 5)[:3] == seeds(7, 3)
    assert seeds(7, 3) != seeds(8, 3)
    assert seeds(np.int64(7), 3) == seeds(7, 3)
    assert len(set(seeds(None, 100))) == 100
    assert all(0 <= s < 2**64 for s in seeds(0, 100))
    generator = np.random.default_rng(1)
    assert seeds(generator, 2) != seeds(generator, 2)
    assert seeds(np.random.default_rng(1), 2) == seeds(np.random.default_rng(1), 2)
    state = np.random.RandomState(1)
    assert seeds(state, 2) != seeds(state, 2)
    assert seeds(np.random.RandomState(1), 2) == seeds(np.random.RandomState(1), 2)
    with pytest.raises(ValueError, match="cannot be used to seed"):
        seeds("seed", 1)


@pytest.mark.parametrize(
    ("n_starts", "n_jobs", "work", "shares"),
    [
        (1, 4, 10**6, (1, 4)),
        (8, 1, 10**6, (1, 1)),
        (8, 4, 10**6, (4, 1)),
        (3, 4, 10**6, (3, 1)),
        (8, 4, 10**3, (1, 4)),
        (8, 4, 10**9, (1, 4)),
    ],
)
def test_threads_are_shared_among_starts_where_it_pays(n_starts, n_jobs, work, shares):
    assert share_threads(n_starts, n_jobs, work) == shares
