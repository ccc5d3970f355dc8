"""Torch without its process-wide state: random numbers, precision, device and gradient modes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from passive_pruner.vae._threads import one_thread

aten = torch.ops.aten
# Operators that draw and take no generator -> the overload of the same operator that takes one.
_WITH_GENERATOR = {
    aten.rand.default: aten.rand.generator,
    aten.randn.default: aten.randn.generator,
    aten.randint.default: aten.randint.generator,
    aten.randint.low: aten.randint.low_generator,
    aten.randperm.default: aten.randperm.generator,
}
# Operators that draw a tensor like another one -> what fills an empty one in place. Not every
# version of torch has overloads of these that take a generator.
_FILLED = {
    aten.rand_like.default: aten.uniform_.default,
    aten.randn_like.default: aten.normal_.default,
}
# Operators whose result has torch's default dtype if none is given.
_OF_DEFAULT_DTYPE = {
    aten.empty.memory_format,
    aten.eye.default,
    aten.eye.m,
    aten.linspace.default,
    aten.normal.float_float,
    aten.ones.default,
    aten.rand.default,
    aten.rand.generator,
    aten.randn.default,
    aten.randn.generator,
    aten.zeros.default,
}


class LocalDraws(TorchDispatchMode):
    """Context in which torch draws from generators of its own instead of the global ones.

    The global generators of torch are those of the whole process: two threads that seed, draw
    from and restore them get each other's numbers. In this context every operator that draws, in
    modules of users and in :mod:`torch.distributions` too, is handed a generator that belongs to
    the context. A dispatch mode acts in its own thread only.

    Functions such as :func:`torch.empty` and :func:`torch.full` make float32 where no dtype is
    given, whatever torch's default is: layers that are made here start from the same numbers
    everywhere. What is made from Python's numbers, as by :func:`torch.tensor`, has the default.

    Fused kernels of accelerators that draw and take no generator, such as attention with dropout,
    go on drawing from the global ones.

    Parameters
    ----------
    seed : int
        Seed of the generators, one per device.

    Attributes
    ----------
    n_draws : int
        Number of operators that drew so far.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed
        self.n_draws = 0
        self._generators: dict[torch.device, torch.Generator] = {}

    def generator(self, device: torch.device) -> torch.Generator:
        """Return the generator of a device."""
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        is_of_default = func in _OF_DEFAULT_DTYPE or (
            func is aten.full.default and isinstance(args[1], float)
        )
        if is_of_default and kwargs.get("dtype") is None:
            kwargs["dtype"] = torch.float32
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        if kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        self.n_draws += 1
        generator = self.generator(_device_of(args, kwargs))
        if func in _WITH_GENERATOR:
            return _WITH_GENERATOR[func](*args, **kwargs, generator=generator)
        if any(argument.name == "generator" for argument in func._schema.arguments):
            return func(*args, **{**kwargs, "generator": generator})
        if func in _FILLED:
            return _FILLED[func](aten.empty_like.default(*args, **kwargs), generator=generator)
        if func.overloadpacket is aten.randint_like:
            like, *bounds = args
            low, high = bounds if len(bounds) == 2 else (0, *bounds)
            empty = aten.empty_like.default(like, **kwargs)
            return aten.random_.__getattr__("from")(empty, low, high, generator=generator)
        if func is aten.native_dropout.default:
            return _dropout(generator, *args)
        with self:  # as where operators arrive whole, in inference mode
            result = func.decompose(*args, **kwargs)
        return func(*args, **kwargs) if result is NotImplemented else result


def _device_of(args: tuple, kwargs: dict[str, Any]) -> torch.device:
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    device = tensors[0].device if tensors else torch.device(kwargs.get("device") or "cpu")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    return device


def _dropout(generator, x, p, train=True):
    kept = torch.empty_like(x, dtype=torch.bool)
    if train is False or p == 0:
        return x.clone(), kept.fill_(True)
    kept.bernoulli_(1 - p, generator=generator)
    return x * kept * (0.0 if p == 1 else 1 / (1 - p)), kept


@contextmanager
def plain_torch(*, grad: bool) -> Iterator[None]:
    """Shield a block from modes of torch that the calling thread is in.

    Gradients are recorded or not as asked, autocast is off, tensors that are made without a device
    are on the CPU, and one thread computes: the numbers do not depend on torch's count of threads.

    Parameters
    ----------
    grad : bool
        Whether gradients are recorded; if not, what is computed are inference tensors.
    """
    casting = [kind for kind in ("cpu", "cuda", "mps") if torch.is_autocast_enabled(kind)]
    # torch.get_default_device of torch 2.6 and 2.7 does not know of `with torch.device(...)`.
    default = torch.empty(0).device.type
    if not grad and not casting and default == "cpu":
        # the usual case, in which one row takes no time for the rest
        with one_thread(), torch.inference_mode():
            yield
        return
    with one_thread(), ExitStack() as stack:
        stack.enter_context(torch.inference_mode(not grad))
        if grad:
            stack.enter_context(torch.enable_grad())
        for kind in casting:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if default != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
