"""Files that repeat what pyproject.toml says agree with it."""

import re
import tomllib
from pathlib import Path

import passive_pruner

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_conda_recipe_has_the_bounds_of_the_project():
    recipe = (ROOT / "conda" / "recipe.yaml").read_text()
    run = recipe[recipe.index("  run:") : recipe.index("tests:")].replace("pytorch", "torch")
    stated = dict(re.findall(r"- (\S+) (>=\S+)", run))
    declared = dict(re.fullmatch(r"([\w-]+)(>=\S+)", d).groups() for d in PROJECT["dependencies"])
    assert stated == {"python": PROJECT["requires-python"], **declared}


def test_versions_agree():
    version = passive_pruner.__version__
    assert f'version: "{version}"' in (ROOT / "conda" / "recipe.yaml").read_text()
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_extra_for_tests_brings_what_the_package_can_use():
    """The suite runs with every optional part, so that none goes untested."""
    extras = PROJECT["optional-dependencies"]
    tested = set(re.search(r"\[(.*)\]", extras["test"][0])[1].split(","))
    assert tested == set(extras) - {"bench", "dev", "docs", "recipes", "test"}
