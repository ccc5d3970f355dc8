"""Running models that were trained elsewhere: torch modules and ONNX files."""

import sys
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np


def select(result: Any, outputs) -> tuple[np.ndarray, np.ndarray]:
    """Find the mean and the second output in what `encode` returned, as float32 arrays."""
    if outputs is not None:
        try:
            mean, second = pick(result, outputs)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"outputs={tuple(outputs)} is not in what encode returned: {_describe(result)}."
            ) from error
    elif isinstance(result, (tuple, list)) and len(result) == 2:
        mean, second = result
    elif getattr(result, "ndim", 0) == 2 and result.shape[1] % 2 == 0:
        d = result.shape[1] // 2
        mean, second = result[:, :d], result[:, d:]
    else:
        raise ValueError(
            "encode must return two arrays, the mean and the second output, or one array with "
            f"both side by side, an even number of columns, but it returned {_describe(result)}. "
            "`outputs` tells which two of several outputs to take."
        )
    return _to_numpy(mean), _to_numpy(second)


def pick(result: Any, outputs) -> list:
    """Take outputs of a model by key, attribute or position."""
    by_attribute = not isinstance(result, Mapping)
    return [
        getattr(result, key) if isinstance(key, str) and by_attribute else result[key]
        for key in outputs
    ]


def _describe(result):
    if isinstance(result, Mapping):
        return f"a {type(result).__name__} with the keys {list(result)}"
    if isinstance(result, (tuple, list)):
        return f"a {type(result).__name__} of {len(result)}"
    shape = getattr(result, "shape", None)
    return f"a {type(result).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")


def _to_numpy(values):
    if hasattr(values, "detach"):  # a torch tensor; numpy has no bfloat16
        values = values.detach().float().cpu()
    return np.asarray(values, dtype=np.float32)


def module_of(encode):
    """Return the torch module that `encode` is or is a method of, or None."""
    torch = sys.modules.get("torch")  # there is no module before torch was imported
    owner = getattr(encode, "__self__", encode)
    return owner if torch is not None and isinstance(owner, torch.nn.Module) else None


@contextmanager
def torch_function(function, module, device, *, or_cpu):
    """Let `function` of `module` run on `device`, and leave the module as it was."""
    import torch

    from passive_pruner.vae._network import resolve_device, seeded_torch

    target = resolve_device(device, or_cpu=or_cpu)
    tensors = [*module.parameters(), *module.buffers()]
    home = tensors[0].device if tensors else target
    if target.type == home.type and target.index in (None, home.index):
        target = home
    dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
    with evaluation_mode(module):
        try:
            _move(module, target)
            # no_grad instead of inference_mode, whose tensors, should the module keep one, could
            # not be trained with later. Seeded, because a whole VAE draws its codes as well.
            with torch.no_grad(), seeded_torch(0, target):
                yield lambda batch: function(torch.from_numpy(batch).to(target, dtype))
        finally:
            _move(module, home)


@contextmanager
def evaluation_mode(module):
    """Switch training off in all parts of `module` for the block.

    By their flags instead of eval(), which modules from torch.export refuse.
    """
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _move(module, device):
    if any(t.device != device for t in (*module.parameters(), *module.buffers())):
        with warnings.catch_warnings():
            # Of copies of a ScriptModule, as clone makes them: their parameters are no leaves.
            warnings.filterwarnings("ignore", "The .grad attribute", UserWarning)
            module.to(device)


def load_torch(path):
    """Load a TorchScript file."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        return torch.jit.load(path, map_location="cpu")


def load_onnx(path, device, *, or_cpu):
    """Open an ONNX file of one input in onnxruntime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "PretrainedEncoder runs ONNX files with onnxruntime, which is not installed: "
            "pip install 'passive_pruner[onnx]'"
        ) from error
    kind, _, number = device.partition(":")
    cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if kind not in ("auto", "cpu", "cuda") or (kind == "cuda" and not (cuda or or_cpu)):
        raise ValueError(
            f"device={device!r} is not available; onnxruntime has "
            f"{['cpu', 'cuda'] if cuda else ['cpu']} here. Pass one of these, or 'auto'."
        )
    providers = ["CPUExecutionProvider"]
    if cuda and kind != "cpu":
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(number or 0)}))
    session = onnxruntime.InferenceSession(path, providers=providers)
    if (n_inputs := len(session.get_inputs())) != 1:
        raise ValueError(
            f"{path} has {n_inputs} inputs, {[i.name for i in session.get_inputs()]}, but "
            "PretrainedEncoder passes one, the rows. Export the encoder alone."
        )
    return session


def run_onnx(session, batch, outputs):
    """Run the batch; what comes back has names if `outputs` has, else positions."""
    (given,) = session.get_inputs()
    dtypes = {"tensor(double)": np.float64, "tensor(float16)": np.float16}
    batch = batch.astype(dtypes.get(given.type, np.float32), copy=False)
    size = given.shape[0] if given.shape else None
    if isinstance(size, int):  # exported for batches of this size only
        parts = []
        for start in range(0, len(batch), size):
            part = np.zeros((size, *batch.shape[1:]), dtype=batch.dtype)
            n = len(part[: len(batch) - start])
            part[:n] = batch[start : start + size]
            parts.append([array[:n] for array in session.run(None, {given.name: part})])
        arrays = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    else:
        arrays = session.run(None, {given.name: batch})
    if outputs is not None and isinstance(outputs[0], str):
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, arrays, strict=True))
    return arrays[0] if len(arrays) == 1 else arrays
