"""Every block of every lesson runs, what a lesson shows of the package is the package, and the checks judge rightly."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from lessons import check, figure

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "lessons").glob("[0-9]*.md"))
EXERCISES = check.exercises()


def wrong_answers(name):
    """{mistake: (functions in place of the solution's, part of the sentence that is expected)}"""
    spec = check.importlib.util.spec_from_file_location(f"wrong_{name}", ROOT / f"tests/wrong/{name}.py")
    module = check.importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


# ---- the pages


def masked(printed):
    """What is printed, a # for each number: times and the last digits differ from machine to machine."""
    return re.sub(r"\s+", " ", re.sub(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?", "#", printed)).strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_lesson_runs_prints_what_it_says_and_leaves_no_file(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(figure.FOLDER.glob("*"))
    for said, printed in figure.outputs(page):
        assert masked(said) == masked(printed), f"python -m lessons.figure {page.name[:2]}"
    assert page.read_text().count("```python\n") == len(figure.BLOCK.findall(page.read_text())) > 0
    assert not list(tmp_path.iterdir())
    assert sorted(figure.FOLDER.glob("*")) == before


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_lesson_shows_of_the_package_is_the_package(page):
    """A ```py block is an excerpt from the file that the line before it links."""
    excerpt = r"\]\(\.\./(\w+/\w+\.py)\)[^\n]*\n\n?```py\n(.*?)^```$"
    found = re.findall(excerpt, page.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == page.read_text().count("```py\n"), "a block without the file that it is from"
    for file, block in found:
        assert block in (ROOT / file).read_text(), f"{page.name} shows what is not in {file}:\n{block}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "lessons/README.md"], ids=lambda page: page.stem)
def test_links_and_pictures_are_there_and_every_picture_is_drawn(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    shown = {Path(link).stem for link in links if link.endswith(".png")}
    if page.name != "README.md":
        drawn = set(re.findall(r'figure\.save\(\w+, "([^"]+)"\)', page.read_text()))
        assert shown == drawn


def test_every_file_of_the_package_is_read_by_a_lesson_that_says_so():
    """Each row of the table names files that its lesson links, and together they are all of the package."""
    named = set()
    for row in re.findall(r"^\| \d+ \| .*$", (ROOT / "lessons/README.md").read_text(), re.MULTILINE):
        _, _, lesson, files, *_ = row.split("|")
        text = (ROOT / "lessons" / re.search(r"\((.*)\)", lesson)[1]).read_text()
        for file in re.findall(r"`(\w+\.py)`", files):
            assert f"../scratch_ae/{file})" in text, f"{lesson} does not link {file}"
            named.add(file)
    assert named == {file.name for file in (ROOT / "scratch_ae").glob("*.py")}


def test_where_ipython_runs_a_picture_is_shown_and_no_file_is_written(monkeypatch):
    shown, shells, chart = [], iter([None, "a shell", "a shell"]), plt.subplots()[0]
    ipython = SimpleNamespace(get_ipython=lambda: next(shells), version_info=(9, 0))  # Matplotlib asks for the version
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=shown.append))
    before = sorted(figure.FOLDER.glob("*"))
    for picture in (Image.new("RGB", (3, 2)), Image.new("RGB", (5, 4)), chart):
        figure.save(picture, "not-a-file")
    assert shown[0].size == (5, 4)
    assert min(shown[1].size) > 100
    assert not plt.fignum_exists(chart.number)
    assert sorted(figure.FOLDER.glob("*")) == before


# ---- the exercises


@cache
def stub(name):
    """The exercise as it is given: the file, or, if somebody has begun it, what git has on main, or else at HEAD."""
    file = f"lessons/exercises/{name}.py"
    if str(check.verdict(name)) != "not started" and shutil.which("git"):
        for version in ("main", "HEAD"):
            found = subprocess.run(["git", "show", f"{version}:./{file}"], cwd=ROOT, capture_output=True, text=True)
            if found.returncode == 0:
                return found.stdout
    return (ROOT / file).read_text()


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """`check` works on a copy of the lessons, in which nobody has begun."""
    given = {name: stub(name) for name in EXERCISES}
    shutil.copytree(ROOT / "lessons", tmp_path / "lessons")
    for name, text in given.items():
        (tmp_path / f"lessons/exercises/{name}.py").write_text(text)
    monkeypatch.setattr(check, "HERE", tmp_path / "lessons")


@pytest.mark.usefixtures("stubs")
@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_is_not_started_and_the_solution_is_right(name):
    assert str(check.verdict(name)) == "not started"
    assert str(check.verdict(name, check.load("solutions", name))) == "right"


@pytest.mark.parametrize(("name", "mistake"), [(name, m) for name in EXERCISES for m in wrong_answers(name)])
def test_a_wrong_answer_gets_the_sentence_that_helps(name, mistake):
    functions, sentence = wrong_answers(name)[mistake]
    answer = SimpleNamespace(**{**vars(check.load("solutions", name)), **functions})
    found = check.verdict(name, answer)
    assert found.word == "wrong", f"{mistake} is {found}"
    assert sentence in found.sentence, found


@pytest.mark.parametrize("name", EXERCISES)
def test_there_are_six_wrong_answers_and_more(name):
    assert len(wrong_answers(name)) >= 6


@pytest.mark.parametrize("name", EXERCISES)
def test_the_packages_own_functions_are_not_yours(name):
    checks = check.checks_of(name)
    for owner, function in checks.FORBIDDEN:

        def borrowed(*arguments, owner=owner, function=function):
            try:
                return getattr(owner, function)(*arguments)
            except Exception:
                return None

        answer = SimpleNamespace(**dict.fromkeys(checks.FUNCTIONS, borrowed))
        found = check.verdict(name, answer)
        assert found.word == "not yours"
        assert function in found.sentence


@pytest.mark.usefixtures("stubs")
def test_half_an_answer_names_what_is_missing():
    name = "03_backward"
    answer = SimpleNamespace(**vars(check.load("exercises", name)))
    answer.dense_backward = check.load("solutions", name).dense_backward
    assert str(check.verdict(name, answer)) == "wrong: relu_backward is not written yet"


def test_an_answer_that_raises_is_wrong_and_says_where():
    answer = SimpleNamespace(correlate=lambda x, w, b, down, right: 1 / 0)
    found = str(check.verdict("01_correlate", answer))
    assert "wrong: ZeroDivisionError: division by zero" in found
    assert "w  of the shape (3, 3, 2, 5)" in found


@pytest.mark.usefixtures("stubs")
def test_the_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(check, "GIVEN", tmp_path / "hints.json")
    assert check.main([]) == 0
    assert capsys.readouterr().out == "".join(f"{name:16} not started\n" for name in EXERCISES)
    assert check.main(["1"]) == 1
    assert "Write your answer into lessons/exercises/01_correlate.py." in capsys.readouterr().out
    check.GIVEN.write_text('{"01_')  # cut off
    for count in (1, 2, 3, 3):
        assert check.main(["01", "--hint"]) == 0
        printed = capsys.readouterr().out
        assert re.findall(r"^(\d)\.", printed, re.M) == [str(k) for k in range(1, count + 1)]
        assert ("There are no more." in printed) == (count == 3)
    assert check.main(["01", "--solution"]) == 0
    assert "def correlate" in capsys.readouterr().out
    for arguments in (["99"], ["01", "02"], ["--hint"], ["01", "--what"]):
        with pytest.raises(check.UserError):
            check.main(arguments)
    for name in ("01_correlate", "11_rung"):
        shutil.copy(check.HERE / f"solutions/{name}.py", check.HERE / f"exercises/{name}.py")
        assert check.main([name[:2]]) == 0
        assert capsys.readouterr().out.startswith("right\n")


def test_seven_digits_are_too_few():
    check.expect_close("s", np.ones(1) + 1e-11, np.ones(1))
    with pytest.raises(check.Wrong, match="about seven digits"):
        check.expect_close("s", np.ones(1) + 1e-7, np.ones(1))


HEAD = "def correlate(x, w, b, down, right):\n"


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (HEAD + "    raise NotImplementedError\n", ["not started"]),
        (HEAD + "    exit()\n", ["wrong: it ends the program"]),
        (HEAD + "    pass\n", ["wrong: y is None; is a `return` missing?"]),
        ("def corelate(): pass\n", ["wrong: there is no function correlate in the answer; was it renamed?"]),
        ("def correlate(x\n", ["wrong: Python does not understand the file: "]),
        (HEAD + "    return x @ w\n", ["wrong: ValueError: ", "in line 2 of 01_correlate.py", "x  of the shape"]),
        (f"import numpy as np\n{HEAD}    return np.ones((-(-len(x) // down), -(-x.shape[1] // right), w.shape[3]))\n",
         ["as on paper", " x  [1. 2. 3.", " yours ", " difference "]),
        (f"from scratch_ae.reference import correlate as f\n{HEAD}    return f(x[None], w, down, 'same')\n",
         ["not yours: your answer calls scratch_ae.reference.correlate"]),
    ],
)  # fmt: skip
def test_the_command_as_a_learner_calls_it(tmp_path, answer, lines):
    """In a copy, and as a program: there its classes must be those that the checks know."""
    shutil.copytree(ROOT / "lessons", tmp_path / "lessons")
    (tmp_path / "lessons/exercises/01_correlate.py").write_text(answer)
    call = [sys.executable, "-m", "lessons.check", "01"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert [line for line in lines if line not in done.stdout] == [], done.stdout + done.stderr
    assert (done.returncode, done.stderr) == (1, "")
