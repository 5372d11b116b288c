"""Judges the exercises: python -m lessons.check [NN]

    python -m lessons.check              a table of all of them
    python -m lessons.check 01           one of them, with the smallest case that fails
    python -m lessons.check 01 --hint    a hint; each call gives one more
    python -m lessons.check 01 --solution

Your answers go into lessons/exercises. The verdict is `not started`, `wrong`, `not yours` (your answer calls the
package's own function) or `right`.
"""

import contextlib
import importlib.util
import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from scratch_ae import UserError, command

HERE = Path(__file__).parent
GIVEN = HERE / "exercises" / ".hints.json"  # how many hints each exercise has given


class Wrong(Exception):
    """What is wrong with an answer: one sentence, and what shows it, if there is something to show."""

    def __init__(self, sentence: str, **shown: Any):
        super().__init__(sentence)
        self.sentence, self.shown = sentence, shown


class NotYours(BaseException):
    """An answer called what it should do itself. No `except Exception` of the answer's hides it."""


@dataclass
class Verdict:
    word: str
    sentence: str = ""
    shown: dict[str, Any] | None = None
    note: str = ""  # what a check has to tell of a right answer

    def __str__(self) -> str:
        lines = [self.word + (f": {self.sentence}" if self.sentence else "")]
        for name, value in (self.shown or {}).items():
            text = value
            if isinstance(value, np.ndarray):
                small = bool(np.abs(value).max(initial=0) > 1e-3)  # beside numbers of which 1e-8 may be shown as 0
                text = np.array2string(value, precision=4, suppress_small=small, threshold=60, edgeitems=2)
            lines.append(f"{name:>12}  " + str(text).replace("\n", "\n" + " " * 14))
        return "\n".join(lines)


def exercises() -> list[str]:
    return sorted(file.stem for file in (HERE / "exercises").glob("[0-9]*.py"))


def named(number: str) -> str:
    """The exercise of that number, as '01_correlate' of '01' or '1'. UserError: there is none."""
    found = [name for name in exercises() if name.split("_")[0] == number.zfill(2)]
    if not found:
        numbers = ", ".join(name.split("_")[0] for name in exercises())
        raise UserError(f"there is no exercise {number}; there are {numbers}")
    return found[0]


def load(folder: str, name: str) -> ModuleType:
    """The module lessons/<folder>/<name>.py, read anew."""
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", HERE / folder / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def checks_of(name: str) -> ModuleType:
    """lessons/checks/<name>.py, which may take a second to prepare its cases."""
    return load("checks", name)


@contextlib.contextmanager
def forbidden(things: list[tuple[object, str]], called: list[str]) -> Iterator[None]:
    """Inside, these functions, each the attribute of something, only note that they were called, and raise NotYours."""
    with contextlib.ExitStack() as stack:
        for owner, name in things:

            def refuse(*_: object, name: str = f"{getattr(owner, '__name__', owner)}.{name}", **__: object) -> None:
                called.append(name)
                raise NotYours

            stack.enter_context(mock.patch.object(owner, name, refuse))
        yield


def verdict(name: str, answer: ModuleType | None = None) -> Verdict:
    """The verdict on an exercise: on the file in lessons/exercises, or on another module with the same functions."""
    checks, called, note = checks_of(name), list[str](), None
    try:
        with forbidden(checks.FORBIDDEN, called):
            answer = answer or load("exercises", name)
            for function in checks.FUNCTIONS:
                if not callable(getattr(answer, function, None)):
                    return Verdict("wrong", f"there is no function {function} in the answer; was it renamed?")
            try:
                note = checks.check(answer)
            except Wrong as problem:
                return not_yours(called) if called else Verdict("wrong", problem.sentence, problem.shown)
    except NotYours:
        pass
    except NotImplementedError:
        if called:
            return not_yours(called)
        begun = [f for f in checks.FUNCTIONS if not raises_not_implemented(answer, f, checks)]
        if not begun:
            return Verdict("not started")
        missing = next(f for f in checks.FUNCTIONS if f not in begun)
        return Verdict("wrong", f"{missing} is not written yet")
    except SystemExit:
        return Verdict("wrong", "it ends the program; an answer returns")
    except SyntaxError as problem:
        return Verdict("wrong", f"Python does not understand the file: {problem}")
    except Exception as problem:
        return not_yours(called) if called else Verdict("wrong", in_words(problem))
    return not_yours(called) if called else Verdict("right", note=note or "")


def in_words(problem: Exception) -> str:
    """An exception, and the last line of an answer that it came through."""
    lines = [f for f in traceback.extract_tb(problem.__traceback__) if Path(f.filename).parent.name == "exercises"]
    where = f", in line {lines[-1].lineno} of {Path(lines[-1].filename).name}" if lines else ""
    return f"{type(problem).__name__}: {problem}{where}"


def raises_not_implemented(answer: ModuleType | None, function: str, checks: ModuleType) -> bool:
    try:
        getattr(answer, function)(*checks.FUNCTIONS[function])
    except NotImplementedError:
        return True
    except (Exception, NotYours):
        return False
    return False


def not_yours(called: list[str]) -> Verdict:
    return Verdict("not yours", f"your answer calls {called[0]}, which is what it should do itself")


# ---- for the checks -------------------------------------------------------------------------------------------------


def call(function: Any, *arguments: np.ndarray | Any) -> Any:
    """What the answer makes of these arguments. Wrong when it changes one of the arrays."""
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    try:
        result = function(*arguments)
    except (NotImplementedError, Wrong):
        raise
    except Exception as problem:
        names = function.__code__.co_varnames
        shapes = {names[k]: f"of the shape {a.shape}" for k, a in enumerate(arguments) if isinstance(a, np.ndarray)}
        raise Wrong(in_words(problem), **shapes) from problem
    for k, (a, b) in enumerate(zip(arguments, before, strict=True)):
        if isinstance(a, np.ndarray) and not np.array_equal(a, b, equal_nan=True):
            name = function.__code__.co_varnames[k]
            raise Wrong(f"{function.__name__} changes its argument {name}; others still need it", before=b, after=a)
    return result


def expect_shape(what: str, yours: Any, shape: tuple[int, ...]) -> None:
    if yours is None:
        raise Wrong(f"{what} is None; is a `return` missing?")
    if np.shape(yours) != shape:
        raise Wrong(f"{what} has the shape {np.shape(yours)}, expected {shape}")


def expect_close(sentence: str, yours: np.ndarray, expected: np.ndarray, **case: Any) -> None:
    """Wrong with this sentence unless the two agree but for rounding in float64."""
    expect_shape("the result", yours, np.shape(expected))
    yours = np.asarray(yours)
    if not np.allclose(yours, expected, rtol=1e-9, atol=1e-9):
        if np.allclose(yours, expected, rtol=1e-5, atol=1e-5):
            sentence = "only about seven digits are right, so somewhere float64 becomes float32"
        raise Wrong(sentence, **case, yours=yours, expected=expected, difference=yours - expected)


# ---- the command ----------------------------------------------------------------------------------------------------


def hint(name: str) -> str:
    """The exercise's hints, one more each time."""
    hints = checks_of(name).HINTS
    given = {}
    with contextlib.suppress(OSError, ValueError):  # none yet, or damaged
        given = json.loads(GIVEN.read_text())
    given[name] = min(given.get(name, 0) + 1, len(hints))
    GIVEN.write_text(json.dumps(given))
    lines = [f"{k}. {text}" for k, text in enumerate(hints[: given[name]], 1)]
    if given[name] == len(hints):
        lines.append(f"There are no more. An answer: python -m lessons.check {name.split('_')[0]} --solution")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    numbers, options = [a for a in arguments if a[:1] != "-"], [a for a in arguments if a[:1] == "-"]
    if len(numbers) > 1 or len(options) > 1 or any(o not in ("--hint", "--solution") for o in options):
        raise UserError("give the number of an exercise, and perhaps --hint or --solution: python -m lessons.check 01")
    if not numbers:
        if options:
            raise UserError(f"{options[0]} of which exercise? As in: python -m lessons.check 01 {options[0]}")
        for name in exercises():
            print(f"{name:16} {verdict(name).word}")
        return 0
    name = named(numbers[0])
    if options == ["--hint"]:
        print(hint(name))
    elif options == ["--solution"]:
        print((HERE / "solutions" / f"{name}.py").read_text(), end="")
    else:
        found = verdict(name)
        print(found)
        if found.note:
            print(found.note)
        if found.word == "not started":
            print(f"Write your answer into lessons/exercises/{name}.py.")
        return int(found.word != "right")
    return 0


if __name__ == "__main__":
    from lessons import check  # this module, by the name that the checks import it by: its classes must be the same

    command(check.main)
