"""Training on several processes: two real ones, started once, that do everything in turn."""

import pickle
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_encoder
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import distributed, nn

from passive_pruner.training._distributed import (
    agree_on_steps,
    average_gradients,
    mean_over_processes,
    own_seed,
    share_state,
)
from passive_pruner.vae import FactorVAE, FromFactory

EXAMPLE = Path(__file__).parent.parent / "examples" / "several_processes.py"


def networks(n_inputs, n_components, n_outputs):
    encoder = nn.Sequential(
        nn.Linear(n_inputs, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2 * n_components)
    )
    return encoder, nn.Linear(n_components, n_outputs)


FITS = {
    "early stopping": {"max_steps": 2000, "n_iter_no_change": 1, "tol": 0.2},
    "discriminator": {"objective": FactorVAE(), "max_steps": 20},
    "batch norm": {"architecture": FromFactory(networks), "max_steps": 20},
    "own seeds": {"random_state": None, "max_steps": 20},
}


def work(path, rank):
    """What each of the processes does; the first has three times the rows of the second."""
    store = f"file://{path.with_suffix('.store')}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    with path.with_suffix(f".{rank}.txt").open("w") as printed, redirect_stdout(printed):
        measure(path, rank)
    distributed.destroy_process_group()


def measure(path, rank):
    X = StandardScaler().fit_transform(load_breast_cancer().data).astype(np.float32)
    held_out, *shards = np.split(np.random.default_rng(0).permutation(X), [169, 469])
    shard = shards[rank]
    result = {}
    for name, params in FITS.items():
        encoder = small_encoder(**params).fit(shard)
        result[name] = encoder.weights_
        if name == "early stopping":
            result["history"] = encoder.history_
            result["explained"] = encoder.explained_variance_, encoder.code_scale_
            result["elbo"] = encoder.score(held_out)
    encoder = small_encoder(batch_size=32)
    result["steps"] = [encoder.partial_fit(shard).n_steps_ for _ in range(2)]
    result["two passes"] = encoder.weights_

    result["draws"] = np.random.default_rng(own_seed(0)).standard_normal(4)
    result["mean"] = mean_over_processes(torch.tensor([rank, 1.0]))
    layer = nn.Linear(2, 1)
    share_state(layer)
    result["shared"] = layer.weight.detach().numpy()
    if rank == 0:  # the other has no gradient
        layer.weight.grad = torch.tensor([[2.0, 4.0]])
    average_gradients(torch.optim.SGD(layer.parameters()))
    result["gradient"] = layer.weight.grad.numpy()

    errors = result["errors"] = []
    for fit in (
        lambda: small_encoder().fit(shard[:, : 30 - rank]),
        lambda: small_encoder(learning_rate=(rank + 1) / 100).fit(shard),
        lambda: small_encoder(n_components="auto").fit(shard),
        lambda: agree_on_steps(1, layer, tol=rank),
    ):
        with pytest.raises(ValueError) as error:
            fit()
        errors.append(str(error.value))
    path.with_suffix(f".{rank}").write_bytes(pickle.dumps(result))

    spec = spec_from_file_location("example", EXAMPLE)
    example = module_from_spec(spec)
    spec.loader.exec_module(example)
    example.train(max_steps=20, random_state=0)


@pytest.fixture(scope="module")
def both(processes, tmp_path_factory):
    """What both processes found, and what was printed."""
    path = tmp_path_factory.mktemp("distributed") / "result"
    started = [processes.Process(target=work, args=(path, rank)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(300)
    assert [process.exitcode for process in started] == [0, 0]
    results = [pickle.loads(path.with_suffix(f".{rank}").read_bytes()) for rank in range(2)]
    return *results, path.with_suffix(".0.txt").read_text()


@pytest.mark.parametrize("name", [*FITS, "two passes"])
def test_all_processes_end_with_the_same_weights(name, both):
    first, second, _ = both
    assert first[name].keys() == second[name].keys()
    for key, value in first[name].items():
        np.testing.assert_array_equal(value, second[name][key], err_msg=key)


def test_the_elbo_is_that_of_one_process_with_as_many_rows_per_step(both):
    first, second, _ = both
    X = StandardScaler().fit_transform(load_breast_cancer().data).astype(np.float32)
    held_out, X = np.split(np.random.default_rng(0).permutation(X), [169])
    alone = [
        small_encoder(**FITS["early stopping"], batch_size=128, random_state=seed).fit(X)
        for seed in range(3)
    ]
    elbo = [encoder.score(held_out) for encoder in alone]
    assert first["elbo"] == second["elbo"]
    assert abs(first["elbo"] - np.mean(elbo)) < 1


def test_all_processes_measure_the_same_and_stop_together(both):
    first, second, _ = both
    assert 0 < len(first["history"]) < 20
    for record, other in zip(first["history"], second["history"], strict=True):
        for key in record.keys() - {"seconds"}:
            np.testing.assert_array_equal(record[key], other[key], err_msg=key)


def test_all_processes_agree_on_what_variables_explain(both):
    """Or ``whiten=False`` would have other units in each of them."""
    for value, other in zip(both[0]["explained"], both[1]["explained"], strict=True):
        np.testing.assert_array_equal(value, other)


def test_a_process_with_fewer_rows_takes_as_many_steps(both):
    for result in both[:2]:
        assert result["steps"] == [10, 20]  # the passes over 300 rows in batches of 32


def test_gradients_are_averaged_and_noise_is_not_shared(both):
    first, second, _ = both
    assert not np.isclose(first["draws"], second["draws"]).any()
    np.testing.assert_array_equal(first["shared"], second["shared"])
    for result in (first, second):
        assert result["mean"].tolist() == [0.5, 1.0]
        np.testing.assert_array_equal(result["gradient"], [[1.0, 2.0]])


def test_settings_that_differ_are_an_error_on_all_processes(both):
    first, second, _ = both
    assert first["errors"] == second["errors"]
    columns, learning_rate, auto, tol = first["errors"]
    assert "encoder.0.weight is (32, 30) on process 0 and (32, 29) on process 1" in columns
    assert "learning_rate is 0.01 on process 0 and 0.02 on process 1" in learning_rate
    assert "Fit on a sample before the process group is made" in auto
    assert "tol is 0 on process 0 and 1 on process 1" in tol


def test_the_example_finds_the_types_that_one_remover_finds(both):
    assert "the types are those of a remover that sees all rows: yes" in both[2]
