"""Trees where one limit binds: of one kind, at one level; every other limit on the path is far away."""

from typing import Any, Literal, TypeAlias

import msgspec

from tests.faults.gateway import Gateway

Kind: TypeAlias = Literal["budget", "tokens", "requests", "parallel"]
NANOUSD = 1_000_000_000

# One call's estimate, and what it turns out to use.
ESTIMATED_NANOUSD, USED_NANOUSD = 370_000_001, 200_000_000
ESTIMATED_TOKENS, USED_TOKENS = 700, 300

_OF_A_CONFIG = ("provider_config", "model_config", "model", "provider")
_OWNERS = ("virtual_key", "team", "customer")
_KINDS: tuple[Kind, ...] = ("budget", "tokens", "requests", "parallel")
_DECISIONS: dict[Kind, str] = {
    "budget": "budget_exceeded",
    "tokens": "token_limited",
    "requests": "request_limited",
    "parallel": "parallel_limited",
}
# Limit, estimate and usage of each kind, in its own unit.
_ROOM: dict[Kind, tuple[int, int, int]] = {
    "budget": (200_000_000, ESTIMATED_NANOUSD, USED_NANOUSD),
    "tokens": (650, ESTIMATED_TOKENS, USED_TOKENS),
    "requests": (0, 1, 1),
    "parallel": (0, 1, 0),
}


class Binding(msgspec.Struct, frozen=True):
    """Which limit binds, and how many estimates it has room for."""

    level: str
    kind: Kind
    fits: int

    @property
    def name(self) -> str:
        return f"{self.kind} of {self.level}"

    @property
    def limit(self) -> int:
        """With something over that no whole estimate fits in."""
        over, estimate, _ = _ROOM[self.kind]
        return self.fits * estimate + over

    @property
    def fits_after_use(self) -> int:
        """How many more, once those that fit at first are settled."""
        _, estimate, used = _ROOM[self.kind]
        return (self.limit - self.fits * used) // estimate

    @property
    def decision(self) -> str:
        return _DECISIONS[self.kind]


class Tree(msgspec.Struct, frozen=True):
    """A customer with a team with a virtual key of this value."""

    binding: Binding
    virtual_key: str

    def call(self, request_id: str) -> dict[str, Any]:
        return {
            "request_id": request_id,
            "virtual_key": self.virtual_key,
            "provider": self.binding.name,
            "model": self.binding.name,
            "estimated_cost": ESTIMATED_NANOUSD / NANOUSD,
            "estimated_input_tokens": ESTIMATED_TOKENS - 200,
            "max_output_tokens": 200,
        }

    def report(self, request_id: str) -> dict[str, Any]:
        return {
            "request_id": request_id,
            "virtual_key": self.virtual_key,
            "provider": self.binding.name,
            "model": self.binding.name,
            "input_tokens": USED_TOKENS - 100,
            "output_tokens": 100,
            "cost": USED_NANOUSD / NANOUSD,
        }


def every_binding(*, fits: int) -> list[Binding]:
    levels = (*_OWNERS, *_OF_A_CONFIG)
    return [Binding(level, kind, fits) for level in levels for kind in _KINDS if kind != "parallel" or level in _OWNERS]


async def make_tree(gateway: Gateway, binding: Binding) -> Tree:
    """Its provider and model are called as the binding: limits of the whole deployment meet no other tree."""
    name = binding.name
    await gateway.make("model-configs", model_name=name, **_limits(binding, "model"))
    answer = await gateway.send("PUT", f"providers/{name}", _limits(binding, "provider"))
    assert answer.status == 200, answer
    customer = (await gateway.make("customers", name=name, **_limits(binding, "customer")))["customer"]
    team = await gateway.make("teams", name=name, customer_id=customer["id"], **_limits(binding, "team"))
    config = {"provider": name, "allowed_models": ["*"], "key_ids": ["*"], **_limits(binding, "provider_config")}
    config["model_budgets"] = [{"model_name": name, "budgets": _budgets(binding, "model_config")}]
    key = await gateway.make(
        "virtual-keys",
        name=name,
        team_id=team["team"]["id"],
        provider_configs=[config],
        **_limits(binding, "virtual_key"),
    )
    virtual_key = key["virtual_key"]
    await gateway.make(
        "model-configs",
        model_name=name,
        scope="virtual_key",
        scope_id=virtual_key["id"],
        rate_limit=_rate_limit(binding, "model_config"),
    )
    return Tree(binding, virtual_key["value"])


def _limits(binding: Binding, level: str) -> dict[str, Any]:
    limits: dict[str, Any] = {"budgets": _budgets(binding, level), "rate_limit": _rate_limit(binding, level)}
    if level in _OWNERS:
        limits["max_parallel_requests"] = _most(binding, level, "parallel", far=1_000_000)
    return limits


def _budgets(binding: Binding, level: str) -> list[dict[str, Any]]:
    most = _most(binding, level, "budget", far=NANOUSD * 1_000_000) / NANOUSD
    return [{"max_limit": most, "reset_duration": "1Y"}, {"max_limit": 2_000_000, "reset_duration": "2Y"}]


def _rate_limit(binding: Binding, level: str) -> dict[str, Any]:
    return {
        "token_max_limit": _most(binding, level, "tokens", far=10**12),
        "token_reset_duration": "1M",
        "request_max_limit": _most(binding, level, "requests", far=10**9),
        "request_reset_duration": "2M",
    }


def _most(binding: Binding, level: str, kind: Kind, *, far: int) -> int:
    return binding.limit if (binding.level, binding.kind) == (level, kind) else far
