"""What Bifrost added to the wire after the seed document: each field's path and kind."""

BUDGET = {
    "id": "string",
    "max_limit": "number",
    "reset_duration": "string",
    "last_reset": "date-time",
    "current_usage": "number",
    "override_amount": "number",
    "override_mode": "string",
    "override_cycles_remaining": "number",
    "override_cycles_total": "number",
    "override_anchor_reset": "date-time",
    "reset_config.quarter_start_month": "number",
    "config_hash": "string",
    "created_at": "date-time",
    "updated_at": "date-time",
}
RATE_LIMIT = {
    "token_current_usage": "number",
    "request_current_usage": "number",
    "token_last_reset": "date-time",
    "request_last_reset": "date-time",
    "config_hash": "string",
    "created_at": "date-time",
    "updated_at": "date-time",
}
OWNER = {
    "calendar_aligned": "boolean",
    "max_parallel_requests": "number",
    "rate_limit_id": "string",
    "rate_limit": "object",
    "budgets": "array",
}
VIRTUAL_KEY = {
    "expires_at": "date-time",
    "allow_all_providers": "boolean",
    "metadata": "object",
    "disable_content_logging": "boolean",
    "delete_after_expire": "boolean",
    "created_by_user_id": "string",
    "rotated_at": "date-time",
    "previous_value_expires_at": "date-time",
    "provider_configs[].virtual_key_id": "string",
    "provider_configs[].blacklisted_models": "array",
    "provider_configs[].blacklisted_models[]": "string",
    "provider_configs[].allow_all_keys": "boolean",
    "provider_configs[].keys": "array",
    "provider_configs[].keys[].id": "string",
    "provider_configs[].keys[].provider": "string",
    "provider_configs[].rate_limit_id": "string",
    "mcp_configs[].virtual_key_id": "string",
    "mcp_configs[].mcp_client_id": "number",
}
CUSTOMER, TEAM, KEY = "customers[]", "customers[].teams[]", "customers[].virtual_keys[]"


def under(path: str, fields: dict[str, str]) -> dict[str, str]:
    return {f"{path}.{name}": kind for name, kind in fields.items()}


LATER_FIELDS = {
    "total_count": "number",
    "limit": "number",
    "offset": "number",
    f"{CUSTOMER}.virtual_key_count": "number",
    f"{TEAM}.virtual_key_count": "number",
    **under(KEY, VIRTUAL_KEY),
}
for _path, _owner_id in ((CUSTOMER, "customer_id"), (TEAM, "team_id"), (KEY, "virtual_key_id")):
    LATER_FIELDS |= under(_path, OWNER)
    LATER_FIELDS |= under(f"{_path}.budgets[]", BUDGET | {_owner_id: "string"})
    LATER_FIELDS |= under(f"{_path}.rate_limit", RATE_LIMIT)
LATER_FIELDS |= under(f"{KEY}.provider_configs[].budgets[]", BUDGET | {"provider_config_id": "number"})
LATER_FIELDS |= under(f"{KEY}.provider_configs[].rate_limit", RATE_LIMIT | {"token_max_limit": "number"})
