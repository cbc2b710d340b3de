"""What the URI of a call says of it, in the ways providers' APIs and gateways have for that."""

import re

# First segments that name a provider, as gateways route by them (`/openai/v1/chat/completions`).
_PROVIDERS = {name: name for name in (
    *("anthropic", "azure", "bedrock", "cerebras", "cohere", "elevenlabs", "fireworks", "gemini", "groq"),
    *("huggingface", "mistral", "nebius", "ollama", "openai", "openrouter", "parasail", "perplexity"),
    *("replicate", "runway", "sgl", "vertex", "vllm", "xai"),
)} | {"genai": "gemini"}  # fmt: skip
# Gemini and Vertex, Azure, Bedrock; others have the model in the body.
_MODELS = re.compile(
    r"/models/(?P<gemini>[^/:]+):[A-Za-z]+$|/deployments/(?P<azure>[^/]+)/|/model/(?P<bedrock>[^/]+)/(?:invoke|converse)"
)


def provider_and_model_in(path: str) -> tuple[str | None, str | None]:
    """`path` without its query, decoded. A path that is not plain says nothing: others may read it otherwise."""
    if "//" in path or "/." in path:
        return None, None
    found = _MODELS.search(path)
    first = path.lstrip("/").partition("/")[0]
    return _PROVIDERS.get(first), found and found[found.lastgroup or 0]
