"""The check of exercise 7."""

import math

import numpy as np

from lessons.check import Wrong, call, expect_close, expect_shape
from scratch_ae import kernels, optim

FORBIDDEN = [(optim.Adam, "step"), (kernels, "adam")]
ONE = np.ones(1)
FUNCTIONS = {"step": (ONE, ONE, ONE, ONE, 1, 0.1), "step_all": (*[{"w": ONE}] * 4, 0, 0.1)}
HINTS = [
    "Two lines make the new m and the new v. Write m = ..., not m *= ...: the latter changes the caller's array.",
    "Give the corrected m and v names of their own. They are used once, in the step, and then forgotten.",
    "0.9**t is beta1 to the power t. The root is taken of the corrected v, and eps is added to the root.",
    "In step_all, count t once, before the loop over the names, and fill new dictionaries in the loop.",
]


def three(answer, *arguments):
    """What `step` returns, with the shapes of p, m and v as they should be."""
    result = call(answer.step, *arguments)
    if not isinstance(result, tuple | list) or len(result) != 3:
        raise Wrong("step returns three arrays: the new p, m and v")
    for name, array in zip("pmv", result, strict=True):
        expect_shape(f"the new {name}", array, arguments[0].shape)
        if any(array is old for old in arguments[:4]):
            raise Wrong(f"the new {name} is an array that was passed in; return a new one")
    return [np.asarray(array) for array in result]


def expected(p, gradients, rate):
    """p, m and v after these gradients from the beginning: m and v as weighted sums, and so by another way."""
    for t in range(1, len(gradients) + 1):
        m = sum(0.1 * 0.9 ** (t - k) * gradients[k - 1] for k in range(1, t + 1))
        v = sum(0.001 * 0.999 ** (t - k) * np.square(gradients[k - 1]) for k in range(1, t + 1))
        weight1, weight2 = (sum((1 - beta) * beta**k for k in range(t)) for beta in (0.9, 0.999))
        p = p - rate * (m / weight1) / (np.sqrt(v / weight2) + 1e-8)
    return p, m, v


def check_first(answer):
    """p = 1, g = 2, m = v = 0: m = 0.2, v = 0.004, corrected 2 and 4, p = 1 - 0.1 * 2 / 2."""
    p, g, zero = np.array([1.0]), np.array([2.0]), np.zeros(1)
    case = {"p": p, "g": g, "m": zero, "v": zero, "t": 1, "rate": 0.1}
    p, m, v = three(answer, p, g, zero, zero, 1, 0.1)
    text = "the new m is 0.9 times the old m plus 0.1 times g, and is returned without the correction"
    expect_close(text, m, np.array([0.2]), **case)
    if np.allclose(v, 0.002):
        expect_close("v is the mean of the squares of g, and here g is not squared", v, np.array([0.004]), **case)
    if np.allclose(v, 0.001 * m * m):
        expect_close("v is made from g, not from m", v, np.array([0.004]), **case)
    text = "the new v is 0.999 times the old v plus 0.001 times the square of g, and is returned without the correction"
    expect_close(text, v, np.array([0.004]), **case)
    right = np.array([0.9])
    if not np.isfinite(p).all():
        text = "p is not a number after the first step: t is 1 there already, so 1 - 0.9^t is not 0"
        expect_close(text, p, right, **case)
    known = {
        1.1: "p goes up the slope: the step is subtracted",
        1 - 0.1 * 0.2 / math.sqrt(0.004): "without the corrections the first step is three times too long",
        1 - 0.1 * 2 / math.sqrt(0.004): "m is corrected, and v is not",
        1 - 0.1 * 0.2 / 2: "v is corrected, and m is not",
        1 - 0.1 * 2 / 4: "the step is divided by the root of v, and here the root is missing",
    }
    for number, sentence in known.items():
        if np.allclose(p, number, rtol=1e-6):
            expect_close(sentence, p, right, **case)
    text = "the first step is as long as the rate, and here it is not"
    if not np.allclose(p, right, atol=1e-4):
        expect_close(text, p, right, **case)


def check_third(answer):
    """With memory: m = 0.45 + 0.1, v = 0.03996 + 0.001; the corrections at t = 3 are 0.271 and 0.002997001."""
    p, g, m, v = np.array([1.0]), np.array([1.0]), np.array([0.5]), np.array([0.04])
    case = {"p": p, "g": g, "m": m, "v": v, "t": 3, "rate": 0.1}
    p, m, v = three(answer, p, g, m, v, 3, 0.1)
    text = "the new m is 0.9 times the old m plus 0.1 times g, and is returned without the correction"
    expect_close(text, m, np.array([0.55]), **case)
    text = "the new v is 0.999 times the old v plus 0.001 times the square of g, and is returned without the correction"
    expect_close(text, v, np.array([0.04096]), **case)
    step = 0.1 * (0.55 / 0.271) / math.sqrt(0.04096 / 0.002997001)
    if np.allclose(p, 1 - 0.1 * (0.55 / 0.1) / math.sqrt(0.04096 / 0.001), rtol=1e-6):
        text = "the corrections are those of the first step, 1 - 0.9 and 1 - 0.999, in every step; they change with t"
        expect_close(text, p, np.array([1 - step]), **case)
    if not np.allclose(p, 1 - step, atol=1e-5):
        expect_close("the corrections in step t are 1 - 0.9^t and 1 - 0.999^t", p, np.array([1 - step]), **case)


def check_rest(answer):
    p, g, zero = np.zeros(2), np.array([1.0, -1000]), np.zeros(2)
    case = {"p": p, "g": g, "t": 1, "rate": 1.0}
    right = np.array([-1.0, 1])
    found = three(answer, p, g, zero, zero, 1, 1.0)[0]
    if not np.allclose(found, right, rtol=1e-6):
        text = "each entry has an m and a v of its own, so both go one rate, against their sign"
        expect_close(text, found, right, **case)
    p, g = np.zeros(2), np.array([1e-8, 0])
    found, case = three(answer, p, g, zero, zero, 1, 1.0)[0], {"p": p, "g": g, "t": 1, "rate": 1.0}
    if not np.isfinite(found).all():
        expect_close("where g was always 0, eps keeps the fraction from being 0/0", found, np.array([-0.5, 0]), **case)
    text = "eps is added to the root of the corrected v, so that g = 1e-8 makes half a step"
    expect_close(text, found, np.array([-0.5, 0]), **case)

    rng = np.random.default_rng(0)
    for shape in ((), (4,), (2, 3), (2, 1, 3)):
        start, gradients = rng.normal(size=shape), [np.asarray(rng.normal(size=shape)) for _ in range(12)]
        p = np.asarray(start)
        m, v = np.zeros(shape), np.zeros(shape)
        for t, g in enumerate(gradients, 1):
            p, m, v = three(answer, p, g, m, v, t, 0.01)
            text = f"step {t} of 12 in a row, shape {shape}: not where the sums of the lesson lead"
            for name, array, right in zip("pmv", (p, m, v), expected(start, gradients[:t], 0.01), strict=True):
                expect_close(f"{text}, in {name}", array, right, g=g)


def check_all(answer):
    rng = np.random.default_rng(1)
    for count in (1, 3):
        names = ["w", "b", "another"][:count]
        shapes = dict(zip(names, ((2, 2), (3,), (1, 2, 2)), strict=False))
        p = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        m, v = ({name: np.zeros(shape) for name, shape in shapes.items()} for _ in range(2))
        start, history, t = p, [], 0
        for k in range(1, 5):
            g = {name: rng.normal(size=shape) for name, shape in shapes.items()}
            history.append(g)
            before = [{name: array.copy() for name, array in d.items()} for d in (p, g, m, v)]
            result = answer.step_all(p, g, m, v, t, 0.1)
            for letter, now, old in zip("pgmv", (p, g, m, v), before, strict=True):
                if now.keys() != old.keys() or any(not np.array_equal(now[name], old[name]) for name in old):
                    raise Wrong(f"step_all changes its argument {letter}; return new dictionaries with new arrays")
            if not isinstance(result, tuple | list) or len(result) != 4:
                raise Wrong("step_all returns three dictionaries and a number: the new p, m, v and t")
            for letter, new, old in zip("pmv", result, (p, m, v), strict=False):
                if not isinstance(new, dict) or new.keys() != old.keys():
                    raise Wrong(f"the new {letter} of step_all is no dictionary with the names {', '.join(names)}")
            p, m, v, counted = result
            check_positions(k, names, (p, m, v), start, history)
            if counted != k:
                text = "t is counted once for each array" if counted == k * count != k else "t grows by 1 in each step"
                raise Wrong(f"{text}: after step {k} of {count} arrays t is {counted}, expected {k}")
            t = counted


def check_positions(k, names, arrays, start, history):
    for place, name in enumerate(names):
        gradients = [g[name] for g in history]
        right = expected(start[name], gradients, 0.1)
        for letter, array, wanted in zip("pmv", (a[name] for a in arrays), right, strict=True):
            text = f"step {k}, array {place + 1} of {len(names)}: {letter}[{name!r}] is not what `step` makes of it"
            if k == 1 and place == 0 and letter == "p":
                text = "the first step has the number 1, and t is 0 before it: count first, then step"
            elif letter == "p" and place:
                one = f"{name!r}, the {('2nd', '3rd')[place - 1]} of {len(names)} arrays,"
                text = f"{one} makes another step than it does alone: count t once"
            expect_close(text, array, wanted, names=names)


def check(answer):
    with np.errstate(all="ignore"):  # a division by 0 gets its sentence here, and not a warning
        three(answer, np.ones((2, 3)), np.ones((2, 3)), np.zeros((2, 3)), np.zeros((2, 3)), 1, 0.1)
        check_first(answer)
        check_third(answer)
        check_rest(answer)
        check_all(answer)
