"""What the estimators share: validation, state, dask, callbacks, names of columns."""
