"""What the estimators are to scikit-learn: parameters, tags, names of the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import validate_data

if TYPE_CHECKING:
    # scikit-learn has no types: with its class as base any keyword would pass
    class BaseEstimator:
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Any: ...
        def __sklearn_tags__(self) -> Any: ...
else:
    from sklearn.base import BaseEstimator


class Estimator(BaseEstimator):
    """An estimator of the law of its data, without target."""

    n_features_in_: int

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.required = False
        return tags

    def _keep_names(self, X: Any) -> None:
        """Names of the columns of a data frame, as scikit-learn keeps them."""
        if hasattr(X, "columns"):
            validate_data(self, X, skip_check_array=True)
        else:
            self.__dict__.pop("feature_names_in_", None)
