"""What a call must pass before its limits are looked at: headers, the key, its state, provider, model, provider keys;
and the MCP tools, which are looked at after the limits.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

from service.domain.decisions import Refusal
from service.domain.models import model_list
from service.domain.policy import GlobalPolicy, Policy, ProviderAccess

_ANY = ("", "*")


class Candidates(msgspec.Struct, frozen=True):
    """Where a call may go: the model without a provider's prefix, and the providers it may use.

    Without any, the provider is not known, and only what holds for every one counts.
    """

    model: str | None
    providers: tuple[ProviderAccess, ...] = ()
    provider: str | None = None


def check_headers(required: Mapping[str, str], headers: Mapping[str, str]) -> Refusal | None:
    """`required` names headers and what they must match: anything for `*`, else a regular expression, as a whole."""
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in required if name.lower() not in given]
    invalid = [
        name
        for name, wanted in required.items()
        if name.lower() in given and wanted not in _ANY and not _pattern(wanted).fullmatch(given[name.lower()])
    ]
    if not missing and not invalid:
        return None
    texts = (("missing required headers", missing), ("invalid required headers", invalid))
    return Refusal(
        "missing_required_headers", "; ".join(f"{text}: {', '.join(names)}" for text, names in texts if names)
    )


def check_key(policy: Policy | None, now: datetime) -> Refusal | None:
    """Known, active, not expired."""
    if policy is None or policy.is_deleted:
        return Refusal("access_not_found", "virtual key not found")
    if not policy.is_active:
        return Refusal("access_blocked", f"virtual key {policy.name} is inactive")
    if policy.is_expired(now):
        return Refusal("access_blocked", f"virtual key {policy.name} is expired")
    return None


def find_candidates(policy: Policy, provider: str | None, model: str | None) -> Candidates | Refusal:
    """The providers the key may use for this call; a provider may be the prefix of the model's name."""
    if provider is None and model is not None and "/" in model:
        prefix, _, rest = model.partition("/")
        if policy.allow_all_providers or policy.access_to(prefix) is not None:
            provider, model = prefix, rest
    if provider is not None:
        return _of_provider(policy, provider, model)
    return _of_any_provider(policy, model)


def check_tools(policy: Policy, whole: GlobalPolicy, tools: Sequence[str]) -> Refusal | None:
    """Tools are named `client-tool` (as Bifrost has it), `client/tool` or `client:tool`."""
    for tool in tools:
        if not _may_use(policy, whole, tool):
            return Refusal("mcp_tool_blocked", f"MCP tool {tool} is not allowed for virtual key {policy.name}")
    return None


def _of_provider(policy: Policy, provider: str, model: str | None) -> Candidates | Refusal:
    access = policy.access_to(provider)
    if access is None:
        if policy.allow_all_providers:
            return Candidates(model, provider=provider)
        return Refusal("provider_blocked", f"provider {provider} is not allowed for virtual key {policy.name}")
    if not access.allows(model):
        return _model_blocked(policy, model)
    if access.key_ids == ():
        return _no_keys(policy, provider)
    return Candidates(model, (access,), provider)


def _of_any_provider(policy: Policy, model: str | None) -> Candidates | Refusal:
    if policy.allow_all_providers:
        return Candidates(model, tuple(each for each in policy.providers if each.allows(model) and each.key_ids != ()))
    if not policy.providers:
        return Refusal("provider_blocked", f"virtual key {policy.name} may use no provider")
    allowing = tuple(each for each in policy.providers if each.allows(model))
    if not allowing:
        return _model_blocked(policy, model)
    usable = tuple(each for each in allowing if each.key_ids != ())
    return Candidates(model, usable) if usable else _no_keys(policy, allowing[0].provider)


def _model_blocked(policy: Policy, model: str | None) -> Refusal:
    if model is None:
        text = f"virtual key {policy.name} is restricted to some models: name the model of the call"
        return Refusal("model_blocked", text)
    return Refusal("model_blocked", f"model {model} is not allowed for virtual key {policy.name}")


def _no_keys(policy: Policy, provider: str) -> Refusal:
    text = f"virtual key {policy.name} may use no key of provider {provider}"
    return Refusal("provider_blocked", text)


def _may_use(policy: Policy, whole: GlobalPolicy, tool: str) -> bool:
    own = {access.client for access in policy.mcp}
    open_to_all = (access for access in whole.default_mcp if access.client not in own)
    return any(
        _is_of(access.client, access.tools, tool) for accesses in (policy.mcp, open_to_all) for access in accesses
    )


def _is_of(client: str, tools: Iterable[str], tool: str) -> bool:
    name = tool[len(client) + 1 :]
    if not name or not tool.startswith(client) or tool[len(client)] not in "-/:":
        return False
    return model_list(tuple(tools)).holds(name)


@lru_cache(maxsize=256)
def _pattern(text: str) -> "re.Pattern[str]":
    return re.compile(text)
