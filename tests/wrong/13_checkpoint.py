"""Wrong answers to exercise 13: the mistakes that people make, each with a part of the sentence that helps."""

import contextlib
import io
import json
import os
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np


def saver(flush=True, sync="before", keep=False, only=BaseException, gone=False, mode="wb", elsewhere=False,
          swallow=False, pickles=False, always=False, rename=os.replace, text=json.dumps):  # fmt: skip
    """The right `save`, with one mistake."""

    def save(file, arrays, header):
        entries = {"header": np.array(text(header)), **arrays}
        part = file.with_name(file.name + ".part")
        if elsewhere:
            part = Path(tempfile.gettempdir()) / f"scratch_ae.{os.getpid()}.part"
        try:
            with open(part, mode) as stream:
                data = io.BytesIO()
                np.savez(data, allow_pickle=pickles, **entries)
                stream.write(data.getvalue())
                if flush:
                    stream.flush()
                if sync == "before":
                    os.fsync(stream.fileno())
            if gone:
                file.unlink(missing_ok=True)
            rename(part, file)
            if sync == "after":
                with open(file, "rb+") as stream:
                    os.fsync(stream.fileno())
        except only:
            if not keep:
                part.unlink(missing_ok=True)
            if not swallow:
                raise
        finally:
            if always:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(part, file)

    return {"save": save}


def in_place(file, arrays, header):
    with open(file, "wb") as stream:
        np.savez(stream, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)
        stream.flush()
        os.fsync(stream.fileno())


def copied(file, arrays, header):
    part = file.with_name(file.name + ".part")
    try:
        in_place(part, arrays, header)
        shutil.copyfile(part, file)
    finally:
        part.unlink(missing_ok=True)


def spoils(file, arrays, header):
    arrays["header"] = np.array(json.dumps(header))
    saver()["save"](file, {name: array for name, array in arrays.items() if name != "header"}, header)


def as_float64(file, arrays, header):
    saver()["save"](file, {name: array.astype(np.float64) for name, array in arrays.items()}, header)


def as_lists(file, arrays, header):
    saver()["save"](file, {}, {"arrays": {name: array.tolist() for name, array in arrays.items()}, "header": header})


def of_lists(file):
    stored = right(file)[1]
    return {name: np.array(numbers) for name, numbers in stored["arrays"].items()}, stored["header"]


def pickled(file, arrays, header):
    part = file.with_name(file.name + ".part")
    try:
        with open(part, "wb") as stream:
            pickle.dump((arrays, header), stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def unpickled(file):
    try:
        return pickle.loads(file.read_bytes())
    except Exception as problem:
        raise ValueError("damaged") from problem


def right(file):
    return loader()["load"](file)


def loader(pickles=False, known=(Exception,), read=json.loads, rest=False, header=True):
    """The right `load`, with one mistake."""

    def load(file):
        try:
            with np.load(file, allow_pickle=pickles) as stored:
                arrays = dict(stored)
            found = read(arrays["header"].item()) if header else {}
            if not rest:
                del arrays["header"]
        except known as problem:
            raise ValueError("damaged") from problem
        return arrays, found

    return {"load": load}


def plain(file, arrays, header):
    """Numbers after a line of JSON, without a checksum."""
    part = file.with_name(file.name + ".part")
    table = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    try:
        with open(part, "wb") as stream:
            stream.write(json.dumps([table, header]).encode() + b"\n")
            for array in arrays.values():
                if array.dtype.hasobject:
                    raise ValueError("an array of objects")
                stream.write(array.tobytes())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def of_plain(file, partial=False):
    line, _, data = file.read_bytes().partition(b"\n")
    arrays, (table, header) = {}, json.loads(line)
    for name, kind, shape in table:
        size = np.dtype(kind).itemsize * int(np.prod(shape))
        if len(data) < size and partial:
            break
        if size:
            arrays[name] = np.frombuffer(data[:size], kind).reshape(shape)
        else:
            arrays[name] = np.empty(shape, kind)
        data = data[size:]
    return arrays, header


WRONG = {
    "written in place": ({"save": in_place}, "but in the middle of being written"),
    "copied instead of renamed": ({"save": copied}, "but in the middle of being written"),
    "old file removed first": (saver(gone=True), "the old file is gone and the new one is not there"),
    "temporary file in another folder": (saver(elsewhere=True), "the temporary file is not in the folder of the file"),
    "moved from another folder": (
        saver(elsewhere=True, rename=shutil.move), "the temporary file is not in the folder of the file"
    ),
    "no fsync": (saver(sync=""), "os.fsync is not called"),
    "fsync after the renaming": (saver(sync="after"), "os.fsync comes after the renaming"),
    "not flushed": (saver(flush=False), "0 of "),
    "temporary file left after success": (saver(rename=shutil.copyfile), "after save there is another file"),
    "temporary file left after an error": (saver(keep=True), "a temporary file is left behind: run.npz.part"),
    "temporary file left after Ctrl-C": (saver(only=Exception), "KeyboardInterrupt in"),
    "error swallowed": (saver(swallow=True), "does not come out of save"),
    "renamed whatever happens": (saver(keep=True, always=True), "neither the old one nor the new one"),
    "stumbles over what was left": (saver(mode="xb"), "the next save fails"),
    "objects pickled": (saver(pickles=True), "save takes an array of objects"),
    "header lost": (loader(header=False), "load returns the header {}"),
    "header left a string": (loader(read=str), "load returns the header as str"),
    "header by str": (saver(text=str) | loader(read=str), "load returns the header as str"),
    "header among the arrays": (loader(rest=True), "load returns arrays named ['header', 'w'], and ['w']"),
    "type changed": ({"save": as_float64}, "load returns 0.w as float64, and float32 was saved"),
    "arrays as lists": ({"save": as_lists, "load": of_lists}, "load returns 0.w as float64, and float32 was saved"),
    "dictionary changed": ({"save": spoils}, "save changes the dictionaries"),
    "pickle taken": (loader(pickles=True), "load runs what it says"),
    "all of it a pickle": ({"save": pickled, "load": unpickled}, "save takes an array of objects"),
    "damage not translated": (loader(known=(KeyError,)), "expected ValueError"),
    "some damage not translated": (loader(known=(ValueError, OSError)), "expected ValueError"),
    "damaged file gives what is left": (
        {"save": plain, "load": lambda file: of_plain(file, partial=True)}, "load returns something, expected"
    ),
    "no checksum": ({"save": plain, "load": of_plain}, "is changed: load returns something, expected ValueError"),
    "nothing returned": ({"load": lambda file: None}, "load returns None"),
}  # fmt: skip
