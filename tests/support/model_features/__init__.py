"""The features of models that a round trip and a change are tried with."""

from collections.abc import Mapping

from tests.support.model_features import (
    columns,
    constraints,
    defaults,
    enums,
    generated,
    indexes,
    keys,
    names,
    postgresql_types,
    tables,
    types,
)
from tests.support.model_features.feature import AS_IT_IS, BOTH, POSTGRESQL, SQLITE, Feature, MakeColumn

__all__ = ["AS_IT_IS", "BOTH", "FEATURES", "POSTGRESQL", "SQLITE", "Feature", "MakeColumn"]

_MODULES = (
    columns,
    types,
    postgresql_types,
    defaults,
    generated,
    constraints,
    keys,
    indexes,
    enums,
    names,
    tables,
)
FEATURES: Mapping[str, Feature] = {feature.name: feature for module in _MODULES for feature in module.FEATURES}
assert len(FEATURES) == sum(len(module.FEATURES) for module in _MODULES)
