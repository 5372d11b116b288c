"""The wrong answers to the exercises, and what the checks say of each: python -m tests.wrong"""

import sys
from types import SimpleNamespace

from lessons import check
from tests.test_lessons import wrong_answers


def main() -> int:
    rows = right = 0
    for name in check.exercises():
        solution = check.load("solutions", name)
        print(f"\n{name}: the stub is {check.verdict(name).word}, the solution {check.verdict(name, solution).word}")
        for mistake, (functions, _) in wrong_answers(name).items():
            found = check.verdict(name, SimpleNamespace(**{**vars(solution), **functions}))
            rows, right = rows + 1, right + (found.word == "right")
            print(f"  {mistake:44} {found.word}: {found.sentence}")
    print(f"\n{rows} wrong answers, {right or 'none'} of them judged right")
    return int(right > 0)


if __name__ == "__main__":
    sys.exit(main())
