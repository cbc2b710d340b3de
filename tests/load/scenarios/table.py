"""THE table of scenarios."""

from tests.load.scenarios import authorize, loop, operation, tree, usage

SCENARIOS = (*authorize.SCENARIOS, *usage.SCENARIOS, *tree.SCENARIOS, *operation.SCENARIOS, *loop.SCENARIOS)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
