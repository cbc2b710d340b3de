"""One customer whose tree has every optional part the wire knows."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.factories import Factory

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)

AZURE = {
    "endpoint": "https://your-resource.openai.azure.com",
    "deployments": {"gpt-4o": "gpt-4o-deployment"},
    "api_version": "2024-02-15-preview",
}
VERTEX = {
    "project_id": "your-project-id",
    "region": "us-central1",
    "auth_credentials": "env.VERTEX_AUTH_CREDENTIALS",
}
BEDROCK = {
    "access_key": "env.AWS_ACCESS_KEY_ID",
    "secret_key": "env.AWS_SECRET_ACCESS_KEY",
    "session_token": "env.AWS_SESSION_TOKEN",
    "region": "us-east-1",
    "arn": "arn:aws:iam::123456789012:role/BedrockRole",
    "deployments": {"gpt-4o": "gpt-4o-deployment"},
}


async def make_full_tree(make: Factory) -> None:
    """Customer `acme` with team `research`, and the virtual keys `of-team` and `of-customer`."""
    await make.customer(id="acme", name="Acme", calendar_aligned=True, max_parallel_requests=9)
    await _limits(make, customer_id="acme")
    free = {"profile": {"tier": "gold"}, "config": {"a": None}, "claims": {"groups": ["x"]}}
    encoded = {name: json.dumps(document).encode() for name, document in free.items()}
    await make.team(id="research", name="Research", customer_id="acme", max_parallel_requests=5, **encoded)
    await _limits(make, team_id="research")
    await make.provider_key(id="azure", name="azure-key", azure_key_config=_json(AZURE), models=["gpt-4o"])
    await make.provider_key(id="vertex", name="vertex-key", vertex_key_config=_json(VERTEX), weight=0.5)
    await make.provider_key(id="bedrock", name="bedrock-key", bedrock_key_config=_json(BEDROCK))
    await make.mcp_client(id=7, name="search tools")
    await _virtual_key(make, "of-team", team_id="research")
    await _virtual_key(make, "of-customer", customer_id="acme")


async def _virtual_key(make: Factory, virtual_key_id: str, **owner: str) -> None:
    await make.virtual_key(
        id=virtual_key_id,
        name=virtual_key_id,
        description="for everything",
        expires_at=WHEN,
        delete_after_expire=True,
        disable_content_logging=False,
        previous_value_hash=bytes(32),
        previous_value_expires_at=WHEN,
        rotated_at=WHEN,
        created_by_user_id="user-1",
        max_parallel_requests=3,
        metadata=_json({"cost-center": "42"}),
        **owner,
    )
    await _limits(make, virtual_key_id=virtual_key_id)
    config = {"virtual_key_id": virtual_key_id, "allow_all_keys": False, "blacklisted_models": ["o1"], "weight": 0.5}
    openai = await make.provider_config(provider="openai", **config)
    await _limits(make, provider_config_id=openai)
    bedrock = await make.provider_config(provider="bedrock", **config)
    for provider_config_id, provider_key_id in (
        (openai, "azure"),
        (openai, "vertex"),
        (bedrock, "azure"),
        (bedrock, "bedrock"),
    ):
        await make.pin(provider_config_id, provider_key_id)
    await make.mcp_config(virtual_key_id=virtual_key_id, mcp_client_id=7, tools_to_execute=["find"])


async def _limits(make: Factory, **owner: Any) -> None:
    """Three budgets, the second and third with an override, and a rate limit, named after their owner."""
    name = "-".join(map(str, *owner.items()))
    await make.budget(id=f"{name}-month", reset_duration="1M", position=0, **owner)
    await make.budget(
        id=f"{name}-quarter",
        reset_duration="1Q",
        quarter_start_month=2,
        position=1,
        override_mode="cycles",
        override_amount_nanousd=2_500_000_000,
        override_cycles_total=3,
        override_anchor_reset=datetime.now(UTC) - timedelta(days=1),
        **owner,
    )
    await make.budget(
        id=f"{name}-year",
        reset_duration="1Y",
        position=2,
        override_mode="forever",
        override_amount_nanousd=1,
        **owner,
    )
    await make.rate_limit(id=f"{name}-rate", **owner)


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
