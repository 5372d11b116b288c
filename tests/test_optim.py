"""Adam against the paper's algorithm, what the paper says of it, and how it is used."""

import numpy as np
import pytest

from scratch_ae.gradcheck import check_adam, rejected_by
from scratch_ae.optim import Adam, cooldown
from scratch_ae.parallel import Team


def test_the_first_step_has_the_length_of_the_rate_whatever_the_gradient():
    for size in (1e-3, 1.0, 1e3):
        p = {"w": np.zeros(4)}
        Adam(p).step({"w": size * np.array([1, -1, 2, -0.5])}, rate=0.01)
        assert np.allclose(p["w"], [-0.01, 0.01, -0.01, 0.01], rtol=1e-4)


def test_five_steps_are_those_of_the_paper():
    assert rejected_by(check_adam(Adam, np.random.default_rng(0))) == []


@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.5, 0.8)])  # trainings take the first
def test_two_steps_with_other_betas_by_hand(betas):
    p = {"w": np.zeros(1)}
    adam, (beta1, beta2) = Adam(p, *betas), betas
    adam.step({"w": np.array([1.0])}, rate=0.1)
    adam.step({"w": np.array([3.0])}, rate=0.1)
    mean, square = (beta1 * 1 + 3) / (beta1 + 1), (beta2 * 1 + 9) / (beta2 + 1)
    assert np.allclose(p["w"], -0.1 - 0.1 * mean / np.sqrt(square), rtol=1e-6)


def test_eps_stands_beside_the_root():
    p = {"w": np.zeros(2)}
    Adam(p).step({"w": np.array([1e-8, 0.0])}, rate=1.0)
    assert np.allclose(p["w"], [-0.5, 0], rtol=1e-6)


def test_what_is_off_for_good_costs_no_time():
    """Its moments must not fall on and on, to numbers so small that processors are slow with them."""
    for dtype in (np.float32, np.float64):
        p = {"w": np.ones(2, dtype)}
        adam = Adam(p, beta2=0.99)
        adam.step({"w": np.ones(2, dtype)}, 0.1)
        for _ in range(7000):
            adam.step({"w": np.array([0, 1e-3], dtype)}, 0.1)
            for moment in adam.m["w"], adam.v["w"]:
                assert moment[0] == 0 or abs(moment[0]) > 1e-31
        assert adam.m["w"][0] == adam.v["w"][0] == 0
        assert np.isclose(adam.m["w"][1], 1e-3)
        assert np.isclose(adam.v["w"][1], 1e-6)


def test_t_counts_steps_and_state_is_plain_arrays():
    p = {"w": np.ones((2, 3), np.float32), "b": np.ones(3, np.float32)}
    adam = Adam(p)
    for _ in range(3):
        adam.step({name: np.ones_like(a) for name, a in p.items()}, 0.1)
    assert adam.t == 3
    assert adam.m["w"].shape == adam.v["w"].shape == (2, 3)
    assert adam.m["w"].dtype == np.float32
    assert np.allclose(adam.m["w"], 1 - 0.9**3)
    assert np.allclose(adam.v["b"], 1 - 0.999**3, rtol=1e-5)


def test_threads_make_the_same_steps():
    rng = np.random.default_rng(1)
    start = {name: rng.normal(size=size) for name, size in (("w", (30, 7)), ("b", (7,)), ("c", (500,)))}
    alone, together = ({name: a.copy() for name, a in start.items()} for _ in range(2))
    one, several = Adam(alone), Adam(together)
    for _ in range(5):
        g = {name: rng.normal(size=a.shape) for name, a in start.items()}
        one.step(g, 0.1)
        several.step(g, 0.1, Team(3).map)
    assert all(np.array_equal(alone[name], together[name]) for name in start)
    assert one.t == several.t == 5


def test_float32_follows_float64():
    rng = np.random.default_rng(0)
    start = rng.normal(size=50)
    single, double = {"w": start.astype(np.float32)}, {"w": start.astype(np.float32).astype(float)}
    a, b = Adam(single), Adam(double)
    for _ in range(200):
        g = rng.normal(size=50).astype(np.float32)
        a.step({"w": g}, 1e-3)
        b.step({"w": g.astype(float)}, 1e-3)
    assert np.abs(single["w"] - double["w"]).max() < 1e-5


def test_it_finds_the_bottom_of_a_bowl():
    p = {"w": np.array([3.0, -2.0])}
    adam = Adam(p)
    for t in range(500):
        adam.step({"w": p["w"] * [1, 100]}, cooldown(0.1, t / 500))
    assert np.abs(p["w"]).max() < 1e-2


def test_what_would_be_lost_quietly_is_refused():
    p = {"a": np.ones(2), "w": np.zeros(2)}
    with pytest.raises(ValueError, match=r"gradient w has the shape \(3,\), wanted \(2,\)"):
        Adam(p).step({"a": np.ones(2), "w": np.zeros(3)}, 0.1)
    assert p["a"].tolist() == [1, 1], "half a step was taken"
    with pytest.raises(ValueError, match="w is not contiguous"):
        Adam({"w": np.zeros((4, 4)).T[1:]})


def test_the_rate_stays_for_long_and_then_falls_to_nothing():
    assert [cooldown(2.0, progress) for progress in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([2, 2, 2, 1, 0])
