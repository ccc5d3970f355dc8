"""The state of Adam as arrays by the name of their parameter.

Written so, it does not depend on the device, nor on whether all parameters are views of one, and
goes into pickles and files like weights.
"""

import numpy as np
import torch

_AVERAGES = ("exp_avg", "exp_avg_sq")


def export_adam(
    optimizer: torch.optim.Optimizer,
    parameters: list[tuple[str, torch.nn.Parameter]],
    flat: torch.nn.Parameter | None = None,
) -> dict[str, np.ndarray]:
    """Copy the state of an optimiser.

    Parameters
    ----------
    optimizer : torch.optim.Adam
        The optimiser.
    parameters : list of (str, Parameter)
        What it learns, by name.
    flat : Parameter or None, default=None
        The one parameter that `parameters` are views of, in their order.

    Returns
    -------
    state : dict of str to ndarray
        For every name "<name>/step", "<name>/exp_avg" and "<name>/exp_avg_sq", as far as the
        parameter was learned.
    """
    state: dict[str, np.ndarray] = {}
    start = 0
    for name, parameter in parameters:
        stop = start + parameter.numel()
        of_one = optimizer.state.get(parameter if flat is None else flat, {})
        for key in _AVERAGES if of_one else ():
            value = of_one[key] if flat is None else of_one[key][start:stop]
            state[f"{name}/{key}"] = value.reshape(parameter.shape).cpu().numpy().copy()
        if of_one:
            state[f"{name}/step"] = np.asarray(float(of_one["step"]), dtype=np.float32)
        start = stop
    return state


def import_adam(
    optimizer: torch.optim.Optimizer,
    parameters: list[tuple[str, torch.nn.Parameter]],
    flat: torch.nn.Parameter | None,
    state: dict[str, np.ndarray],
) -> None:
    """Take over what :func:`export_adam` gave, for the same parameters by name."""
    known = [(name, p) for name, p in parameters if f"{name}/step" in state]
    if flat is not None:
        if len(known) == len(parameters):
            averages = {
                key: np.concatenate([state[f"{name}/{key}"].ravel() for name, _ in known])
                for key in _AVERAGES
            }
            optimizer.state[flat] = _state(state[f"{known[0][0]}/step"], averages, flat)
        return
    for name, parameter in known:
        averages = {key: state[f"{name}/{key}"] for key in _AVERAGES}
        optimizer.state[parameter] = _state(state[f"{name}/step"], averages, parameter)


def _state(step, averages, parameter):
    fused = parameter.device.type in ("cpu", "cuda")
    return {
        "step": torch.tensor(
            float(step), dtype=torch.float32, device=parameter.device if fused else "cpu"
        ),
        **{key: torch.tensor(value).to(parameter) for key, value in averages.items()},
    }
