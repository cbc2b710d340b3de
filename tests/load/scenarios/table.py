"""THE table of scenarios."""

from tests.load.scenarios import authorize, operation, tree, usage

SCENARIOS = (*authorize.SCENARIOS, *usage.SCENARIOS, *tree.SCENARIOS, *operation.SCENARIOS)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
