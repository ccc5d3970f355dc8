"""Imports, public names and what docstrings promise."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString

import passive_pruner
from passive_pruner.vae import Architecture, Likelihood, LikelihoodModule, Objective

PACKAGE = Path(passive_pruner.__file__).parent

# Room -> the rooms it may import. Rooms that are not named here may import anything, and nothing
# may import them.
MAY_IMPORT = {
    "exceptions": set(),
    "regime": set(),
    "_common": {"exceptions", "regime"},
    "metrics": {"_common", "regime"},
    "datasets": {"_common"},
    "vae": {"_common", "exceptions"},
    "training": {"_common", "exceptions", "regime", "vae"},
    "_remover": {"_common", "exceptions", "regime"},
    "_runtimes": {"vae"},
    "_pretrained": {"_common", "_runtimes"},
    "_explained": {"training", "vae"},
    "_auto_width": {"training", "vae"},
    "_decoded": {"_common"},
    "_scored": {"_common", "vae"},
    "_fitted": {"_common", "_decoded", "_explained", "_scored", "regime", "vae"},
    "_by_column": {"_common", "vae"},
    "_training_data": {"_common", "_fitted", "exceptions", "training"},
    "_trained": {
        "_auto_width",
        "_by_column",
        "_common",
        "_training_data",
        "exceptions",
        "regime",
        "training",
        "vae",
    },
    "_encoder": {"_common", "_trained", "vae"},
    "_pipeline": {"_common", "_encoder", "_remover"},
}
WITHOUT_TORCH = {"exceptions", "regime", "_common", "metrics", "datasets", "_remover"}


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    room = room_of(path)
    known = {room_of(p) for p in MODULES}
    for module in imported_modules(path):
        if room in WITHOUT_TORCH:
            assert module.split(".")[0] not in ("torch", "skorch")
        if module.startswith("passive_pruner.") and room in MAY_IMPORT:
            imported = module.split(".")[1]
            if imported in known:
                assert imported in MAY_IMPORT[room] | {room}
            else:
                # `from passive_pruner import Name` would hide the room that it reaches into.
                pytest.fail(f"{path} imports {module} through the top level")


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_package_imports_neither_torch_nor_pandas():
    run = run_python(
        "import sys, passive_pruner\n"
        "print([m for m in ('torch', 'skorch', 'pandas') if m in sys.modules])"
    )
    assert run.stdout.strip() == "[]", run.stderr


def test_every_public_name_resolves():
    for name in passive_pruner.__all__:
        assert getattr(passive_pruner, name) is not None
        assert name in dir(passive_pruner)
    with pytest.raises(AttributeError, match="no attribute 'Encoder'"):
        passive_pruner.Encoder  # noqa: B018


def public_objects():
    yield from (getattr(passive_pruner, name) for name in passive_pruner.__all__)
    for module in pkgutil.iter_modules(passive_pruner.__path__):
        if not module.name.startswith("_"):
            room = importlib.import_module(f"passive_pruner.{module.name}")
            yield from (getattr(room, name) for name in getattr(room, "__all__", ()))


DOCUMENTED = sorted(
    {o for o in public_objects() if inspect.isclass(o) or inspect.isfunction(o)},
    key=lambda o: (o.__module__, o.__name__),
)


def is_constructed(cls):
    """Whether users make instances of `cls` themselves."""
    return not (
        getattr(cls, "_is_protocol", False)
        or cls in (Architecture, Likelihood, LikelihoodModule, Objective)
        or issubclass(cls, (Warning, tuple))
    )


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda o: o.__name__)
def test_docstrings_describe_the_parameters_and_their_defaults(documented):
    """Every parameter is documented, and a default that is stated is the default."""
    doc = NumpyDocString(inspect.cleandoc(documented.__doc__))
    assert doc["Summary"]
    if inspect.isclass(documented) and not is_constructed(documented):
        return
    stated = {
        name.lstrip("*"): parameter.type
        for parameter in doc["Parameters"]
        for name in parameter.name.split(", ")
    }
    signature = inspect.signature(documented)
    assert list(stated) == list(signature.parameters)
    for name, parameter in signature.parameters.items():
        match = re.search(r"default=(.*)$", stated[name], re.DOTALL)
        if parameter.default is inspect.Parameter.empty or match is None:
            assert match is None, f"{name} has no default"
            assert parameter.default is inspect.Parameter.empty or "optional" in stated[name], name
        else:
            assert ast.literal_eval(match[1]) == parameter.default, name


@pytest.mark.parametrize(
    "documented",
    [o for o in DOCUMENTED if inspect.isclass(o) and is_constructed(o)],
    ids=lambda o: o.__name__,
)
def test_public_classes_have_an_example(documented):
    assert ">>> " in documented.__doc__
