"""Encode in the executors of Spark and add up moments by a tree: ``python examples/spark.py``."""

import pickle

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from sklearn.datasets import load_breast_cancer

from passive_pruner import VAEEncoder
from passive_pruner.regime import LatentMoments, variance

cancer = load_breast_cancer(as_frame=True).data
cancer = (cancer - cancer.mean()) / cancer.std()
encoder = VAEEncoder(8, add_variance=True, max_steps=1000, random_state=0).fit(cancer[:200])
names = list(encoder.get_feature_names_out())

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
rows = spark.createDataFrame(cancer).repartition(6)
shared = spark.sparkContext.broadcast(encoder)


def encode(frames):
    encoder = shared.value
    for frame in frames:
        yield pd.DataFrame(encoder.transform(frame), columns=names)


def moments(frames):
    total = None
    for frame in frames:
        mean, second = np.hsplit(frame.to_numpy(), 2)
        batch = LatentMoments.from_batch(mean, second)
        total = batch if total is None else total.merge(batch)
    if total is not None:
        yield pd.DataFrame({"moments": [pickle.dumps(total)]})


def merge(one, other):
    return one.merge(other)


codes = rows.mapInPandas(encode, ", ".join(f"`{name}` float" for name in names))
parts = codes.mapInPandas(moments, "moments binary").rdd.map(lambda row: pickle.loads(row.moments))
total = parts.treeReduce(merge, depth=2)
print(total.n_samples, "rows:", *variance(total, 0.1))
codes.select(names[:2]).printSchema()
spark.stop()
