#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""Everything that has to pass: `nox`. `nox -l` lists what else there is."""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


@nox.session
def lint(session):
    """Style, spelling, and code that is known to be unsafe."""
    session.install("--group", "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")
    session.run("bandit", "-q", "-c", "pyproject.toml", "-r", "passive_pruner")


@nox.session
def types(session):
    """Types: mypy on the package, mypy and pyright on the script of a strict user."""
    session.install(".[dev]", "pyright")
    session.run("mypy")
    session.run("pyright", "--level=error", "tests/data/typed_script.py")


@nox.session
def tests(session):
    """The suite, doctests included."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS, venv_backend="uv", default=False)
@nox.parametrize("resolution", ["lowest-direct", "highest"])
def matrix(session, resolution):
    """The suite on the lowest or the newest versions of every dependency."""
    session.install("--resolution", resolution, ".[test]")
    session.run("uv", "pip", "list", external=True)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(default=False)
def dist(session):
    """Wheel and sdist: built, looked at, installed and tried."""
    session.install("build", "twine", "check-wheel-contents")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    wheel, sdist = (str(next(Path("dist").glob(f"*.{kind}"))) for kind in ("whl", "tar.gz"))
    session.run("twine", "check", "--strict", wheel, sdist)
    session.run("check-wheel-contents", wheel)
    for file in (wheel, sdist):
        session.install("--force-reinstall", "--no-deps", file)
        session.install(file)
        session.chdir(session.create_tmp())
        session.run("python", "-c", "from passive_pruner import VAEEncoder; print(VAEEncoder())")
        session.chdir(session.invoked_from)


@nox.session(default=False)
def docs(session):
    """The documentation, with every warning an error."""
    session.install(".[docs]")
    session.run(
        *("python", "-m", "sphinx", "-W", "--keep-going", "-b", "html"), "docs", "docs/_build/html"
    )


if __name__ == "__main__":
    nox.main()
