"""Headers the deployment asks of every call."""

import msgspec
import pytest

from service.settings import Settings
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, decided


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, required_headers='{"X-Team": "*", "x-env": "prod|dev-[0-9]+"}')


# Headers, and the refusal's message.
REFUSED: tuple[tuple[dict[str, str] | None, str], ...] = (
    (None, "missing required headers: X-Team, x-env"),
    ({"x-team": "a"}, "missing required headers: x-env"),
    ({"x-env": "test"}, "missing required headers: X-Team; invalid required headers: x-env"),
    ({"x-team": "", "X-ENV": "dev-"}, "invalid required headers: x-env"),
    ({"x-team": "a", "x-env": "prod\n"}, "invalid required headers: x-env"),
)


async def test_all_that_are_missing_or_wrong_are_named_before_the_key_is_looked_at(gateway: Gateway) -> None:
    for headers, message in REFUSED:
        answer = await gateway.authorize(headers=headers)
        assert (*decided(answer), answer["message"]) == ("missing_required_headers", 400, message)


async def test_a_call_that_has_them_goes_on(gateway: Gateway, make: Factory) -> None:
    await make.virtual_key(value=VALUE, allow_all_providers=True)
    assert decided(await gateway.authorize(headers={"x-team": "", "X-Env": "dev-7"})) == ("allow", 200)
