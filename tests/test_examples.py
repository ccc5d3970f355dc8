"""The examples start where a user starts them: from their own folder, with nothing set up."""

import os
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_example_hides_a_package(path):
    """A script's folder comes first on the path, before whatever the others import."""
    elsewhere = [p for p in sys.path if Path(p or ".").resolve() != path.parent]
    assert path.stem not in sys.stdlib_module_names
    assert PathFinder.find_spec(path.stem, elsewhere) is None


def test_the_example_of_several_processes_names_its_launcher(tmp_path):
    launched = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    (path,) = (p for p in EXAMPLES if p.stem == "several_processes")
    run = subprocess.run(
        [sys.executable, path],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in launched},
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 2
    assert "torchrun" in run.stderr and "Traceback" not in run.stderr
