"""Property tests for modules, contract tests for strategies and costs; needs ``pip install elasticnas[testing]``."""

from elasticnas.errors import PluginError

try:
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
except ImportError as error:
    raise PluginError(f"elasticnas.testing needs {error.name}: pip install 'elasticnas[testing]'") from None

from elasticnas.testing.contract import ElasticModuleContract, checked_examples
from elasticnas.testing.cost_contract import CostContract
from elasticnas.testing.ends import embed
from elasticnas.testing.law import assert_mask_slice_equal
from elasticnas.testing.strategies import architectures, inputs, spaces
from elasticnas.testing.strategy_contract import StrategyContract

__all__ = [
    "CostContract",
    "ElasticModuleContract",
    "StrategyContract",
    "architectures",
    "assert_mask_slice_equal",
    "checked_examples",
    "embed",
    "inputs",
    "spaces",
]
