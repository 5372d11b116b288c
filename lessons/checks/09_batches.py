"""The check of exercise 9: the files are names, and load makes an image of a name, so that no disk is needed."""

import itertools
import random

import numpy as np

from lessons.check import Wrong
from scratch_ae import data

FORBIDDEN = [(data.ImageGenerator, "epoch"), (data.ImageGenerator, "images"), (data.ImageGenerator, "_usable")]
FUNCTIONS = {"batches": (["0"], lambda file: np.zeros(1), 1, 0, 0, 0, {}, lambda file, reason: None)}
HINTS = [
    "Begin without bad files and without skip: shuffle, not `files` but numbers or a copy, with a generator of its "
    "own, np.random.default_rng([seed, epoch]). Then collect images in a list, and `yield` when it is full.",
    "What is in the list when the files have come to their end? That is the last batch, unless it is empty.",
    "A bad file adds nothing to the list, so the loop just goes on. Nothing has to be put in its place.",
    "For skip: shuffle all files first, then leave out those in `bad`, then skip * batch_size more. In this order.",
]


class BadFile(ValueError):
    """What load raises of a bad file."""


class World:
    """Files named by numbers, some of them bad, and a note of all that is loaded and reported."""

    def __init__(self, answer, count, bad=(), error=None):
        self.answer, self.files = answer, [f"{k}.jpg" for k in range(count)]
        self.wrong, self.error, self.loaded, self.told = {f"{k}.jpg" for k in bad}, error, [], []

    def load(self, file):
        self.loaded.append(file)
        if file in self.wrong:
            raise self.error or BadFile(f"{file} is empty")
        return np.full((2, 3), int(file.split(".")[0]))

    def begin(self, batch_size, seed=0, epoch=0, skip=0, bad=None):
        self.bad, self.loaded, self.told = dict(bad or {}), [], []

        def report(file, reason):
            self.told.append((file, reason))

        result = self.answer.batches(self.files, self.load, batch_size, seed, epoch, skip, self.bad, report)
        if result is None:
            raise Wrong("batches returns None; is a `yield` missing?")
        if self.loaded:
            raise Wrong("files are loaded before a batch is asked for; is it a generator, with `yield`?",
                        loaded=len(self.loaded))  # fmt: skip
        return self.guarded(result)

    def guarded(self, batches):
        try:
            yield from batches
        except BadFile as problem:
            text = "load raised ValueError, which means a bad file: note it, report it, go on"
            raise Wrong(text, bad=str(problem)) from problem
        except ValueError as problem:
            if "at least one array" not in str(problem):
                raise
            text = "np.stack is called without an image: no batch is empty, also when the files come out even"
            raise Wrong(text, files=len(self.files)) from problem

    def run(self, *arguments, **named):
        """The batches as lists of numbers, and not many more than there can be."""
        taken, then = [], []
        for batch in itertools.islice(self.begin(*arguments, **named), len(self.files) + 2):
            taken.append(batch)
            then.append(self.numbers(batch))
        if len(taken) > len(self.files) + 1:
            raise Wrong("it goes on after all files have come; an epoch ends", files=len(self.files))
        later = [self.numbers(batch) for batch in taken]
        expect("a batch that was given out is overwritten by a later one; each needs an array of its own", later, then)
        return then

    @staticmethod
    def numbers(batch):
        if not isinstance(batch, np.ndarray) or batch.ndim != 3 or batch.shape[1:] != (2, 3):
            found = f"the shape {batch.shape}" if isinstance(batch, np.ndarray) else f"the type {type(batch).__name__}"
            raise Wrong(f"with images of the shape (2, 3) a batch is an array (n, 2, 3); yours has {found}")
        return [int(image[0, 0]) for image in batch]


def flat(batches):
    return [number for batch in batches for number in batch]


def expect(sentence, yours, expected, **case):
    if yours != expected:
        raise Wrong(sentence, **case, yours=yours, expected=expected)


def check_one_pass(answer):
    world = World(answer, 7)
    found = world.run(3)
    sizes, case = [len(batch) for batch in found], {"files": 7, "batch_size": 3}
    if sizes == [3, 3]:
        raise Wrong("the last batch is lost: what is left at the end is a batch too", **case, yours=found)
    text = "each file comes exactly once in an epoch"
    expect(text, sorted(flat(found)), list(range(7)), **case)
    expect("every batch is full but the last", sizes, [3, 3, 1], **case)
    expect("the caller's list of files has been changed", world.files, [f"{k}.jpg" for k in range(7)])
    world = World(answer, 6)
    expect("no batch is empty, also when the files come out even", [len(b) for b in world.run(3)], [3, 3], files=6)
    expect("one file, one batch", World(answer, 1).run(4), [[0]], files=1, batch_size=4)


def check_order(answer):
    world = World(answer, 12)
    order = flat(world.run(4, seed=5, epoch=2))
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    of_python, of_numpy = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = flat(world.run(4, seed=5, epoch=2))
    text = "the same seed and epoch give another order each time; use a random generator of its own, made from the two"
    expect(text, again, order, seed=5, epoch=2)
    text = "global random state, which others use too; np.random.default_rng has its own"
    if not np.array_equal(of_numpy, np.random.get_state()[1]):  # noqa: NPY002
        raise Wrong(f"it changes NumPy's {text}")
    if of_python != random.getstate():
        raise Wrong(f"it changes Python's {text}")
    orders = [flat(world.run(4, seed=5, epoch=epoch)) for epoch in range(30)]
    if orders[0] == orders[1]:
        raise Wrong("each epoch has the same order", epoch_0=orders[0], epoch_1=orders[1])
    if orders[0] == flat(world.run(4, seed=6)):
        raise Wrong("another seed gives the same order", seed_5=orders[0], seed_6=orders[0])
    pairs = [flat(world.run(4, seed=a, epoch=b)) for a, b in ((0, 1), (1, 0))]
    if pairs[0] == pairs[1]:
        raise Wrong("seed 0, epoch 1 has the order of seed 1, epoch 0: do not add the two, give both", both=pairs[0])
    after = {a: {order[(order.index(a) + 1) % 12] for order in orders} for a in range(12)}
    for a, followers in after.items():
        if len(followers) < 4:
            text = f"in 30 epochs file {a} is followed by {sorted(followers)} only: shuffle the files, each for itself"
            raise Wrong(text, epoch_0=orders[0], epoch_1=orders[1], epoch_2=orders[2])


def check_bad(answer):
    world = World(answer, 10, bad=(2, 5, 7))
    found, case = world.run(3), {"files": 10, "bad": "2, 5, 7", "batch_size": 3}
    sizes = [len(batch) for batch in found]
    expect("each usable file comes once, and no bad one", sorted(flat(found)), [0, 1, 3, 4, 6, 8, 9], **case)
    expect("a bad file makes its batch shorter; the next file should take its place", sizes, [3, 3, 1], **case)
    reasons = {f"{k}.jpg": f"{k}.jpg is empty" for k in (2, 5, 7)}
    expect("bad[file] is not the reason of each bad file", world.bad, reasons, **case)
    expect("each bad file is reported once, with its reason", sorted(world.told), sorted(reasons.items()), **case)
    tried = [file for file in world.loaded if file in world.wrong]
    expect("a bad file is tried again in the same epoch", len(tried), 3, **case)
    world.run(3, epoch=1, bad=reasons)
    expect("a file that is already in `bad` is reported again", world.told, [], **case)
    tried = [file for file in world.loaded if file in world.wrong]
    expect("a file that is already in `bad` is tried again", tried, [], **case)
    expect("when no file is usable, there is no batch", World(answer, 3, bad=(0, 1, 2)).run(2), [], files=3, bad="all")
    world = World(answer, 4, bad=(1,), error=MemoryError("no memory"))
    try:
        world.run(2)
    except MemoryError:
        return
    raise Wrong("load raised MemoryError, and it was hidden: only a ValueError means that a file is bad")


def check_lazy(answer):
    world = World(answer, 20, bad=range(0, 20, 5))
    taken, good = world.begin(4), 0
    for batch in taken:
        good += len(batch)
        usable = sum(file not in world.wrong for file in world.loaded)
        if usable != good:
            raise Wrong("files are loaded before their batch is asked for", batches=-(-good // 4), needed=good,
                        loaded=usable)  # fmt: skip
    if len(set(world.loaded)) != len(world.loaded):
        raise Wrong("files are loaded more than once in an epoch", files=20, loads=len(world.loaded))


def check_skip(answer):
    rng = np.random.default_rng(0)
    for k in range(60):
        count, batch_size, epoch = 3 + k // 4, int(rng.integers(1, 6)), int(rng.integers(5))
        wrong = rng.choice(count, int(rng.integers(count)), replace=False).tolist() if k >= 12 else []
        world = World(answer, count, bad=wrong)
        known = {f"{n}.jpg": "known" for n in wrong if rng.random() < 0.3}  # from an earlier epoch
        whole, taken, noted = [], world.begin(batch_size, 3, epoch, bad=known), [dict(known)]
        for batch in taken:
            whole.append(world.numbers(batch))
            noted.append(dict(world.bad))
        for skip in range(len(whole) + 1):
            rest, case = world.run(batch_size, 3, epoch, skip, noted[skip]), {
                "files": count, "batch_size": batch_size, "skip": skip, "bad": ", ".join(noted[skip]) or "none",
                "whole": whole}  # fmt: skip
            if len(world.loaded) > len(flat(rest)) + len(world.told):
                raise Wrong("files of batches that are skipped are loaded", **case, loaded=len(world.loaded))
            if not wrong and flat(rest) == flat(whole)[skip:] and rest != whole[skip:]:
                raise Wrong("skip counts batches, and not files", **case, yours=rest, expected=whole[skip:])
            text = "what comes after the skipped batches is not what comes after them without skip"
            if noted[skip]:
                text += ": shuffle all, leave out the bad, then skip"
            expect(text, rest, whole[skip:], **case)


def check(answer):
    check_one_pass(answer)
    check_order(answer)
    check_bad(answer)
    check_lazy(answer)
    check_skip(answer)
