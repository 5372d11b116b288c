from collections.abc import Callable, Iterator, Sequence

import numpy as np


def batches(
    files: Sequence[str], load: Callable[[str], np.ndarray], batch_size: int, seed: int, epoch: int, skip: int,
    bad: dict[str, str], report: Callable[[str, str], None],
) -> Iterator[np.ndarray]:  # fmt: skip
    order = np.random.default_rng([seed, epoch]).permutation(len(files))
    usable = [files[k] for k in order if files[k] not in bad]
    batch = []
    for file in usable[skip * batch_size :]:
        try:
            batch.append(load(file))
        except ValueError as error:
            bad[file] = str(error)
            report(file, bad[file])
        if len(batch) == batch_size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
