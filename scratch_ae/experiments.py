"""The four experiments: what is learnt, by a network of what shape, and how. Make your own with `Experiment(...)`."""

from dataclasses import dataclass, replace
from typing import Any

from . import UserError


@dataclass(frozen=True)
class Experiment:
    """A network and its training. Raises UserError where the numbers do not fit together.

    The encoder has one stride-2 convolution for each entry of `filters`, so each side of the image shrinks by
    2**len(filters); the decoder mirrors it. `species` are the folders to learn from, () for every folder there is.
    """

    name: str
    species: tuple[str, ...]
    size: int  # pixels per side
    filters: tuple[int, ...]
    latent: int  # numbers an image is squeezed into
    kernel_size: int = 3  # of the transposed convolutions; 4 covers every pixel equally often, 3 does not
    channels: int = 3
    batch_size: int = 8
    learning_rate: float = 2e-3  # for half the way; then it falls to 0
    warm_up: int = 100  # steps over which the rate first rises; else many ReLUs are soon off for good
    tv_weight: float = 0.005
    augment: bool = False  # whether images are mirrored and shifted at random while it learns
    epochs: int = 50
    pairs: int = 8  # on the sheet of true against predicted

    def __post_init__(self) -> None:
        def need(fine: bool, what: str, got: object) -> None:
            if not fine:
                raise UserError(f"{what}, got {got}")

        size, n, most = self.size, len(self.filters), self.size**2 * self.channels
        need(n > 0 and min(self.filters) > 0, "filters must be numbers above 0", self.filters)
        need(size > 0 and size % 2**n == 0, f"the image size must be divisible by {2**n} for {n} convolutions", size)
        need(self.latent >= 1, "the latent size must be at least 1", self.latent)
        need(self.latent <= most, f"the latent size must be at most {most}, the numbers of an image", self.latent)
        need(self.kernel_size in (3, 4), "the kernel size must be 3 or 4", self.kernel_size)
        need(self.channels in (1, 3), "channels must be 1 (grey) or 3 (colour)", self.channels)
        need(self.batch_size >= 1, "the batch size must be at least 1", self.batch_size)
        rate = self.learning_rate
        need(0 < rate < float("inf"), "the learning rate must be a number above 0, say 0.001", rate)
        need(self.warm_up >= 0, "the warm-up must be at least 0 steps", self.warm_up)
        need(0 <= self.tv_weight <= 1, "the TV weight must be between 0 and 1", self.tv_weight)
        need(self.epochs >= 1, "the epochs must be at least 1", self.epochs)
        need(self.pairs >= 1, "the pairs must be at least 1", self.pairs)


def experiment_from(fields: dict, file: object) -> Experiment:
    """The experiment that `dataclasses.asdict` turned into these fields of a file; JSON has made lists of its tuples.

    Raises UserError, naming the file, where they are not those of this version.
    """
    try:
        if odd := fields.keys() ^ Experiment.__dataclass_fields__.keys():
            raise TypeError(", ".join(sorted(odd)))
        tuples: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        return Experiment(**tuples)
    except (AttributeError, TypeError, UserError) as problem:
        raise UserError(f"{file} was written by another version: its experiment does not fit ({problem})") from None


# With twice as many filters a step teaches no more and takes nearly twice as long.
FILTERS = (16, 32, 64, 128, 256, 256)
# For hours of training. Learning by heart takes many weights, and these cost least time deep in the network, where
# images are small. WIDE has twice as many, and a step takes 1.4 times as long.
DEEP = (8, 16, 32, 128, 256, 512)
WIDE = (8, 16, 32, 64, 384, 768)

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("rose", ("rose",), 128, FILTERS, latent=32, epochs=70),
        Experiment("sunflower", ("sunflower",), 64, FILTERS[:5], latent=2, pairs=32, epochs=200),
        Experiment("iris_calendula", ("iris", "calendula"), 128, FILTERS, latent=16, epochs=50),
        Experiment("flowers", (), 128, FILTERS, latent=16, pairs=32, epochs=15),
    )
}

# For one to three hours on two fast cores, and longer on slow ones. Without total variation, which gains
# nothing on photographs.
LONG: dict[str, dict[str, Any]] = {
    "rose": {"epochs": 1300, "filters": DEEP, "batch_size": 16, "learning_rate": 1.5e-3},
    "sunflower": {"epochs": 2000},
    "iris_calendula": {"epochs": 1000, "filters": WIDE, "batch_size": 32, "learning_rate": 1.2e-3},
    "flowers": {"epochs": 300, "filters": DEEP, "batch_size": 32, "learning_rate": 1.5e-3},
}
FULL = {
    name: replace(EXPERIMENTS[name], **({"learning_rate": 1e-3, "warm_up": 1000, "tv_weight": 0.0} | changes))
    for name, changes in LONG.items()
}
PRESETS = {"quick": EXPERIMENTS, "full": FULL}
