"""Deprecations point at the line of the user, are shown to everybody, and last two versions."""

import re
from pathlib import Path

import pytest

import passive_pruner
from passive_pruner._common._deprecation import warn_deprecated


def test_a_deprecation_names_the_replacement_at_the_line_of_the_user():
    with pytest.warns(
        FutureWarning, match=r"old .* since version 1\.3 .* in 1\.5\. Use new"
    ) as seen:
        warn_deprecated("old", since="1.3", instead="new")
    assert seen[0].filename == __file__


def test_nothing_that_is_deprecated_stays_longer_than_promised():
    version = tuple(map(int, passive_pruner.__version__.split(".")[:2]))
    for path in Path(passive_pruner.__file__).parent.rglob("*.py"):
        for major, minor in re.findall(r'since="(\d+)\.(\d+)"', path.read_text()):
            assert version < (int(major), int(minor) + 2) or path.name == "_deprecation.py", path
