"""Wrong answers to exercise 9: the mistakes that people make, each with a part of the sentence that helps."""

import random

import numpy as np


def shuffled(files, seed, epoch):
    return [files[k] for k in np.random.default_rng([seed, epoch]).permutation(len(files))]


def variant(
    order=shuffled, drop=False, empty=False, shorten=False, again=False, twice=False, known=True, errors=ValueError,
    skip_files=False, filter_first=False, skip_first=False, skip_loaded=False, eager=0, whole=False, buffer=False,
    note=True, as_list=False, silent=False,
):  # fmt: skip
    """The right generator, with one mistake."""

    def batches(files, load, batch_size, seed, epoch, skip, bad, report):
        def left_out(files):
            return [file for file in files if not known or file not in bad]

        left = order(left_out(files), seed, epoch) if filter_first else order(files, seed, epoch)
        first = skip if skip_files else skip * batch_size
        left = left_out(left[first:]) if skip_first else left_out(left)[0 if skip_loaded else first :]
        batch, taken, skipped, ahead, memory = [], 0, 0, {}, None
        left = left * 2 if again else left

        def read(place):
            for file in left[place : place + 1 + eager]:
                if file not in ahead:
                    try:
                        ahead[file] = load(file)
                    except errors as error:
                        ahead[file] = error
            return ahead[left[place]]

        for place, file in enumerate(left):
            found = read(place)
            taken += 1
            if isinstance(found, np.ndarray):
                batch.append(found)
            else:
                if note:
                    bad[file] = str(found)
                if not silent:
                    report(file, str(found))
                if twice:
                    report(file, str(found))
            full = taken == batch_size if shorten else len(batch) == batch_size
            if full:
                skipped += 1
                if batch and not (skip_loaded and skipped <= skip):
                    memory = np.stack(batch) if memory is None or len(memory) != len(batch) else memory
                    memory[...] = np.stack(batch)
                    yield batch if as_list else memory if buffer else memory.copy()
                batch, taken = [], 0
        if empty or (batch and not drop and not (skip_loaded and skipped < skip)):
            yield np.stack(batch) if batch else np.empty((0, 2, 3))

    def at_once(*arguments):
        return list(batches(*arguments))

    return {"batches": at_once if whole else batches}


def with_replacement(files, seed, epoch):
    return [files[k] for k in np.random.default_rng([seed, epoch]).integers(0, len(files), len(files))]


def in_place(files, seed, epoch):
    np.random.default_rng([seed, epoch]).shuffle(files)
    return list(files)


def global_state(files, seed, epoch):
    np.random.seed(seed * 1000 + epoch)  # noqa: NPY002
    return [files[k] for k in np.random.permutation(len(files))]  # noqa: NPY002


def pythons_state(files, seed, epoch):
    random.seed(seed * 1000 + epoch)
    return random.sample(files, len(files))


def rolled(files, seed, epoch):
    once = shuffled(files, seed, 0)
    return once[epoch % len(files) :] + once[: epoch % len(files)]


def in_chunks(files, seed, epoch):
    chunks = [files[k : k + 4] for k in range(0, len(files), 4)]
    return [file for chunk in shuffled(chunks, seed, epoch) for file in chunk]


def endless(files, load, batch_size, seed, epoch, skip, bad, report):
    while True:
        yield from variant()["batches"](files, load, batch_size, seed, epoch, skip, bad, report)
        epoch += 1


def single_images(files, load, batch_size, seed, epoch, skip, bad, report):
    for file in shuffled(files, seed, epoch):
        yield load(file)


def stack_of_none(files, load, batch_size, seed, epoch, skip, bad, report):
    left = shuffled(files, seed, epoch)
    for k in range(len(files) // batch_size + 1):
        yield np.stack([load(file) for file in left[k * batch_size : (k + 1) * batch_size]])


def no_return(files, load, batch_size, seed, epoch, skip, bad, report):
    list(variant()["batches"](files, load, batch_size, seed, epoch, skip, bad, report))


WRONG = {
    "last batch dropped": (variant(drop=True), "the last batch is lost"),
    "an empty batch at the end": (variant(empty=True), "no batch is empty"),
    "a stack of no images": ({"batches": stack_of_none}, "no batch is empty, also when the files come out even"),
    "with replacement": (variant(with_replacement), "each file comes exactly once"),
    "every file twice": (variant(again=True), "each file comes exactly once"),
    "it never ends": ({"batches": endless}, "it goes on after all files have come"),
    "not shuffled": (variant(lambda files, seed, epoch: list(files)), "each epoch has the same order"),
    "the same order every epoch": (variant(lambda f, s, e: shuffled(f, s, 0)), "each epoch has the same order"),
    "the seed ignored": (variant(lambda f, s, e: shuffled(f, 0, e)), "another seed gives the same order"),
    "seed plus epoch": (variant(lambda f, s, e: shuffled(f, s + e, 0)), "do not add the two, give both"),
    "a new order each time": (variant(lambda f, s, e: random.sample(f, len(f))), "give another order each time"),
    "global state, not seeded": (
        variant(lambda f, s, e: [f[k] for k in np.random.permutation(len(f))]),  # noqa: NPY002
        "give another order each time"),
    "global state, seeded": (variant(global_state), "it changes NumPy's global random state"),
    "Python's global state, seeded": (variant(pythons_state), "it changes Python's global random state"),
    "rolled on, not shuffled": (variant(rolled), "shuffle the files, each for itself"),
    "batches shuffled, not files": (variant(in_chunks), "shuffle the files, each for itself"),
    "files shuffled in place": (variant(in_place), "the caller's list of files has been changed"),
    "a bad file shortens its batch": (variant(shorten=True), "a bad file makes its batch shorter"),
    "a bad file reported twice": (variant(twice=True), "each bad file is reported once"),
    "a bad file never reported": (variant(silent=True), "each bad file is reported once"),
    "a bad file not noted": (variant(note=False), "bad[file] is not the reason"),
    "a known bad file tried again": (variant(known=False), "already in `bad` is reported again"),
    "no try": (variant(errors=()), "load raised ValueError, which means a bad file: note it, report it, go on"),
    "every error is a bad file": (variant(errors=Exception), "load raised MemoryError, and it was hidden"),
    "everything at once": (variant(whole=True), "loaded before a batch is asked for"),
    "one file read ahead": (variant(eager=1), "files are loaded before their batch is asked for"),
    "skip counts files": (variant(skip_files=True), "skip counts batches, and not files"),
    "skip reshuffles the rest": (variant(filter_first=True), "shuffle all, leave out the bad, then skip"),
    "skip before the bad are left out": (variant(skip_first=True), "shuffle all, leave out the bad, then skip"),
    "skipped files are loaded": (variant(skip_loaded=True), "files of batches that are skipped are loaded"),
    "one buffer for all batches": (variant(buffer=True), "is overwritten by a later one"),
    "lists of images": (variant(as_list=True), "yours has the type list"),
    "images in place of batches": ({"batches": single_images}, "yours has the shape (2, 3)"),
    "nothing returned": ({"batches": no_return}, "batches returns None; is a `yield` missing?"),
}  # fmt: skip
