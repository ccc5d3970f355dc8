"""Public signatures have types; data/typed_script.py is what checkers see of them."""

import inspect

import pytest
from test_package import DOCUMENTED


def public_functions():
    for public in DOCUMENTED:
        if inspect.isfunction(public):
            yield public
            continue
        for cls in public.__mro__:
            for name, member in vars(cls).items():
                function = getattr(member, "__func__", getattr(member, "fget", member))
                if inspect.isfunction(function) and (name == "__init__" or name[0] != "_"):
                    yield inspect.unwrap(function)


FUNCTIONS = sorted(
    {f for f in public_functions() if f.__module__.startswith("passive_pruner")},
    key=lambda f: (f.__module__, f.__qualname__),
)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__qualname__)
def test_public_signatures_have_types(function):
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    assert not [p.name for p in parameters if p.annotation is p.empty]
    assert function.__name__ == "__init__" or signature.return_annotation is not signature.empty
