"""Geweke's joint distribution test of the Gibbs sampler that draws missing values as well."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from oracles.test_joint_distribution import (
    BOUND,
    N_ROWS,
    WEIGHT_TYPES,
    D,
    mixture_of,
    z_scores,
)

from vemfast.data import RowBlock
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES
from vemfast.models.gaussian_mixture import GaussianMixture as NativeMixture

GONE = np.zeros((N_ROWS, D), dtype=bool)
GONE[1:4, 0] = GONE[4:7, 1] = GONE[9] = True


@cache
def marginalizing(model):
    return NativeMixture(replace(model.config, marginalize=True))


def right(model, params, X, step):
    own = marginalizing(model)
    stats = own.e_step(own.prepare(params), RowBlock(np.where(GONE, np.nan, X)), step)
    return own.update(params, stats, step.next)


def expected_values_instead_of_drawn_ones(model, params, X, step):
    own = marginalizing(model)
    table = own.prepare(params)
    completed = own.impute(table, np.where(GONE, np.nan, X), 1)
    return own.update(params, own.e_step(table, RowBlock(completed), step), step.next)


def same_draw_for_each_row(model, params, X, step):
    own = marginalizing(model)
    table = own.prepare(params)
    rows = np.where(GONE, np.nan, X)
    parts = [own.e_step(table, RowBlock(row[None]), step) for row in rows]
    return own.update(params, sum(parts[1:], parts[0]), step.next)


def responsibilities_instead_of_labels(model, params, X, step):
    own = marginalizing(model)
    rows = RowBlock(np.where(GONE, np.nan, X))
    stats = own.e_step(own.prepare(params), rows, Step("exact", "sampled", step.seed))
    return own.update(params, stats, step.next)


def rows_with_holes_left_out(model, params, X, step):
    """As good as the right one for the other rows: what it draws is the posterior given them."""
    own = marginalizing(model)
    stats = own.e_step(own.prepare(params), RowBlock(X[~GONE.any(axis=1)]), step)
    return own.update(params, stats, step.next)


WRONG = [
    expected_values_instead_of_drawn_ones,
    same_draw_for_each_row,
    responsibilities_instead_of_labels,
]


@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_both_ways_have_the_same_expectations(covariance):
    z = z_scores(mixture_of(covariance, "dirichlet"), 4000, right)
    assert np.abs(z).max() < BOUND, z


@pytest.mark.nightly
@pytest.mark.parametrize("weights", WEIGHT_TYPES)
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_both_ways_have_the_same_expectations_in_long_runs(covariance, weights):
    z = z_scores(mixture_of(covariance, weights), 100_000, right, n_batches=100)
    assert np.abs(z).max() < BOUND, z


def test_a_wrong_sampler_is_caught():
    z = z_scores(mixture_of("full", "dirichlet"), 6000, expected_values_instead_of_drawn_ones)
    assert np.abs(z).max() > BOUND, z


@pytest.mark.nightly
@pytest.mark.parametrize("weights", WEIGHT_TYPES)
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
@pytest.mark.parametrize("mutation", WRONG)
def test_a_wrong_sampler_is_caught_whatever_the_type(mutation, covariance, weights):
    z = z_scores(mixture_of(covariance, weights), 30_000, mutation)
    assert np.abs(z).max() > BOUND, z


@pytest.mark.nightly
def test_leaving_rows_out_is_right_for_the_others():
    z = z_scores(mixture_of("full", "dirichlet"), 30_000, rows_with_holes_left_out)
    assert np.abs(z).max() < BOUND, z
