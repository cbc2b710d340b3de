"""nginx with one worker, serving bytes from a file: as fast as an answer can be that is never computed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.load import cores
from tests.load.bench import Bench, Service
from tests.load.programs import free_port, responds, running

# One process: the only worker is the one that is pinned.
_CONFIG = """
daemon off;
master_process off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  open_file_cache max=16;
  keepalive_requests 1000000000;
  default_type application/json;
  client_body_temp_path {folder}/nginx_body;
  proxy_temp_path {folder}/nginx_proxy;
  fastcgi_temp_path {folder}/nginx_fastcgi;
  uwsgi_temp_path {folder}/nginx_uwsgi;
  scgi_temp_path {folder}/nginx_scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/nginx_root; }}
}}
"""


@contextmanager
def nginx(bench: Bench, body: bytes) -> Iterator[Service]:
    """Runs on the service's core; every deployment's bytes are at /body."""
    port = free_port()
    root = bench.folder / "nginx_root"
    root.mkdir(exist_ok=True)
    (root / "body").write_bytes(body)
    config = bench.folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_CONFIG.format(folder=bench.folder, port=port, user=user))
    with running(
        ["nginx", "-c", config], cores=cores.SERVICE, log=bench.log("nginx"), answers=responds(port, "/body")
    ) as process:
        yield Service(f"http://127.0.0.1:{port}", "", None, process.pid)
