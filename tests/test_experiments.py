import json
from dataclasses import asdict, replace

import pytest

from scratch_ae import UserError
from scratch_ae.experiments import EXPERIMENTS, PRESETS, experiment_from


@pytest.mark.parametrize("preset", PRESETS)
def test_the_four_are_the_originals(preset):
    shapes = {name: (e.size, len(e.filters), e.latent, e.pairs) for name, e in PRESETS[preset].items()}
    assert all(e.kernel_size == 3 and not e.augment for e in PRESETS[preset].values())
    assert shapes == {
        "rose": (128, 6, 32, 8),
        "sunflower": (64, 5, 2, 32),
        "iris_calendula": (128, 6, 16, 8),
        "flowers": (128, 6, 16, 32),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 100}, "divisible by 64 for 6 convolutions, got 100"),
        ({"size": 0}, "divisible by 64"),
        ({"filters": ()}, "filters"),
        ({"filters": (8, 0)}, "filters"),
        ({"latent": -3}, "latent size must be at least 1, got -3"),
        ({"latent": 10**20}, "latent size must be at most 49152, the numbers of an image"),
        ({"kernel_size": 5}, "3 or 4, got 5"),
        ({"channels": 2}, "1 \\(grey\\) or 3 \\(colour\\), got 2"),
        ({"batch_size": 0}, "batch size must be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning rate must be a number above 0, say 0.001, got nan"),
        ({"learning_rate": float("inf")}, "learning rate"),
        ({"learning_rate": 0.0}, "learning rate must be a number above 0"),
        ({"warm_up": -1}, "warm-up must be at least 0 steps, got -1"),
        ({"tv_weight": 1.5}, "between 0 and 1, got 1.5"),
        ({"tv_weight": -0.1}, "between 0 and 1, got -0.1"),
        ({"tv_weight": float("nan")}, "TV weight"),
        ({"epochs": 0}, "epochs"),
        ({"pairs": 0}, "pairs"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        replace(EXPERIMENTS["rose"], **change)


def test_an_experiment_survives_json():
    for experiment in EXPERIMENTS.values():
        assert experiment_from(json.loads(json.dumps(asdict(experiment))), "a file") == experiment


@pytest.mark.parametrize(
    ("change", "message"), [({"warm_up": None}, "another version.*warm_up"), ({"kernel_size": 5}, "3 or 4, got 5")]
)
def test_fields_of_a_file_are_not_guessed(change, message):
    """What is missing is not taken from today's defaults, with which a run would go on differently."""
    fields = asdict(EXPERIMENTS["rose"]) | change
    fields = {name: value for name, value in fields.items() if value is not None}
    with pytest.raises(UserError, match=f"a file .*{message}"):
        experiment_from(fields, "a file")
