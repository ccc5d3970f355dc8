"""Train one VAE on the rows of several processes, and find its passive variables from all rows.

    torchrun --standalone --nproc_per_node 2 examples/several_processes.py

Every process of torch's process group has a part of the rows. `fit` and `partial_fit` then
average the gradients of all processes, so that all of them end with the same encoder. Only
`LatentMoments`, a few numbers per pair of latent variables, are sent around to find the passive
ones. The first process prints what came out.
"""

import argparse
import os
from functools import reduce

import numpy as np
from sklearn.datasets import load_digits
from torch import distributed

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.regime import LatentMoments, active_units

THRESHOLD = 0.1


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--max-steps", type=int, default=2000)
    parser.add_argument("--random-state", type=int, default=0)
    options = parser.parse_args()
    # What a launcher sets, and torch's "env://" reads.
    if missing := {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - set(os.environ):
        parser.error(
            f"{', '.join(sorted(missing))} not set: a launcher has to start this, one per process, "
            "such as\n    torchrun --standalone --nproc_per_node 2 examples/several_processes.py"
        )
    distributed.init_process_group("gloo")  # "nccl" with one GPU per process
    try:
        train(options.max_steps, options.random_state)
    finally:
        distributed.destroy_process_group()


def train(max_steps, random_state):
    rank, n_processes = distributed.get_rank(), distributed.get_world_size()
    # With data that does not fit one machine, each process reads its own files instead.
    X = np.random.default_rng(0).permutation(load_digits().data / 16)
    held_out, X = np.split(X, [len(X) // 5])
    shard = X[rank::n_processes]

    encoder = VAEEncoder(
        n_components=32,
        batch_size=256 // n_processes,  # 256 rows per step in all
        max_steps=max_steps,
        random_state=random_state,
    ).fit(shard)

    moments = [None] * n_processes
    distributed.all_gather_object(moments, encoder.moments(shard))
    types = active_units(reduce(LatentMoments.merge, moments), THRESHOLD)

    if rank == 0:
        alone = PassiveVariableRemover(threshold=THRESHOLD).fit(encoder.transform(X))
        print(f"{n_processes} processes, {len(shard)} rows in the first, {encoder.n_steps_} steps")
        print(f"ELBO of held-out rows: {encoder.score(held_out):.2f} nats")
        print(f"{np.sum(types == 'passive')} of {len(types)} variables are passive")
        print("the types are those of a remover that sees all rows:", end=" ")
        print("yes" if np.array_equal(types, alone.variable_types_) else "no")


if __name__ == "__main__":
    main()
