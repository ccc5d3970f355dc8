"""Encode with actors of Ray Data, add up moments of blocks: ``python examples/ray_data.py``."""

from functools import reduce

import numpy as np
import ray
from sklearn.datasets import load_breast_cancer

from passive_pruner import VAEEncoder
from passive_pruner.regime import LatentMoments, variance

cancer = load_breast_cancer(as_frame=True).data
cancer = (cancer - cancer.mean()) / cancer.std()
encoder = VAEEncoder(8, add_variance=True, max_steps=1000, random_state=0).fit(cancer[:200])

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
rows = ray.data.from_pandas(cancer).repartition(6)


class Encode:
    """Loaded once per worker process."""

    def __init__(self, encoder):
        self.encoder = encoder.set_output(transform="pandas")

    def __call__(self, batch):
        return self.encoder.transform(batch)


codes = rows.map_batches(
    Encode,
    fn_constructor_args=(encoder,),
    batch_format="pandas",
    batch_size=128,
    compute=ray.data.ActorPoolStrategy(size=1),
)


def moments(batch):
    mean, second = np.hsplit(batch.to_numpy("float32"), 2)
    return {"moments": [LatentMoments.from_batch(mean, second)]}


parts = codes.map_batches(moments, batch_format="pandas", batch_size=128).take_all()
total = reduce(LatentMoments.merge, (part["moments"] for part in parts))
print(len(parts), "partial moments,", total.n_samples, "rows:", *variance(total, 0.1))

sample = codes.take_batch(10, batch_format="pandas")
print(sample.shape, *sample.columns[:2])
