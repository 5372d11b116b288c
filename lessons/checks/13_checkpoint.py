"""The check of exercise 13. It watches the folder while `save` works, and fails some of the calls that it makes.

`sys.setprofile` reports each call of a function that is written in C, whichever way it was imported, and an exception
raised there comes out of that call. So answers may write and rename as they like.
"""

import io
import os
import pickle
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from lessons.check import Wrong
from scratch_ae import checkpoint

FORBIDDEN = [(checkpoint, "write"), (checkpoint, "read")]
NOWHERE = Path(os.devnull) / "run.npz"  # cannot be written
FUNCTIONS = {"save": (NOWHERE, {"w": np.ones(1)}, {"t": 1}), "load": (NOWHERE,)}
HINTS = [
    "np.savez takes an open file as well as a name, and np.load reads what it wrote. The header can be one more array: "
    "json.dumps makes a string of it, and np.array(string) is an array without objects. With allow_pickle=False both "
    "refuse what could only be stored as a pickle; np.savez does not unless told so.",
    "Open a temporary file beside `file`, such as file.with_name(file.name + '.part'), and write to it. Then "
    "stream.flush() empties Python's buffer (np.savez does so by itself, stream.write does not), "
    "os.fsync(stream.fileno()) the system's, and os.replace gives it its name.",
    "`try: ... finally:` runs its last part after success and after every exception. Path.unlink(missing_ok=True) "
    "removes a file if it is there.",
    "Damage makes np.load raise many kinds of exceptions. In `load` catch them all, and raise ValueError instead.",
]
SYNCS = [getattr(os, name) for name in ("fsync", "fdatasync") if hasattr(os, name)]
RENAMES = [os.replace, os.rename]
OLD = {"w": np.arange(6.0).reshape(2, 3)}, {"t": 1}
NEW = {"w": np.arange(12.0).reshape(3, 4), "m.w": np.full(5, 0.1, np.float32)}, {"t": 2, "limits": [None, 50]}


# ---- watching a save ------------------------------------------------------------------------------------------------


def listing(folder):
    """{name: (number of the file on the disk, size)}"""
    return {entry.name: (entry.stat().st_ino, entry.stat().st_size) for entry in os.scandir(folder)}


class Watch:
    """What happens in the folder of `file` while `save` works: its listing, and the bytes of `file`, at each call."""

    def __init__(self, save, file, arrays, header):
        self.file, self.seen, self.synced, self.contents = file, [], [], []
        self.breakable = 0
        sys.setprofile(self.look)
        try:
            save(file, arrays, header)
        finally:
            sys.setprofile(None)
        self.note()

    def look(self, frame, event, function):
        if event == "c_call":
            self.breakable += breakable(function)
        if event in ("c_call", "c_return") and of_files(function):
            self.note()
            if event == "c_return" and function in SYNCS:
                self.synced.append(self.seen[-1])

    def note(self):
        self.seen.append(listing(self.file.parent))
        content = self.file.read_bytes() if self.file.exists() else None
        if not self.contents or self.contents[-1] != content:
            self.contents.append(content)


def of_files(function):
    """Whether a function may change a file."""
    return getattr(function, "__module__", None) != "builtins" or function is open


def breakable(function):
    """Whether it is a call that fails when the disk is full or the power goes: a write, a sync or a renaming."""
    if function in SYNCS or function in RENAMES:
        return True
    of = getattr(function, "__self__", None)
    return function.__name__ in ("write", "writelines", "tofile") and of not in (sys.stdout, sys.stderr)


class Crash:
    """Runs `save` and raises in its breakable call number `at`; `where` says what failed, `raised` is what came out."""

    def __init__(self, save, file, case, at, kind):
        self.at, self.kind, self.where, self.raised = at, kind, "", None
        sys.setprofile(self.look)
        try:
            save(file, *case)
        except (OSError, ValueError, RuntimeError, KeyboardInterrupt) as problem:
            self.raised = problem
        finally:
            sys.setprofile(None)

    def look(self, frame, event, function):
        if event == "c_call" and breakable(function):
            self.at -= 1
            if self.at == 0:
                self.where = f"{self.kind.__name__} in {function.__name__}"
                raise self.kind("raised by the check")


# ---- the parts of the check -----------------------------------------------------------------------------------------


def unlike(given, found):
    """Why what was loaded is not what was saved, or ''."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        return "load returns two things, the arrays and the header"
    (arrays, header), (loaded, read) = given, found
    if isinstance(read, str | bytes | np.ndarray):
        return f"load returns the header as {type(read).__name__}; it was a dictionary"
    if read != header:
        return f"load returns the header {read!r}, and {header!r} was saved"
    if set(loaded) != set(arrays):
        return f"load returns arrays named {sorted(loaded)}, and {sorted(arrays)} were saved"
    for name, array in arrays.items():
        other = loaded[name]
        if not isinstance(other, np.ndarray):
            return f"load returns {name} as {type(other).__name__}, not as an array"
        if other.dtype != array.dtype:
            return f"load returns {name} as {other.dtype}, and {array.dtype} was saved"
        if other.shape != array.shape:
            return f"load returns {name} of the shape {other.shape}, and {array.shape} was saved"
        if other.tobytes() != array.tobytes():
            return f"load returns other numbers in {name} than were saved"
    return ""


def check_round_trip(answer, file, arrays, header):
    given = dict(arrays), dict(header)
    answer.save(file, *given)
    if list(given[0]) != list(arrays) or given[1] != header:
        raise Wrong("save changes the dictionaries that it is given; others still need them")
    found = answer.load(file)
    if found is None:
        raise Wrong("load returns None; is a `return` missing?")
    if problem := unlike((arrays, header), found):
        raise Wrong(problem)
    if left := sorted(set(os.listdir(file.parent)) - {file.name}):
        raise Wrong(f"after save there is another file in the folder: {left[0]}")


def check_types(answer, file):
    check_round_trip(answer, file, *OLD)
    header = {"t": 10, "loss": 0.1, "seen": [1, 2.5, None, True], "experiment": {"name": "rosé", "filters": [16, 32]}}
    arrays = {
        "0.w": np.array([[0.1, -0.0], [np.inf, np.nan]], np.float32), "v.0.w": np.array([1e-300, 1 / 3]),
        "frames": np.arange(12, dtype=np.uint8).reshape(2, 3, 2), "t": np.array(7), "flags": np.array([True, False]),
        "none": np.empty((0, 3), np.float32), "turned": np.arange(6.0).reshape(2, 3).T,
    }  # fmt: skip
    check_round_trip(answer, file, arrays, header)
    check_round_trip(answer, file, {}, {})
    random = np.random.default_rng(0)
    for k in range(10):
        shapes = [tuple(random.integers(0, 5, random.integers(0, 4))) for _ in range(k)]
        kinds = [random.choice(["f4", "f8", "i8", "u1"]) for _ in shapes]
        parts = enumerate(zip(shapes, kinds, strict=True))
        arrays = {f"{i}.w": np.array(9 * random.normal(size=shape)).astype(kind) for i, (shape, kind) in parts}
        check_round_trip(answer, file, arrays, {"k": k, "of": 10})


def check_order(answer, file):
    """At every moment there is a whole file, and it is on the disk before it gets its name."""
    answer.save(file, *OLD)
    old = file.read_bytes()
    watch = Watch(answer.save, file, *NEW)
    new, number, size = file.read_bytes(), file.stat().st_ino, file.stat().st_size
    if None in watch.contents:
        raise Wrong("there is a moment at which the old file is gone and the new one is not there; let the new one "
                    "take the place of the old in a single step, os.replace")  # fmt: skip
    for content in watch.contents:
        if content not in (old, new):
            raise Wrong("there is a moment at which the file is neither the old one nor the new one, but in the middle "
                        "of being written; write to another name, and rename that when it is complete",
                        bytes=f"{len(content)}, the old file has {len(old)}, the new one {len(new)}")  # fmt: skip
    others = [names for names in watch.seen if any(n == number for name, (n, _) in names.items() if name != file.name)]
    if not others:
        raise Wrong("the temporary file is not in the folder of the file; elsewhere it may be on another disk, and "
                    "from there it can only be copied, which a crash may interrupt")  # fmt: skip
    if not watch.synced:
        raise Wrong("os.fsync is not called; after a power cut the new name may stand for an empty file")
    before = [names for names in watch.synced if names.get(file.name, (0, 0))[0] != number]
    if not before:
        raise Wrong("os.fsync comes after the renaming; between the two a power cut may leave an empty file")
    most = max(s for names in before for n, s in [*names.values(), (number, -1)] if n == number)
    if most < size:
        raise Wrong(f"when os.fsync is called, {max(most, 0)} of {size} bytes have left Python's buffer; flush or "
                    "close the stream before (np.savez flushes by itself, stream.write does not), and give os.fsync a "
                    "file number of the same file")  # fmt: skip
    return watch


def holds(answer, file, saved):
    try:
        return not unlike(saved, answer.load(file))
    except ValueError:
        return False


def check_crashes(answer, file):
    answer.save(file, *OLD)
    old, names = file.read_bytes(), os.listdir(file.parent)
    count = check_order(answer, file).breakable
    for kind in (OSError, KeyboardInterrupt):
        for at in sorted({*range(1, count + 1, max(1, count // 12)), count - 1, count} - {0}):
            file.write_bytes(old)
            crash = Crash(answer.save, file, NEW, at, kind)
            if not crash.where:  # this time it made fewer calls
                continue
            if file.read_bytes() != old and not holds(answer, file, NEW):
                raise Wrong(f"after an exception, {crash.where}, the file is neither the old one nor the new one")
            if left := sorted(set(os.listdir(file.parent)) - set(names)):
                raise Wrong(f"after an exception, {crash.where}, a temporary file is left behind: {left[0]}")
            if crash.raised is None:
                text = "does not come out of save; nobody learns that nothing was saved"
                raise Wrong(f"an exception, {crash.where}, {text}")


def check_left_behind(answer, file):
    """A process that was killed has left its temporary file, where its name is always the same."""
    runs = [set().union(*Watch(answer.save, file, *case).seen) - {file.name} for case in (OLD, NEW)]
    for name in sorted(runs[0] & runs[1]):
        (file.parent / name).write_bytes(b"left by a process that was killed" * 99)
    try:
        check_round_trip(answer, file, *NEW)
    except FileExistsError:
        raise Wrong("where a killed process has left its temporary file, the next save fails") from None


def refused(answer, file, what, saved):
    """Wrong unless load raises ValueError, or (where a byte has changed) returns what was saved all the same."""
    try:
        found = answer.load(file)
    except ValueError:
        return
    except Exception as problem:
        raise Wrong(f"{what}: load raises {type(problem).__name__}, expected ValueError", raised=problem) from None
    if saved is None or unlike(saved, found):
        raise Wrong(f"{what}: load returns something, expected ValueError")


def check_damage(answer, file):
    answer.save(file, *NEW)
    whole = file.read_bytes()
    for kept in sorted({0, 1, *range(0, len(whole), len(whole) // 20), len(whole) - 1}):
        file.write_bytes(whole[:kept])
        refused(answer, file, f"the file is cut off after {kept} of {len(whole)} bytes", None)
    file.write_bytes(whole)
    end = zipfile.ZipFile(file).start_dir if zipfile.is_zipfile(file) else len(whole)  # then a table without a checksum
    for k in range(0, end, max(1, end // 250)):
        for flip in (1, 0x84):
            file.write_bytes(whole[:k] + bytes([whole[k] ^ flip]) + whole[k + 1 :])
            refused(answer, file, f"byte {k} of {len(whole)} is changed", NEW)
    file.write_bytes(whole)


class Trap:
    """Whoever unpickles it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def check_pickle(answer, file):
    sprung = file.parent / "sprung"
    trap = np.array([Trap(sprung)], object)
    try:
        answer.save(file, {"w": trap}, {})
    except Exception:  # which is right
        pass
    else:
        raise Wrong("save takes an array of objects, which can only be stored as a pickle; refuse it")
    stream = io.BytesIO()
    np.save(stream, trap, allow_pickle=True)
    files = {"a pickle": pickle.dumps(Trap(sprung)), "an .npy file with a pickle": stream.getvalue()}
    answer.save(file, *NEW)
    if zipfile.is_zipfile(file):
        members = {name: zipfile.ZipFile(file).read(name) for name in zipfile.ZipFile(file).namelist()}
        for name in members:
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w") as archive:
                for other, data in members.items():
                    archive.writestr(other, files["an .npy file with a pickle"] if other == name else data)
            files[f"a pickle as {name}"] = stream.getvalue()
    for what, data in files.items():
        file.write_bytes(data)
        problem = None
        try:
            refused(answer, file, f"the file holds {what}", None)
        except Wrong as found:
            problem = found
        if sprung.exists():
            raise Wrong(f"the file holds {what}, and load runs what it says: such a file can do anything to its reader")
        if problem:
            raise problem


def check(answer):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.npz"
        check_types(answer, file)
        check_order(answer, file)
        check_crashes(answer, file)
        check_left_behind(answer, file)
        check_pickle(answer, file)
        check_damage(answer, file)
