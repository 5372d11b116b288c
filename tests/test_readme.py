"""README.md keeps its word: its Python runs as it stands, its links and files exist, its commands are real."""

import re
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from scratch_ae import train

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", ["README.md"])
def test_every_python_block_runs(page, tmp_path, monkeypatch):
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(ROOT / page)
    examples = list(document.examples())
    assert examples
    monkeypatch.chdir(tmp_path)
    for example in examples:
        example.evaluate()


def test_every_relative_link_and_picture_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    links = [link for link in links if "://" not in link]
    assert len(links) >= 3
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_file_of_the_package_is_in_the_table():
    assert set(re.findall(r"`(\w+\.py)`", README)) >= {p.name for p in (ROOT / "scratch_ae").glob("[a-z]*.py")}


def test_every_option_of_train_that_it_names_exists():
    of_others = {"--archive", "--ladder", "--only", "--experiment"}  # download and bench
    options = set(re.findall(r"--[a-z][a-z-]+", README))
    assert len(options) > 10
    assert options - of_others <= set(train.parser().format_help().replace(",", " ").replace("[", " ").split())
