"""Wrong answers to exercise 7: the mistakes that people make, each with a part of the sentence that helps."""

import numpy as np


def adam(
    corrected=lambda a, beta, t: a / (1 - beta**t), kept=False, sign=-1, square=lambda g, m: g * g,
    length=lambda m, v: m / (np.sqrt(v) + 1e-8), beta1=0.9,
):  # fmt: skip
    """The right step, with one mistake."""

    def step(p, g, m, v, t, rate):
        m = beta1 * m + (1 - beta1) * g
        v = 0.999 * v + 0.001 * square(g, m)
        mean, mean_square = corrected(m, beta1, t), corrected(v, 0.999, t)
        return p + sign * rate * length(mean, mean_square), *((mean, mean_square) if kept else (m, v))

    return {"step": step}


def eps_before_correction(p, g, m, v, t, rate):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return p - rate * m / (1 - 0.9**t) * np.sqrt(1 - 0.999**t) / (np.sqrt(v) + 1e-8), m, v


def p_in_place(p, g, m, v, t, rate):
    new, m, v = adam()["step"](p, g, m, v, t, rate)
    p[...] = new
    return p, m, v


def m_in_place(p, g, m, v, t, rate):
    m *= 0.9
    m += 0.1 * g
    return adam()["step"](p, g, (m - 0.1 * g) / 0.9, v, t, rate)


def only_p(p, g, m, v, t, rate):
    return adam()["step"](p, g, m, v, t, rate)[0]


def one_v_for_all(p, g, m, v, t, rate):
    return adam(square=lambda g, m: np.full_like(g, np.mean(g * g)))["step"](p, g, m, v, t, rate)


def old_moments(p, g, m, v, t, rate):
    """The step is taken with m and v as they were."""
    _, new_m, new_v = adam()["step"](p, g, m, v, t, rate)
    return p - rate * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), new_m, new_v


def all_with(first=1, each=0, after=1, count=lambda t, arrays: t + 1):
    """step_all with another t: `first` is added before the arrays, `each` after each of them."""

    def step_all(p, g, m, v, t, rate):
        number, new = t + first, {}
        for name in p:
            new[name] = adam()["step"](p[name], g[name], m[name], v[name], number, rate)
            number += each
        return *({name: arrays[k] for name, arrays in new.items()} for k in range(3)), count(t, len(p))

    return {"step_all": step_all}


def changed_dictionaries(p, g, m, v, t, rate):
    for name in p:
        p[name], m[name], v[name] = adam()["step"](p[name], g[name], m[name], v[name], t + 1, rate)
    return p, m, v, t + 1


WRONG = {
    "beta in place of beta^t": (adam(lambda a, beta, t: a / (1 - beta)), "those of the first step"),
    "t - 1, at least 1": (adam(lambda a, beta, t: a / (1 - beta ** max(t - 1, 1))), "the corrections in step t are"),
    "t - 1, divided by 0": (adam(lambda a, beta, t: a / np.float64(1 - beta ** (t - 1))), "p is not a number after"),
    "t + 1": (adam(lambda a, beta, t: a / (1 - beta ** (t + 1))), "the first step is as long as the rate"),
    "beta * t": (adam(lambda a, beta, t: a / (1 - beta * t)), "the corrections in step t are"),
    "no correction": (adam(lambda a, beta, t: a), "without the corrections the first step is three times too long"),
    "correction of m only": (adam(lambda a, beta, t: a / (1 - beta**t) if beta == 0.9 else a), "and v is not"),
    "correction of v only": (adam(lambda a, beta, t: a if beta == 0.9 else a / (1 - beta**t)), "and m is not"),
    "correction in place, so that it accumulates": (adam(kept=True), "returned without the correction"),
    "eps inside the root": (adam(length=lambda m, v: m / np.sqrt(v + 1e-8)), "eps is added to the root"),
    "eps before the correction": ({"step": eps_before_correction}, "eps is added to the root of the corrected v"),
    "no eps": (adam(length=lambda m, v: m / np.sqrt(v)), "eps keeps the fraction from being 0/0"),
    "no root": (adam(length=lambda m, v: m / (v + 1e-8)), "here the root is missing"),
    "gradient not squared": (adam(square=lambda g, m: g), "here g is not squared"),
    "absolute value for the square": (adam(square=lambda g, m: np.abs(g)), "here g is not squared"),
    "m used in v": (adam(square=lambda g, m: m * m), "v is made from g, not from m"),
    "distance from the mean in v": (adam(square=lambda g, m: (g - m) ** 2), "the new v is 0.999 times the old v"),
    "plus instead of minus": (adam(sign=1), "p goes up the slope"),
    "beta1 0.99": (adam(beta1=0.99), "the new m is 0.9 times the old m"),
    "one v for all entries": ({"step": one_v_for_all}, "each entry has an m and a v of its own"),
    "old moments in the step": ({"step": old_moments}, "the first step is as long as the rate"),
    "p changed in place": ({"step": p_in_place}, "changes its argument p"),
    "m changed in place": ({"step": m_in_place}, "changes its argument m"),
    "only p returned": ({"step": only_p}, "step returns three arrays"),
    "nothing returned": ({"step": lambda p, g, m, v, t, rate: None}, "step returns three arrays"),
    "all: t counted once per array": (
        all_with(each=1, count=lambda t, arrays: t + arrays),
        "'b', the 2nd of 3 arrays, makes another step than it does alone: count t once",
    ),
    "all: t counted once per array, in what is returned": (
        all_with(count=lambda t, arrays: t + arrays),
        "t is counted once for each array: after step 1 of 3 arrays t is 3",
    ),
    "all: t never increased": (all_with(count=lambda t, arrays: t), "t grows by 1 in each step"),
    "all: t increased after the step": (all_with(first=0), "count first, then step"),
    "all: dictionaries changed": ({"step_all": changed_dictionaries}, "step_all changes its argument p"),
}
