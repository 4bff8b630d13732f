"""Fitted mixtures, their model files, and forged ones."""

import numpy as np
import pytest

import vemfast
from vemfast import GaussianMixture, ModelFileError
from vemfast.io import container

_rng = np.random.default_rng(7)
X = np.concatenate([_rng.normal(0, 1, (60, 3)), _rng.normal(5, 2, (40, 3))])

METHODS = {
    "em": {},
    "mean-field": {"inference": "mean-field"},
    "process": {
        "inference": "mean-field",
        "weight_concentration_prior_type": "dirichlet_process",
    },
    "equal mean-field": {"inference": "mean-field", "equal_weights": True},
    "gibbs": {"inference": "gibbs", "n_burn": 3, "n_draws": 4, "n_chains": 2},
    "hard-em": {"inference": "hard-em", "equal_weights": True},
    "memoized": {"schedule": "memoized", "n_batches": 3},
    "accelerated": {"accelerate": True},
}


def fitted(**options):
    return GaussianMixture(2, random_state=3, **options).fit(X)


def saved(tmp_path, **options):
    path = tmp_path / "model.safetensors"
    fitted(**options).save(path)
    return path


def same(left, right):
    """Whether two values are equal, of one type, shape and bits."""
    left, right = (
        np.asarray(value) if isinstance(value, np.float64) else value for value in (left, right)
    )
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, (tuple, list)):
        return len(left) == len(right) and all(map(same, left, right))
    if hasattr(left, "__dataclass_fields__"):
        names = left.__dataclass_fields__
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    return left == right


def assert_same(left, right):
    assert type(left) is type(right)
    assert vars(left).keys() == vars(right).keys()
    for name, value in vars(left).items():
        assert same(value, vars(right)[name]), name


def forge(path, change, target=None):
    """Write the file once more, after `change(document, tensors)`, with a right digest."""
    document, tensors, _ = container.read(path)
    del document["sha256"]
    change(document, tensors)
    target = path.with_name("forged.safetensors") if target is None else target
    container.write(target, document, tensors)
    return target


def complaint(path):
    with pytest.raises(ModelFileError) as info:
        vemfast.load(path)
    message = str(info.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")
