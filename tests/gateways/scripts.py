"""Scripts of `deploy/`, which are no modules of a package."""

import importlib.util
from types import ModuleType

from tests.gateways.programs import DEPLOY


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
