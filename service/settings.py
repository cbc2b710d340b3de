"""Settings: one typed struct, read from the environment once at the start."""

import ipaddress
import os
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from service.domain.sealing import parse_encryption_key
from service.url_syntax import is_url


class SettingsError(Exception):
    """One line per variable that cannot be used: which, what was wrong, what is allowed. Values are not repeated."""


_ORIGIN = r"(\*|[a-zA-Z][a-zA-Z0-9+.-]*://([a-zA-Z0-9.*-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?)"
_ORIGINS = rf"^{_ORIGIN}(\s*,\s*{_ORIGIN})*$"
_WEBHOOK = r"https?://[^\s,#]{1,2000}"
_WEBHOOKS = rf"^{_WEBHOOK}(\s*,\s*{_WEBHOOK}){{0,4}}$"

_NETWORK = r"[0-9a-fA-F:.]+(/[0-9]{1,3})?"
_NETWORKS = rf"^{_NETWORK}(\s*,\s*{_NETWORK})*$"

# Sentinels are asked for a primary by its name.
_REDIS_URLS = r"^((rediss?(\+cluster)?|unix)://|rediss?\+sentinel://[^/?#]+/[^/?#]+)"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every field is an environment variable of the name in `VARIABLES`; the description is its documentation."""

    database_url: Annotated[str, Meta(pattern="^postgres(ql)?://", description="Postgres 15 or newer")] = ""
    redis_url: Annotated[str, Meta(pattern=_REDIS_URLS, description="Valkey, or Redis 7.0 or newer")] = ""
    host: Annotated[str, Meta(min_length=1, description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port to listen on")] = 8080
    workers: Annotated[int, Meta(ge=1, le=64, description="worker processes, one per core")] = 1
    encryption_key: Annotated[
        str, Meta(description="seals secrets and looks up virtual keys; `governance encryption-key` makes one")
    ] = ""
    auth: Annotated[
        Literal["on", "off"], Meta(description="whether an API token is asked for; off lets everyone do everything")
    ] = "on"
    admin_token: Annotated[
        str, Meta(min_length=32, description="an API token of scope admin, to make the first others with")
    ] = ""
    unknown_fields: Annotated[
        Literal["warn", "refuse"], Meta(description="whether a JSON field nobody reads is warned of or refused")
    ] = "warn"
    allowed_origins: Annotated[
        str, Meta(pattern=_ORIGINS, description="pages that may call from a browser; `*`: all, empty: none")
    ] = ""
    trusted_networks: Annotated[
        str, Meta(pattern=_NETWORKS, description="where gateways may ask /authz from without a token")
    ] = ""
    rotation_cooldown_seconds: Annotated[
        int, Meta(ge=0, le=2_592_000, description="how long a rotated virtual key's old value goes on working")
    ] = 0
    alert_webhook_url: Annotated[
        str,
        Meta(pattern=_WEBHOOKS, description="up to five webhooks that alerts of budgets are POSTed to; empty: none"),
    ] = ""
    alert_webhook_secret: Annotated[
        str, Meta(min_length=16, description="signs what webhooks get, needed with them; 16 characters at least")
    ] = ""
    alert_webhook_allow_private: Annotated[
        Literal["on", "off"], Meta(description="whether webhooks may be at addresses of private networks")
    ] = "off"
    ledger_retention: Annotated[int, Meta(ge=0, le=3650, description="days that usage is kept; 0: for ever")] = 400
    idempotency_days: Annotated[
        int, Meta(ge=1, le=90, description="days that a repeated request id or Idempotency-Key is known as a repeat")
    ] = 7
    maintenance_interval_minutes: Annotated[
        int, Meta(ge=0, le=1440, description="time between runs of `maintain` in the background; 0: none")
    ] = 60
    database_pool_size: Annotated[int, Meta(ge=1, le=200, description="Postgres connections per worker")] = 8
    redis_pool_size: Annotated[
        int, Meta(ge=1, le=1000, description="Redis connections per worker and server, each for a batch of calls")
    ] = 2
    redis_timeout_ms: Annotated[int, Meta(ge=10, le=5000, description="longest wait for one answer of Redis")] = 200
    hold_ttl_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="how long a call holds its estimate unless it says so itself")
    ] = 300
    expired_holds: Annotated[
        Literal["book", "release"], Meta(description="whether what an unreported call held is booked or given back")
    ] = "book"
    on_counters_unavailable: Annotated[
        Literal["local", "deny", "allow"],
        Meta(description="calls while Redis is away: by the ledger and this worker's own, all refused, all allowed"),
    ] = "local"
    replicas: Annotated[
        int, Meta(ge=1, le=1000, description="how many replicas share the limits while Redis is away")
    ] = 1
    required_headers: Annotated[
        str, Meta(description='headers each call must have, by what they match: `{"x-team": "*", "x-env": "prod.*"}`')
    ] = ""
    policy_cache_mb: Annotated[
        int, Meta(ge=1, le=65536, description="memory per worker for what virtual keys may do")
    ] = 192
    tree_cache_mb: Annotated[int, Meta(ge=1, le=65536, description="memory per worker for encoded trees")] = 128
    large_answers: Annotated[
        int, Meta(ge=1, le=1024, description="whole trees a worker sends at a time; four times as many wait")
    ] = 32
    max_body_kb: Annotated[int, Meta(ge=1, le=65536, description="largest request body")] = 1024
    drain_seconds: Annotated[
        int, Meta(ge=0, le=25, description="how long to keep serving, not ready, after SIGTERM")
    ] = 5
    metrics_scope: Annotated[
        Literal["open", "read"], Meta(description="who may read /metrics: everyone, or API tokens of scope read")
    ] = "open"
    access_log: Annotated[Literal["on", "off"], Meta(description="whether each request is logged, in a line")] = "off"
    log_format: Annotated[Literal["console", "json"], Meta(description="how log lines look")] = "console"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="the least that is logged")] = (
        "info"
    )

    @property
    def asks_for_tokens(self) -> bool:
        return self.auth == "on"


_UNPREFIXED = {"database_url", "redis_url", "host", "port", "workers"}
REQUIRED = ("database_url", "redis_url")
VARIABLES = {
    field: field.upper() if field in _UNPREFIXED else f"GOVERNANCE_{field.upper()}"
    for field in Settings.__struct_fields__
}
_SECRET_OF_WEBHOOKS = VARIABLES["alert_webhook_secret"]


def load_settings(
    environment: Mapping[str, str] = os.environ,
    *,
    required: Collection[str] = REQUIRED,
    **given: object,
) -> Settings:
    """Read the settings; `given` (a command's options) goes before the environment. Raises SettingsError."""
    hints = get_type_hints(Settings, include_extras=True)
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field, variable in VARIABLES.items():
        text = given.get(field, environment.get(variable, "").strip())
        if text == "":
            if field in required:
                faults.append(f"{variable} is not set: {_allowed(hints[field])}")
            continue
        try:
            values[field] = msgspec.convert(text, hints[field], strict=False)
        except msgspec.ValidationError as error:
            faults.append(f"{variable}: {_reason(error)}; allowed: {_allowed(hints[field])}")
    faults += [
        f"{VARIABLES[field]}: is malformed; allowed: {_allowed(hints[field])}"
        for field in REQUIRED
        if field in values and not is_url(values[field])
    ]
    faults += _key_faults(values.get("encryption_key", ""))
    faults += _webhook_faults(values, secret_was_refused=any(fault.startswith(_SECRET_OF_WEBHOOKS) for fault in faults))
    faults += _header_faults(values.get("required_headers", ""))
    faults += _network_faults(values.get("trusted_networks", ""))
    if faults:
        raise SettingsError("\n".join(faults))
    return Settings(**values)


def parse_required_headers(text: str) -> dict[str, str]:
    """Names of headers and what each must match. Raises ValueError."""
    if not text:
        return {}
    try:
        required = msgspec.json.decode(text, type=dict[str, str])
        for pattern in required.values():
            re.compile("" if pattern == "*" else pattern)
    except (msgspec.DecodeError, re.error) as error:
        raise ValueError("must be a JSON object of header names and regular expressions, `*` for any value") from error
    return required


def parse_networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """A comma list of networks and addresses. Raises ValueError."""
    return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def to_environment(settings: Settings) -> dict[str, str]:
    """The environment `load_settings` reads these settings from."""
    return {variable: str(getattr(settings, field)) for field, variable in VARIABLES.items()}


def describe_settings() -> list[tuple[str, str, str]]:
    """Name, default and description of every variable, in the order of the struct."""
    hints = get_type_hints(Settings, include_extras=True)
    return [
        (
            VARIABLES[field],
            "required" if field in REQUIRED else str(default),
            _allowed(hints[field]),
        )
        for field, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True)
    ]


def _key_faults(encryption_key: str) -> list[str]:
    if not encryption_key:
        return []
    try:
        parse_encryption_key(encryption_key)
    except ValueError as error:
        return [f"{VARIABLES['encryption_key']}: {error}"]
    return []


def _webhook_faults(values: Mapping[str, Any], *, secret_was_refused: bool) -> list[str]:
    """`secret_was_refused`: there is one, and what is wrong with it was told already."""
    urls = values.get("alert_webhook_url", "")
    if not urls:
        return []
    faults = []
    if not all(is_url(url.strip()) and urlsplit(url.strip()).hostname for url in urls.split(",")):
        faults.append(f"{VARIABLES['alert_webhook_url']}: is malformed; allowed: {_EXAMPLES[_WEBHOOKS]}")
    if "alert_webhook_secret" not in values and not secret_was_refused:
        faults.append(f"{_SECRET_OF_WEBHOOKS} is not set: webhooks get nothing that is not signed")
    return faults


def _header_faults(required_headers: str) -> list[str]:
    try:
        parse_required_headers(required_headers)
    except ValueError as error:
        return [f"{VARIABLES['required_headers']}: {error}"]
    return []


def _network_faults(networks: str) -> list[str]:
    try:
        parse_networks(networks)
    except ValueError:
        return [f"{VARIABLES['trusted_networks']}: is no list of networks; allowed: {_EXAMPLES[_NETWORKS]}"]
    return []


def _reason(error: msgspec.ValidationError) -> str:
    # What is allowed follows anyway; a pattern's fault would repeat the pattern, a choice's the value.
    text = str(error)
    if "matching regex" in text:
        return "is malformed"
    if text.startswith("Invalid enum value"):
        return "is an invalid choice"
    return text[0].lower() + text[1:]


def _allowed(hint: Any) -> str:
    kind, *metas = get_args(hint)
    described = " ".join(meta.description for meta in metas if meta.description)
    if get_origin(kind) is Literal:
        return f"{' | '.join(get_args(kind))} ({described})"
    for meta in metas:
        if meta.ge is not None and meta.le is not None:
            return f"{meta.ge} to {meta.le} ({described})"
        if meta.pattern is not None:
            return f"{_EXAMPLES[meta.pattern]} ({described})"
    return described


_EXAMPLES = {
    _ORIGINS: "https://app.example.com,https://*.example.com",
    _NETWORKS: "10.0.0.0/8,fd00::/8",
    _WEBHOOKS: "https://hooks.example.com/budgets,https://…",
    "^postgres(ql)?://": "postgresql://user:password@host:5432/database",
    _REDIS_URLS: "redis://host:6379/0, redis+cluster://host:6379,host:6379, "
    "redis+sentinel://host:26379,host:26379/name-of-the-primary/0, the same with rediss for TLS, or unix:///path",
}
