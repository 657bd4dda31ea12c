"""The contracts of all primitives and compositions, by the name of their test class."""

import inspect

from elasticnas.testing import ElasticModuleContract
from tests.nn import test_law

__all__ = ["CONTRACTS"]

CONTRACTS = {
    name: contract
    for name, contract in vars(test_law).items()
    if inspect.isclass(contract)
    and issubclass(contract, ElasticModuleContract)
    and name.startswith("Test")
    and not inspect.isabstract(contract)
}
