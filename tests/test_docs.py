"""The documentation says what the package does: its examples run, what it names exists."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
# What Sphinx writes lies in folders of its own.
PAGES = sorted([*ROOT.glob("docs/*.rst"), *ROOT.glob("docs/guide/*.rst")])
MARKDOWN = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize(
    "page", [p for p in PAGES if ">>> " in p.read_text()], ids=lambda page: page.stem
)
def test_examples_run(page):
    result = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert result.failed == 0


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*MARKDOWN, *PAGES], ids=lambda page: page.stem)
def test_commands_exist(page):
    """Numbers in documents come from the commands beside them."""
    for module, script in re.findall(r"python (?:-m ([\w.]+)|([\w/]+\.py))", page.read_text()):
        path = Path(module.replace(".", "/")) if module else Path(script)
        if path.parts[0] == "passive_pruner":  # which may be installed from a file
            assert importlib.util.find_spec(module), module
        elif path.parts[0] in ("benchmarks", "docs", "examples"):
            assert (ROOT / path).exists() or (ROOT / path).with_suffix(".py").exists(), path


def test_the_page_on_choosing_quotes_the_map():
    measured = (ROOT / "docs/pruning.md").read_text()
    figures = re.findall(
        r"[+-]\d+\.\d|÷ \d+|(?<![\d.+-])\d\d\.\d", (ROOT / "docs/choosing.rst").read_text()
    )
    assert len(figures) > 10
    assert [figure for figure in figures if figure not in measured] == []
