"""An id in the path: any text that could be one is looked for, anything else is refused."""

from urllib.parse import quote

import pytest
from yarl import URL

from service.http.contract import API
from tests.conftest import TestApi
from tests.factories import Factory


@pytest.mark.parametrize("team_id", ["a/b", "a b", "100%", "%41", "a?b#c", "é", "团队", "🙂", "a+b", "a;b", "x" * 255])
async def test_any_text_may_be_an_id(api: TestApi, make: Factory, team_id: str) -> None:
    await make.team(id=team_id)
    response = await api.get(URL(f"{API}/teams/{quote(team_id, safe='')}", encoded=True))
    assert response.status == 200
    assert (await response.json())["team"]["id"] == team_id


@pytest.mark.parametrize("team_id", ["%00", "a%0ab", "%7f", "%c2%85", "%ff", "x" * 256])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_what_is_no_text_is_refused(storeless_api: TestApi, method: str, team_id: str) -> None:
    response = await storeless_api.request(method, URL(f"{API}/teams/{team_id}", encoded=True), json={})
    assert response.status == 400
    assert "team_id" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "TRACE"])
async def test_an_empty_id_is_no_route(storeless_api: TestApi, method: str) -> None:
    assert (await storeless_api.request(method, f"{API}/teams/")).status == 404
