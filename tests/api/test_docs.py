"""The page to browse the API with: whole from this service, and nothing of it from elsewhere."""

import re
from html.parser import HTMLParser

import pytest
from yarl import URL

from tests.conftest import TestApi


class Loaded(HTMLParser):
    """What a page makes a browser load, and whether code stands in the page itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        url = given.get("src") or (given.get("href") if tag == "link" else None)
        if url and not url.startswith("data:"):
            self.urls.append(url)
        self.inline = self.inline or (tag == "script" and "src" not in given) or any(n.startswith("on") for n in given)


async def test_everything_the_page_loads_is_served_here_and_allowed(storeless_api: TestApi) -> None:
    response = await storeless_api.get("/docs")
    assert (response.status, response.content_type) == (200, "text/html")
    page = Loaded()
    page.feed(await response.text())
    assert not page.inline
    assert set(page.urls) == {"docs/swagger-ui.css", "docs/swagger-ui.js", "docs/start.js"}
    for url in page.urls:
        asset = await storeless_api.get(f"/{url}")
        assert asset.status == 200, url
        assert asset.content_type == ("text/css" if url.endswith("css") else "text/javascript")
        assert await asset.read()


async def test_the_page_shows_the_document_of_this_service(storeless_api: TestApi) -> None:
    start = await (await storeless_api.get("/docs/start.js")).text()
    url = re.search(r'url: "([^"]+)"', start)
    assert url is not None
    assert (await storeless_api.get(f"/{url[1]}")).status == 200
    assert "validatorUrl: null" in start
    assert "SwaggerUIBundle" in await (await storeless_api.get("/docs/swagger-ui.js")).text()


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js", "/docs/swagger-ui.js"])
async def test_a_browser_loads_and_sends_nothing_elsewhere(storeless_api: TestApi, path: str) -> None:
    response = await storeless_api.get(path)
    policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not any("http" in source or "*" in source for source in policy.values())
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_only_what_never_changes_is_kept_by_browsers(storeless_api: TestApi) -> None:
    bundle = await storeless_api.get("/docs/swagger-ui.js")
    assert bundle.headers["Cache-Control"] == "public, max-age=86400"
    again = await storeless_api.get("/docs/swagger-ui.js", headers={"If-None-Match": bundle.headers["ETag"]})
    assert again.status == 304
    for path in ("/docs", "/docs/start.js", "/openapi.json", "/docs/nothing"):
        assert (await storeless_api.get(path)).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("asset", ["nothing", "redoc.js", "%2e%2e", "..%2fdocs.py", "%2fetc%2fpasswd", "a%00b"])
async def test_no_other_file_is_served(storeless_api: TestApi, asset: str) -> None:
    response = await storeless_api.get(URL(f"/docs/{asset}", encoded=True))
    assert response.status in (400, 404)


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js", "/docs/swagger-ui.js", "/openapi.json"])
async def test_head_answers_the_head_of_get(storeless_api: TestApi, path: str) -> None:
    get, head = await storeless_api.get(path), await storeless_api.head(path)
    assert (head.status, await head.read()) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
