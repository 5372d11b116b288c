"""The proof itself, on small layers, and that it would have found each mistake. The command does the real sizes too."""

import numpy as np
import pytest

from scratch_ae import gradcheck
from scratch_ae.gradcheck import (
    central_differences,
    check_adam,
    check_layer,
    check_loss,
    check_model,
    complex_steps,
    rejected_by,
)
from scratch_ae.losses import loss
from scratch_ae.optim import Adam
from tests import mistakes

CASES = list(gradcheck.cases(np.random.default_rng(0)))


@pytest.mark.parametrize(("title", "layer", "x", "y"), CASES, ids=[case[0] for case in CASES])
def test_layers(title, layer, x, y):
    errors = check_layer(layer, x, np.random.default_rng(1).normal(size=y.shape), oracle=y)
    assert errors.keys() >= {"oracle", "differences", "complex", "float32", "inputs", "threads"}
    assert rejected_by(errors) == [], errors


def test_loss_and_adam_and_a_whole_network():
    rng = np.random.default_rng(2)
    y, target = rng.random((2, 2, 5, 4, 3))
    assert rejected_by(check_loss(loss, y, target, 0.3)) == []
    assert rejected_by(check_adam(Adam, rng)) == []
    small = gradcheck.Experiment("small", (), 8, (2, 3), latent=2, tv_weight=0.2)
    errors = check_model(small, N=3, bias=0.1)
    assert errors.keys() == {"differences", "complex", "float32", "inputs", "threads"}
    assert rejected_by(errors) == [], errors


@pytest.fixture(scope="module")
def table():
    return list(mistakes.table())


def test_every_mistake_is_rejected_and_everything_right_passes(table):
    right = [row for row in table if row[0].endswith("right") or row[0] == mistakes.PlainAdam.__doc__]
    wrong = [row for row in table if row not in right]
    assert len(right) == 9
    assert len(wrong) >= 40
    assert [name for name, columns, _ in right if columns] == []
    assert [name for name, columns, _ in wrong if not columns] == []


def test_an_upstream_of_ones_lets_mistakes_through(table):
    fooled = [name for name, columns, ones in table if columns and ones == "pass"]
    assert "Conv2D: upstream flipped upside down" in fooled
    assert "Conv2D: height and width of upstream exchanged" in fooled
    assert "Conv2D: bias gradient missing" not in fooled


def test_every_column_rejects_something(table):
    assert {column for _, columns, _ in table for column in columns} == gradcheck.TOLERANCE.keys()
    assert {("oracle",), ("inputs",), ("threads",)} <= {tuple(columns) for _, columns, _ in table if len(columns) == 1}


def test_a_mistake_in_the_whole_network_is_found(monkeypatch):
    right = gradcheck.AutoEncoder.loss_and_gradients

    def wrong(self, images):
        value, gradients = right(self, images)
        gradients["3.b"] = gradients["3.b"] * 1.01
        return value, gradients

    monkeypatch.setattr(gradcheck.AutoEncoder, "loss_and_gradients", wrong)
    small = gradcheck.Experiment("small", (), 8, (2, 3), latent=2)
    assert "complex" in rejected_by(check_model(small, N=3, bias=0.1))


def test_what_is_not_a_number_is_rejected():
    assert rejected_by({"complex": float("nan")}) == ["complex"]
    layer, x = mistakes.built(mistakes.Conv2D, np.random.default_rng(0))
    layer.w[0, 0, 0, 0] = np.nan
    with np.errstate(invalid="ignore"):
        assert "complex" in rejected_by(check_layer(layer, x, np.ones((2, 3, 3, 4))))


def test_the_two_ways_to_differentiate_know_the_cube():
    x = np.array([[0.5, -2.0], [3.0, 0.1]])
    assert np.allclose(complex_steps(lambda a: (a * a * a).sum(), x), 3 * x**2, rtol=1e-15)
    assert np.allclose(central_differences(lambda a: (a * a * a).sum(), x), 3 * x**2, rtol=1e-8)


def test_the_command_fails_when_a_row_fails(monkeypatch, capsys):
    monkeypatch.setattr(gradcheck, "rows", lambda: iter([("fine", {"complex": 0.0}), ("broken", {"complex": 1.0})]))
    assert gradcheck.main([]) == 1
    assert "FAILED: complex" in capsys.readouterr().out
    monkeypatch.setattr(gradcheck, "rows", lambda: iter([("fine", {"complex": 0.0})]))
    assert gradcheck.main([]) == 0
