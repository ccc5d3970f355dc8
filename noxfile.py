#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""Everything that has to pass: `nox`. `nox -l` lists what else there is."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
# What the sdist leaves out: it is for a repository, or for one paper.
UNPACKED = (".ci/", ".github/", ".pre-commit-config.yaml", "paper/", "reproduction/")
# Doctests, and the tests of what may be lost on the way into a wheel: files beside the modules,
# metadata, types, commands, modules of optional parts.
INSTALLED = [
    *("--pyargs", "passive_pruner"),
    *(f"tests/test_{name}.py" for name in ("docs", "explore", "html", "package", "packaging")),
    *(f"tests/test_{name}.py" for name in ("common", "onnx", "persistence", "plots", "study")),
]


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
    """Wheel and sdist: built twice, looked at, installed, and tested without the sources."""
    session.install("build", "twine", "check-wheel-contents")
    first, again = Path("dist").absolute(), Path(session.create_tmp()).absolute() / "again"
    for folder in (first, again):
        shutil.rmtree(folder, ignore_errors=True)
        session.run("python", "-m", "build", "--outdir", str(folder))
    (wheel,), (sdist,) = first.glob("*.whl"), first.glob("*.tar.gz")
    for file in (wheel, sdist):
        if file.read_bytes() != (again / file.name).read_bytes():
            session.error(f"{file.name} has other bytes when it is built again")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    session.run("check-wheel-contents", str(wheel))
    files = set(session.run("git", "ls-files", external=True, silent=True).split())
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    _same(session, wheel, inside, {name for name in files if name.startswith("passive_pruner/")})
    sources = again.parent / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(sources, filter="data")
    (sources,) = sources.iterdir()
    inside = {str(path.relative_to(sources)) for path in sources.rglob("*") if path.is_file()}
    _same(session, sdist, inside - {"PKG-INFO"}, {n for n in files if not n.startswith(UNPACKED)})

    # Only what is installed is there to be imported.
    shutil.rmtree(sources / "passive_pruner")
    session.install(f"{wheel}[test]")
    session.chdir(sources)
    for file in (wheel, sdist):
        session.install("--force-reinstall", "--no-deps", str(file))
        session.run("python", "-m", "pytest", *(session.posargs or INSTALLED))


def _same(session, file, inside, expected):
    if inside != expected:
        more, less = sorted(inside - expected), sorted(expected - inside)
        session.error(f"{file.name} has besides {more} and lacks {less}")


@nox.session(default=False)
def docs(session):
    """The documentation, with every warning an error."""
    session.install(".[docs]")
    session.run(
        *("python", "-m", "sphinx", "-W", "--keep-going", "-b", "html"), "docs", "docs/_build/html"
    )


if __name__ == "__main__":
    nox.main()
