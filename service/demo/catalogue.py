"""What the demo's virtual keys may reach: models with their prices, provider keys and MCP clients.

Every secret is an `env.NAME` reference, so there is nothing to seal. Prices are near the providers' lists, only here to
make the demo's usage plausible; they price nothing else.
"""

from typing import Any, Literal

import msgspec


class Model(msgspec.Struct, frozen=True):
    """Prices in nano-dollars per million tokens."""

    name: str
    input_nanousd: int
    output_nanousd: int


class ProviderKey(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    provider: str
    value: str
    weight: float = 1
    models: tuple[str, ...] = ("*",)
    azure_key_config: dict[str, Any] | None = None
    vertex_key_config: dict[str, Any] | None = None
    bedrock_key_config: dict[str, Any] | None = None


class McpClient(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    connection_type: Literal["http", "sse", "stdio"]
    connection_string: str
    tools: tuple[str, ...]
    allow_by_default: bool = False


_USD = 1_000_000_000

MODELS: dict[str, tuple[Model, ...]] = {
    "openai": (
        Model("gpt-4o", 2_500_000_000, 10 * _USD),
        Model("gpt-4o-mini", 150_000_000, 600_000_000),
        Model("o3", 2 * _USD, 8 * _USD),
    ),
    "anthropic": (
        Model("claude-sonnet-4", 3 * _USD, 15 * _USD),
        Model("claude-opus-4", 15 * _USD, 75 * _USD),
        Model("claude-3-5-haiku", 800_000_000, 4 * _USD),
    ),
    "azure": (
        Model("gpt-4o", 2_500_000_000, 10 * _USD),
        Model("gpt-4.1", 2 * _USD, 8 * _USD),
    ),
    "vertex": (
        Model("gemini-2.5-pro", 1_250_000_000, 10 * _USD),
        Model("gemini-2.5-flash", 300_000_000, 2_500_000_000),
    ),
    "bedrock": (
        Model("anthropic.claude-sonnet-4", 3 * _USD, 15 * _USD),
        Model("amazon.nova-pro", 800_000_000, 3_200_000_000),
    ),
}

PROVIDER_KEYS = (
    ProviderKey(
        name="openai-key-1",
        provider="openai",
        value="env.OPENAI_API_KEY",
        models=("gpt-4o", "gpt-4o-mini"),
    ),
    ProviderKey(name="openai-key-batch", provider="openai", value="env.OPENAI_BATCH_API_KEY", weight=0.25),
    ProviderKey(name="anthropic-key-1", provider="anthropic", value="env.ANTHROPIC_API_KEY"),
    ProviderKey(
        name="azure-key-1",
        provider="azure",
        value="env.AZURE_API_KEY",
        models=("gpt-4o",),
        azure_key_config={
            "endpoint": "https://your-resource.openai.azure.com",
            "deployments": {"gpt-4o": "gpt-4o-deployment"},
            "api_version": "2024-02-15-preview",
        },
    ),
    ProviderKey(
        name="vertex-key-1",
        provider="vertex",
        value="",
        vertex_key_config={
            "project_id": "your-project-id",
            "region": "us-central1",
            "auth_credentials": "env.VERTEX_AUTH_CREDENTIALS",
        },
    ),
    ProviderKey(
        name="bedrock-key-1",
        provider="bedrock",
        value="",
        weight=0.5,
        bedrock_key_config={
            "access_key": "env.AWS_ACCESS_KEY_ID",
            "secret_key": "env.AWS_SECRET_ACCESS_KEY",
            "session_token": "env.AWS_SESSION_TOKEN",
            "region": "us-east-1",
            "arn": "arn:aws:iam::123456789012:role/BedrockRole",
            "deployments": {"gpt-4o": "gpt-4o-deployment"},
        },
    ),
)

MCP_CLIENTS = (
    McpClient(
        name="docs-search",
        connection_type="http",
        connection_string="https://docs.example.com/mcp",
        tools=("search", "fetch"),
        allow_by_default=True,
    ),
    McpClient(
        name="issue-tracker",
        connection_type="sse",
        connection_string="https://issues.example.com/sse",
        tools=("list_issues", "read_issue", "comment"),
    ),
    McpClient(
        name="repository",
        connection_type="stdio",
        connection_string="mcp-repository --read-only",
        tools=("*",),
    ),
)
