"""nginx with one of its configurations in `deploy/nginx/`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gateways.conftest import LLM_KEY, TOKEN
from tests.gateways.programs import DEPLOY, copied, free_port, program, running

NGINX = program("nginx")
_MODULE = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
needs_nginx = pytest.mark.skipif(
    NGINX is None or not _MODULE.exists(), reason="no nginx with njs: apt-get install nginx libnginx-mod-http-js"
)


@asynccontextmanager
async def running_nginx(
    name: str, folder: Path, *, service: int | None, llm: int | None, replaced: Mapping[str, str]
) -> AsyncIterator[int]:
    """Its port; `service` and `llm` are those of what it stands between, `replaced` what else is other."""
    port = free_port()
    ours = {
        "server 127.0.0.1:8080;": f"server 127.0.0.1:{service};",
        "server 127.0.0.1:9000;": f"server 127.0.0.1:{llm};",
        "listen 127.0.0.1:8000;": f"listen 127.0.0.1:{port};",
        "/tmp/governance-nginx": f"{folder}/nginx",
        "worker_processes auto;": "worker_processes 1;",
    }
    configuration = copied(DEPLOY / "nginx" / name, folder, ours | dict(replaced))
    copied(DEPLOY / "nginx" / "governance.js", folder, {})
    command = [str(NGINX), "-e", "stderr", "-c", str(configuration), "-g", "daemon off;"]
    environment = {"GOVERNANCE_TOKEN": TOKEN, "OPENAI_API_KEY": LLM_KEY}
    async with running(command, port=port, folder=folder, environment=environment):
        yield port
