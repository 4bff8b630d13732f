"""The table of methods: which pairs are legal, and what the others are told."""

import numpy as np
import pytest

from vemfast.inference import METHODS, fit, lookup
from vemfast.inference.methods import SCHEDULES, refuse_unused
from vemfast.models.base import Model
from vemfast.stats import Layout


class Mixture(Model):
    """Every rung; the E-step is never run here."""

    layout = Layout({"counts": (1,)})
    local_rules = {  # noqa: RUF012
        "gibbs": "sampled",
        "mean-field": "exact",
        "em": "exact",
        "variational-em": "exact",
        "hard-em": "hard",
    }


class Admixture(Model):
    layout = Layout({"counts": (1,)})
    local_rules = {"mean-field": "factorised", "variational-em": "factorised"}  # noqa: RUF012
    unavailable = {"em": "its exact posterior is intractable; use 'variational-em'"}  # noqa: RUF012


def test_the_table():
    legal = {(rung, s) for rung, method in METHODS.items() for s in method.schedules}
    assert legal == {(r, s) for r in METHODS for s in SCHEDULES} - {
        ("gibbs", "memoized"),
        ("gibbs", "minibatch"),
    }
    assert {rung: method.parameter_rule for rung, method in METHODS.items()} == {
        "gibbs": "sampled",
        "mean-field": "posterior",
        "em": "point",
        "variational-em": "point",
        "hard-em": "point",
    }


@pytest.mark.parametrize(
    ("model", "inference", "schedule", "rules"),
    [
        (Mixture(), "gibbs", "batch", ("sampled", "sampled")),
        (Mixture(), "mean-field", "minibatch", ("exact", "posterior")),
        (Mixture(), "em", "memoized", ("exact", "point")),
        (Mixture(), "variational-em", "batch", ("exact", "point")),
        (Mixture(), "hard-em", "minibatch", ("hard", "point")),
        (Admixture(), "mean-field", "batch", ("factorised", "posterior")),
        (Admixture(), "variational-em", "batch", ("factorised", "point")),
    ],
)
def test_lookup(model, inference, schedule, rules):
    assert lookup(model, inference, schedule) == rules


@pytest.mark.parametrize(
    ("model", "inference", "schedule", "message"),
    [
        (Mixture(), "EM", "batch", r"must be one of 'gibbs', 'mean-field', .*; got 'EM'"),
        (Mixture(), "em", "online", r"'batch', 'memoized', 'minibatch'; got 'online'"),
        (Mixture(), "gibbs", "memoized", "use inference='gibbs' with schedule='batch'"),
        (
            Admixture(),
            "em",
            "batch",
            "Admixture has no inference='em': its exact .* 'variational-em'",
        ),
        (Admixture(), "hard-em", "batch", "it has 'mean-field', 'variational-em'"),
        (Model(), "mean-field", "batch", "Model has no inference='mean-field'; it has 'em'"),
    ],
)
def test_what_does_not_work_names_what_does(model, inference, schedule, message):
    with pytest.raises(ValueError, match=message):
        lookup(model, inference, schedule)


def test_a_model_cannot_serve_a_rung_with_another_rungs_rule():
    model = Model()
    model.local_rules = {"em": "hard"}
    with pytest.raises(ValueError, match="local rule 'hard'; it must be one of 'exact'"):
        lookup(model, "em")


@pytest.mark.parametrize(
    ("inference", "schedule", "options", "message"),
    [
        ("em", "batch", {"n_draws": 10}, "n_draws=10 has no effect .* for inference='gibbs'"),
        ("gibbs", "batch", {"tol": 0.1}, "tol=0.1 has no effect"),
        ("gibbs", "batch", {"max_iter": 7}, "takes n_burn, n_draws, thin"),
        ("em", "minibatch", {"tol": 0.1}, "not schedule='minibatch'"),
        ("em", "batch", {"batch_size": 100}, "schedule='memoized' or 'minibatch'"),
        ("em", "memoized", {"learning_decay": 0.6}, "for schedule='minibatch'"),
    ],
)
def test_an_option_without_effect_is_an_error(inference, schedule, options, message):
    with pytest.raises(ValueError, match=message):
        refuse_unused(inference, schedule, **options)
    with pytest.raises(ValueError, match=message):
        fit(Mixture(), np.zeros((2, 1)), inference=inference, schedule=schedule, **options)


def test_defaults_are_never_in_the_way():
    for inference, method in METHODS.items():
        for schedule in method.schedules:
            refuse_unused(inference, schedule, tol=1e-3, n_burn=200, n_batches=10, batch_size=None)
