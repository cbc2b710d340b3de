"""Settings: what an operator is told when a variable cannot be used, and what is never repeated to a log."""

import pytest

from service.settings import (
    REQUIRED,
    VARIABLES,
    Settings,
    SettingsError,
    describe_settings,
    is_loopback,
    load_settings,
    to_environment,
)

STORES = {"DATABASE_URL": "postgresql://app:pw@db:5432/governance", "REDIS_URL": "rediss://:pw@redis:6379/1"}

# One other than the default for every variable.
EVERY_VARIABLE = STORES | {
    "HOST": "0.0.0.0",
    "PORT": "9090",
    "WORKERS": "4",
    "GOVERNANCE_ENCRYPTION_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "GOVERNANCE_AUTH": "off",
    "GOVERNANCE_ADMIN_TOKEN": "an-admin-token-of-thirty-two-or-more",
    "GOVERNANCE_UNKNOWN_FIELDS": "refuse",
    "GOVERNANCE_ALLOWED_ORIGINS": "https://app.example.com, https://*.example.com:8443",
    "GOVERNANCE_TRUSTED_NETWORKS": "10.0.0.0/8, fd00::/8",
    "GOVERNANCE_ROTATION_COOLDOWN_SECONDS": "3600",
    "GOVERNANCE_ALERT_WEBHOOK_URL": "https://hooks.example.com/a?b=c, http://user:password@[2001:db8::1]:8080",
    "GOVERNANCE_ALERT_WEBHOOK_SECRET": "sixteen or more letters",
    "GOVERNANCE_ALERT_WEBHOOK_ALLOW_PRIVATE": "on",
    "GOVERNANCE_LEDGER_RETENTION": "0",
    "GOVERNANCE_IDEMPOTENCY_DAYS": "30",
    "GOVERNANCE_MAINTENANCE_INTERVAL_MINUTES": "0",
    "GOVERNANCE_DATABASE_POOL_SIZE": "20",
    "GOVERNANCE_REDIS_POOL_SIZE": "32",
    "GOVERNANCE_REDIS_TIMEOUT_MS": "50",
    "GOVERNANCE_HOLD_TTL_SECONDS": "60",
    "GOVERNANCE_EXPIRED_HOLDS": "release",
    "GOVERNANCE_ON_COUNTERS_UNAVAILABLE": "deny",
    "GOVERNANCE_REPLICAS": "3",
    "GOVERNANCE_REQUIRED_HEADERS": '{"x-team": "*"}',
    "GOVERNANCE_POLICY_CACHE_MB": "64",
    "GOVERNANCE_TREE_CACHE_MB": "512",
    "GOVERNANCE_LARGE_ANSWERS": "8",
    "GOVERNANCE_MAX_BODY_KB": "64",
    "GOVERNANCE_DRAIN_SECONDS": "0",
    "GOVERNANCE_METRICS_SCOPE": "read",
    "GOVERNANCE_ACCESS_LOG": "on",
    "GOVERNANCE_LOG_FORMAT": "json",
    "GOVERNANCE_LOG_LEVEL": "debug",
}

# variable, bad value, what is wrong, what is allowed
BAD_VALUES = [
    ("DATABASE_URL", "mysql://app:hunter2@db/governance", "is malformed", "postgresql://user:password@host:5432/"),
    ("DATABASE_URL", "app:hunter2@db", "is malformed", "postgresql://user:password@host:5432/database"),
    ("DATABASE_URL", "postgresql://app:[hunter2@db/governance", "is malformed", "postgresql://user:password@host:5432"),
    ("REDIS_URL", "redis+cluster://:hunter2]@redis", "is malformed", "redis://host:6379/0, redis+cluster://host:6379"),
    ("REDIS_URL", "http://:hunter2@redis", "is malformed", "redis://host:6379/0, redis+cluster://host:6379"),
    ("REDIS_URL", "redis+sentinel://:hunter2@redis", "is malformed", "redis+sentinel://host:26379,host:26379/name-of"),
    ("REDIS_URL", "redis+magic://:hunter2@redis", "is malformed", "redis://host:6379/0, redis+cluster://host:6379"),
    ("PORT", "hunter2", "expected `int`", "1 to 65535"),
    ("PORT", "0", ">= 1", "1 to 65535"),
    ("PORT", "65536", "<= 65535", "1 to 65535"),
    ("PORT", "80.5", "expected `int`", "1 to 65535"),
    ("WORKERS", "-17", ">= 1", "1 to 64"),
    ("WORKERS", "6543", "<= 64", "1 to 64"),
    ("GOVERNANCE_ENCRYPTION_KEY", "hunter2", "must be 32 random bytes in base64", "`governance encryption-key` makes"),
    ("GOVERNANCE_AUTH", "hunter2", "invalid", "on | off"),
    ("GOVERNANCE_ADMIN_TOKEN", "hunter2", ">= 32", "an API token of scope admin"),
    ("GOVERNANCE_UNKNOWN_FIELDS", "hunter2", "invalid", "warn | refuse"),
    ("GOVERNANCE_ALLOWED_ORIGINS", "hunter2", "is malformed", "https://app.example.com,https://*.example.com"),
    ("GOVERNANCE_ALLOWED_ORIGINS", "https://a.example/path", "is malformed", "https://app.example.com"),
    ("GOVERNANCE_TRUSTED_NETWORKS", "hunter2", "is malformed", "10.0.0.0/8,fd00::/8"),
    ("GOVERNANCE_TRUSTED_NETWORKS", "10.0.0.1/8", "is no list of networks", "10.0.0.0/8,fd00::/8"),
    ("GOVERNANCE_ROTATION_COOLDOWN_SECONDS", "2592001", "<= 2592000", "0 to 2592000"),
    ("GOVERNANCE_ALERT_WEBHOOK_URL", "hunter2", "is malformed", "https://hooks.example.com/budgets,https://…"),
    ("GOVERNANCE_ALERT_WEBHOOK_URL", "ftp://hunter2@a.example", "is malformed", "https://hooks.example.com/budgets"),
    ("GOVERNANCE_ALERT_WEBHOOK_URL", "https://[hunter2]/x", "is malformed", "https://hooks.example.com/budgets"),
    ("GOVERNANCE_ALERT_WEBHOOK_SECRET", "hunter2", ">= 16", "16 characters at least"),
    ("GOVERNANCE_ALERT_WEBHOOK_ALLOW_PRIVATE", "hunter2", "invalid", "on | off"),
    ("GOVERNANCE_LEDGER_RETENTION", "-12", ">= 0", "0 to 3650"),
    ("GOVERNANCE_LEDGER_RETENTION", "400d", "expected `int`", "0 to 3650"),
    ("GOVERNANCE_IDEMPOTENCY_DAYS", "98765", "<= 90", "1 to 90"),
    ("GOVERNANCE_MAINTENANCE_INTERVAL_MINUTES", "98765", "<= 1440", "0 to 1440"),
    ("GOVERNANCE_DATABASE_POOL_SIZE", "98765", "<= 200", "1 to 200"),
    ("GOVERNANCE_REDIS_POOL_SIZE", "98765", "<= 1000", "1 to 1000"),
    ("GOVERNANCE_REDIS_TIMEOUT_MS", "200ms", "expected `int`", "10 to 5000"),
    ("GOVERNANCE_HOLD_TTL_SECONDS", "86401", "<= 86400", "1 to 86400"),
    ("GOVERNANCE_EXPIRED_HOLDS", "hunter2", "invalid", "book | release"),
    ("GOVERNANCE_ON_COUNTERS_UNAVAILABLE", "hunter2", "invalid", "local | deny | allow"),
    ("GOVERNANCE_REPLICAS", "-17", ">= 1", "1 to 1000"),
    ("GOVERNANCE_REQUIRED_HEADERS", "hunter2", "must be a JSON object", "regular expressions"),
    ("GOVERNANCE_REQUIRED_HEADERS", '{"x-team": "hunter2("}', "must be a JSON object", "`*` for any value"),
    ("GOVERNANCE_POLICY_CACHE_MB", "1GB", "expected `int`", "1 to 65536"),
    ("GOVERNANCE_TREE_CACHE_MB", "1GB", "expected `int`", "1 to 65536"),
    ("GOVERNANCE_LARGE_ANSWERS", "98765", "<= 1024", "1 to 1024"),
    ("GOVERNANCE_MAX_BODY_KB", "98765", "<= 65536", "1 to 65536"),
    ("GOVERNANCE_DRAIN_SECONDS", "29", "<= 25", "0 to 25"),
    ("GOVERNANCE_LOG_FORMAT", "hunter2", "invalid", "console | json"),
    ("GOVERNANCE_METRICS_SCOPE", "hunter2", "invalid", "open | read"),
    ("GOVERNANCE_ACCESS_LOG", "hunter2", "invalid", "on | off"),
    ("GOVERNANCE_LOG_LEVEL", "hunter2", "invalid", "debug | info | warning | error"),
]


def refusal(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environment)
    return str(caught.value)


@pytest.mark.parametrize(("variable", "value", "wrong", "allowed"), BAD_VALUES)
def test_a_bad_value_is_refused_by_name_saying_what_is_wrong_and_what_is_allowed(
    variable: str, value: str, wrong: str, allowed: str
) -> None:
    message = refusal(STORES | {variable: value})
    assert message.startswith(f"{variable}: ")
    assert wrong in message
    assert allowed in message


@pytest.mark.parametrize(("variable", "value", "wrong", "allowed"), BAD_VALUES)
def test_a_bad_value_is_not_repeated(variable: str, value: str, wrong: str, allowed: str) -> None:
    message = refusal(STORES | {variable: value})
    assert value not in message
    assert "hunter2" not in message


def test_every_variable_that_can_be_wrong_was_tried_here() -> None:
    assert {row[0] for row in BAD_VALUES} == set(VARIABLES.values()) - {"HOST"}


def test_all_bad_values_are_told_at_once_one_per_line() -> None:
    message = refusal({"REDIS_URL": "http://redis", "PORT": "http", "GOVERNANCE_ENCRYPTION_KEY": "short"})
    assert [line.split()[0].rstrip(":") for line in message.splitlines()] == [
        "DATABASE_URL",
        "REDIS_URL",
        "PORT",
        "GOVERNANCE_ENCRYPTION_KEY",
    ]


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_variable_that_is_not_set_is_asked_for(field: str, value: str | None) -> None:
    variable = VARIABLES[field]
    environment = {name: text for name, text in STORES.items() if name != variable}
    environment |= {} if value is None else {variable: value}
    assert refusal(environment).startswith(f"{variable} is not set: ")


@pytest.mark.parametrize(
    "urls", ["https://", "https://:443/hunter2", "https://a.example:99999999", "https://a.b, https://"]
)
def test_a_webhook_without_a_host_or_port_that_can_be_is_refused(urls: str) -> None:
    environment = STORES | {"GOVERNANCE_ALERT_WEBHOOK_URL": urls, "GOVERNANCE_ALERT_WEBHOOK_SECRET": "x" * 16}
    message = refusal(environment)
    assert message.startswith("GOVERNANCE_ALERT_WEBHOOK_URL: is malformed")
    assert "hunter2" not in message


def test_five_webhooks_are_the_most() -> None:
    environment = STORES | {"GOVERNANCE_ALERT_WEBHOOK_SECRET": "x" * 16}
    assert load_settings(environment | {"GOVERNANCE_ALERT_WEBHOOK_URL": ",".join(["https://a.b"] * 5)})
    assert "is malformed" in refusal(environment | {"GOVERNANCE_ALERT_WEBHOOK_URL": ",".join(["https://a.b"] * 6)})


def test_a_webhook_without_a_secret_to_sign_with_is_refused() -> None:
    message = refusal(STORES | {"GOVERNANCE_ALERT_WEBHOOK_URL": "https://hooks.example.com/hunter2"})
    assert message == "GOVERNANCE_ALERT_WEBHOOK_SECRET is not set: webhooks get nothing that is not signed"


def test_what_a_command_does_not_need_need_not_be_set() -> None:
    assert load_settings({}, required=()) == Settings()


def test_every_variable_is_read() -> None:
    assert set(EVERY_VARIABLE) == set(VARIABLES.values())
    loaded = load_settings(EVERY_VARIABLE)
    for field, variable in VARIABLES.items():
        assert str(getattr(loaded, field)) == EVERY_VARIABLE[variable]
        assert getattr(loaded, field) != getattr(Settings(), field)


@pytest.mark.parametrize("environment", [STORES, EVERY_VARIABLE], ids=["defaults", "every variable"])
def test_settings_survive_the_way_through_a_child_s_environment(environment: dict[str, str]) -> None:
    loaded = load_settings(environment)
    assert load_settings(to_environment(loaded)) == loaded


def test_an_option_of_a_command_goes_before_the_environment() -> None:
    assert load_settings(STORES | {"PORT": "9090"}, port=7070).port == 7070


def test_an_option_is_held_to_the_same_rules() -> None:
    with pytest.raises(SettingsError, match=r"PORT: .* allowed: 1 to 65535"):
        load_settings(STORES, port=0)


def test_space_around_a_value_is_no_part_of_it() -> None:
    assert load_settings(STORES | {"PORT": " 9090\n", "HOST": " ::1 "}).port == 9090


def test_every_setting_is_described_in_the_order_of_the_struct() -> None:
    described = describe_settings()
    assert [name for name, _, _ in described] == [VARIABLES[field] for field in Settings.__struct_fields__]
    assert all(description for _, _, description in described)


def test_the_described_defaults_are_those_that_apply() -> None:
    described = {name: default for name, default, _ in describe_settings()}
    assert {name for name, default in described.items() if default == "required"} == set(STORES)
    assert load_settings(described | STORES) == load_settings(STORES)


@pytest.mark.parametrize("field", [field for field in VARIABLES if field not in {"database_url", "redis_url"}])
def test_only_the_variables_every_program_knows_are_without_prefix(field: str) -> None:
    prefixed = VARIABLES[field].startswith("GOVERNANCE_")
    assert prefixed == (VARIABLES[field] not in {"HOST", "PORT", "WORKERS"})


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_tokens_are_asked_for_unless_that_is_turned_off(host: str) -> None:
    assert load_settings(STORES | {"HOST": host}).asks_for_tokens
    assert load_settings(STORES | {"HOST": host, "GOVERNANCE_AUTH": "on"}).asks_for_tokens
    assert not load_settings(STORES | {"HOST": host, "GOVERNANCE_AUTH": "off"}).asks_for_tokens


def test_what_chose_by_the_address_is_no_choice_any_more() -> None:
    assert "on | off" in refusal(STORES | {"GOVERNANCE_AUTH": "auto"})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_an_address_that_others_reach_is_told_from_one_of_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected
