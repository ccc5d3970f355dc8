"""Running models that were trained elsewhere: torch modules and ONNX files."""

import copy
import hashlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# What precedes the name of a file that holds the values of an ONNX tensor: a key of protobuf, and
# the length of the name in one or two bytes.
_EXTERNAL_FILE = re.compile(rb"\n\x08location\x12([\x80-\xff]?[\x01-\x7f])")


class ModelError(ValueError, RuntimeError):
    """A model fails on the rows that it is given, most often because of their shape."""


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
        values = values.detach().cpu()
        values = values.numpy() if values.is_complex() else values.float().numpy()
    if isinstance(values, np.ma.MaskedArray):
        values = values.astype(np.float32).filled(np.nan)
    if np.iscomplexobj(values):
        raise ValueError(
            "encode returned complex numbers, which a Gaussian posterior over real codes does not "
            "have. Return their real parts, or real and imaginary parts as columns of their own."
        )
    return np.asarray(values, dtype=np.float32)


def is_path(encode) -> bool:
    """Whether `encode` is the path of a model file."""
    return encode is not None and not callable(encode)


def module_of(encode):
    """Return the torch module that `encode` is or is a method of, or None."""
    torch = sys.modules.get("torch")  # there is no module before torch was imported
    owner = getattr(encode, "__self__", encode)
    return owner if torch is not None and isinstance(owner, torch.nn.Module) else None


def own_copy(encode):
    """Copy a torch module, or the module of a method, for inference on the CPU.

    Whoever gave the module may train it, move it or use it in another thread meanwhile. Anything
    else is returned as it is.
    """
    if (module := module_of(encode)) is None:
        return encode
    import torch

    from passive_pruner.vae._random import plain_torch

    # Weights that a hook computes from others, as in torch.nn.utils.weight_norm, are part of a
    # graph of autograd, which torch does not copy.
    computed = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    try:
        with plain_torch(grad=True):
            encode = copy.deepcopy(encode, computed)
    except Exception as error:
        raise ValueError(
            f"PretrainedEncoder runs a copy of its module, but a {type(module).__name__} cannot "
            f"be copied ({error}). Pass the encoder part alone, a function that runs the module, "
            "or the path of an export to ONNX or TorchScript."
        ) from error
    _settle(module_of(encode), torch.device("cpu"))
    return encode


def _settle(module, device):
    """Put a module of our own into evaluation mode and on a device."""
    for part in module.modules():
        if part.training:
            part.training = False  # and not eval(), which modules from torch.export refuse
    if any(t.device != device for t in (*module.parameters(), *module.buffers())):
        with warnings.catch_warnings():
            # Of copies of a ScriptModule: their parameters are no leaves.
            warnings.filterwarnings("ignore", "The .grad attribute", UserWarning)
            module.to(device)


def model_files(encode) -> list[Path]:
    """List the file of a model and, for ONNX, those that hold tensors of it; none for no path.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if not is_path(encode):
        return []
    path = Path(encode)
    if not path.is_file():
        raise FileNotFoundError(
            f"encode={os.fspath(encode)!r} is not a file here; the working directory is "
            f"{os.getcwd()!r}. Give the path of an ONNX file (*.onnx) or of a TorchScript file."
        )
    return [path, *_external_files(path)] if path.suffix == ".onnx" else [path]


def _external_files(path):
    content, names = path.read_bytes(), set()
    for entry in _EXTERNAL_FILE.finditer(content):
        size = sum((byte & 127) << 7 * i for i, byte in enumerate(entry[1]))
        names.add(content[entry.end() : entry.end() + size].decode(errors="ignore"))
    return sorted(other for name in names if (other := path.parent / name).is_file())


def file_stamps(files: list[Path]) -> list[tuple[int, int, int]]:
    """Return what changes when a file is written or replaced; cheap enough for every call."""
    stats = [file.stat() for file in files if file.exists()]
    return [(stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats]


def file_digest(files: list[Path]) -> str | None:
    """SHA-256 over those of the contents of files, in this order; None for no files."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest() if files else None


def unchanged_files(encode, digest: str | None) -> list[Path]:
    """Return the files of a model; raise a ValueError unless their contents have this digest.

    None is the digest in pickles of versions that did not record it.
    """
    files = model_files(encode)
    if digest not in (None, file_digest(files)):
        raise ValueError(
            f"The model file {os.fspath(encode)!r} has changed since this PretrainedEncoder was "
            "fitted, and so would its codes. Fit again, with all steps after it, or put the former "
            "file back."
        )
    return files


def open_model(encode, device: str, *, or_cpu: bool):
    """Open a model of any kind; its `running(outputs)` is a context that gives the function.

    Parameters
    ----------
    encode : object
        As :func:`own_copy` returns it.
    device : str
        Where torch modules and ONNX files run.
    or_cpu : bool
        Whether a missing device is replaced by the CPU.
    """
    if encode is None:
        return PlainFunction(lambda batch: batch)
    if is_path(encode):
        path = os.fspath(encode)
        if path.endswith(".onnx"):
            return OnnxModel(path, device, or_cpu=or_cpu)
        return TorchModel(_load_torch(path), device, or_cpu=or_cpu)
    if module_of(encode) is not None:
        return TorchModel(encode, device, or_cpu=or_cpu)
    return PlainFunction(encode)


class PlainFunction:
    """A function of the user, from a float32 array. Its own errors are those of the user."""

    def __init__(self, function: Callable):
        self._function = function

    @contextmanager
    def running(self, outputs) -> Iterator[Callable]:
        """Give the function for the block."""
        yield self._run

    def _run(self, batch):
        try:
            return self._function(batch)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            hint = ""
            if "torch" in sys.modules:
                hint = " A torch module that it runs must be in evaluation mode, module.eval()."
            raise ModelError(_misfit(batch, error) + hint) from error


class TorchModel:
    """The copy of a torch module that belongs to an encoder, or a method of it, on one device."""

    def __init__(self, function: Callable, device: str, *, or_cpu: bool):
        import torch

        from passive_pruner.vae._network import resolve_device

        self._device = resolve_device(device, or_cpu=or_cpu)
        if self._device.type != "cpu":  # the one that is given stays there, and goes into pickles
            function = copy.deepcopy(function)
        module = module_of(function)
        _settle(module, self._device)
        tensors = (*module.parameters(), *module.buffers())
        self._dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
        self._function = function

    @contextmanager
    def running(self, outputs) -> Iterator[Callable]:
        """Give a function from float32 arrays for the block, which shields it from this thread."""
        import torch

        from passive_pruner.vae._random import LocalDraws, plain_torch

        # no_grad instead of inference mode, in which a module could not ask for gradients of its
        # own. Seeded, because a whole VAE draws its codes as well.
        with plain_torch(grad=True), torch.no_grad(), LocalDraws(0):
            yield self._run

    def _run(self, batch):
        import torch

        try:
            return self._function(torch.from_numpy(batch).to(self._device, self._dtype))
        except torch.cuda.OutOfMemoryError:
            raise
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(_misfit(batch, error)) from error


class OnnxModel:
    """An ONNX file of one input in onnxruntime."""

    def __init__(self, path: str, device: str, *, or_cpu: bool):
        onnxruntime = _onnxruntime()
        kind, _, number = device.partition(":")
        cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        is_known = device in ("auto", "cpu", "cuda") or (
            kind in ("cpu", "cuda") and number.isdecimal()
        )
        is_missing = (kind == "cuda" and not cuda) or (kind == "cpu" and int(number or 0) > 0)
        providers: list = ["CPUExecutionProvider"]
        if is_known and cuda and kind != "cpu":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(number or 0)}))
        if is_known and (or_cpu or not is_missing):
            try:
                self._session = onnxruntime.InferenceSession(path, providers=providers)
            except Exception as error:  # the classes of onnxruntime have no base of their own
                raise ValueError(
                    f"onnxruntime cannot read {path!r} as an ONNX file: {_end(error)}. Export the "
                    "encoder again; the names of files of other kinds do not end in '.onnx'."
                ) from error
            # A number that the machine lacks shows itself only now: the session is on the CPU.
            used = self._session.get_providers()[0].removesuffix("ExecutionProvider").lower()
            is_missing = kind == "cuda" and used != "cuda"
        if not is_known or (is_missing and not or_cpu):
            raise ValueError(
                f"device={device!r} is not available; onnxruntime has "
                f"{['cpu', 'cuda'] if cuda else ['cpu']} here. Pass one of these, or 'auto'."
            )
        if (n_inputs := len(self._session.get_inputs())) != 1:
            raise ValueError(
                f"{path} has {n_inputs} inputs, {[i.name for i in self._session.get_inputs()]}, "
                "but PretrainedEncoder passes one, the rows. Export the encoder alone."
            )

    @contextmanager
    def running(self, outputs) -> Iterator[Callable]:
        """Give a function from float32 arrays for the block."""
        yield partial(self._run, outputs=outputs)

    def _run(self, batch, *, outputs):
        """Run the batch; what comes back has names if `outputs` has, else positions."""
        (given,) = self._session.get_inputs()
        dtypes = {"tensor(double)": np.float64, "tensor(float16)": np.float16}
        batch = batch.astype(dtypes.get(given.type, np.float32), copy=False)
        size = given.shape[0] if given.shape else None
        if isinstance(size, int):  # exported for batches of this size only
            parts = []
            for start in range(0, len(batch), size):
                part = np.zeros((size, *batch.shape[1:]), dtype=batch.dtype)
                n = len(part[: len(batch) - start])
                part[:n] = batch[start : start + size]
                parts.append([array[:n] for array in self._of(given, part)])
            arrays = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        else:
            arrays = self._of(given, batch)
        if outputs is not None and isinstance(outputs[0], str):
            names = [output.name for output in self._session.get_outputs()]
            return dict(zip(names, arrays, strict=True))
        return arrays[0] if len(arrays) == 1 else arrays

    def _of(self, given, batch):
        try:
            return self._session.run(None, {given.name: batch})
        except Exception as error:  # the classes of onnxruntime have no base of their own
            raise ModelError(_misfit(batch, error)) from error


def _end(error):
    return str(error).rstrip(". \n")


def _misfit(batch, error):
    return (
        f"encode fails on {len(batch)} rows of shape {batch.shape[1:]}: {_end(error)}. Check that "
        "X has the columns, or the images the layout, that the model was trained on."
    )


def _load_torch(path):
    """Load a TorchScript file."""
    import torch

    try:
        with warnings.catch_warnings():
            for kind in (DeprecationWarning, FutureWarning):  # the second from torch 2.15 on
                warnings.filterwarnings("ignore", "`torch.jit", kind)
            return torch.jit.load(path, map_location="cpu")
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0]
        raise ValueError(
            f"torch.jit.load cannot read {path!r} as a TorchScript file: {_end(first_line)}. Write "
            "it with torch.jit.script(module).save(path). A file of torch.save has no program: "
            "load it yourself and pass the module. The name of an ONNX file must end in '.onnx'."
        ) from error


def _onnxruntime():
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "PretrainedEncoder runs ONNX files with onnxruntime, which is not installed: "
            "pip install 'passive_pruner[onnx]'"
        ) from error
    return onnxruntime
