"""Types of what users pass and get."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import _fit_context

F = TypeVar("F", bound=Callable[..., Any])

Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
RandomState: TypeAlias = int | np.random.RandomState | None


class HasShape(Protocol):
    """What has rows and is no array: sparse matrices, frames, dask collections."""

    @property
    def shape(self) -> tuple[Any, ...]: ...


MatrixLike: TypeAlias = ArrayLike | HasShape


def keeps_type(decorator: Any) -> Callable[[F], F]:
    """Say of a decorator without types that what it returns has the type of what it is given."""
    return cast("Callable[[F], F]", decorator)


#: Decorates a fit, so that it checks the parameters first and closes callbacks at the end.
checks_parameters = keeps_type(_fit_context(prefer_skip_nested_validation=True))


class TypedTransformer:
    """The methods that scikit-learn, which has no types, gives to a transformer; for checkers."""

    if TYPE_CHECKING:

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...

        def set_params(self, **params: Any) -> Self: ...

        def set_output(
            self, *, transform: Literal["default", "pandas", "polars"] | None = None
        ) -> Self: ...

        def fit_transform(
            self, X: MatrixLike, y: object = None, **fit_params: Any
        ) -> np.ndarray: ...

        def get_feature_names_out(
            self, input_features: ArrayLike | None = None
        ) -> NDArray[np.object_]: ...


class TypedSelector(TypedTransformer):
    """The methods that scikit-learn, which has no types, gives to a selector; for checkers."""

    if TYPE_CHECKING:

        def get_support(self, indices: bool = False) -> np.ndarray: ...

        def inverse_transform(self, X: MatrixLike) -> np.ndarray: ...
