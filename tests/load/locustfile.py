"""Load for a deployment of your own, with a gateway's mix: authorize, call, report; now and then an operator reads.

`pip install -e '.[load]'`, then

    GOVERNANCE_TOKEN=… GOVERNANCE_VIRTUAL_KEYS=sk-bf-…,sk-bf-… locust -f tests/load/locustfile.py --host https://…

Locust itself takes about a millisecond of a core for each request: for the most a deployment can do use
`python -m tests.load --url …`.
"""

import logging
import os
import random
from typing import Any
from uuid import uuid4

from locust import FastHttpUser, between, task

from tests.load.bodies import AUTHORIZE, USAGE, authorize_body, usage_body

_TOKEN = os.environ.get("GOVERNANCE_TOKEN", "")
_VIRTUAL_KEYS = [value for value in os.environ.get("GOVERNANCE_VIRTUAL_KEYS", "").split(",") if value]
_HEADERS = {"Authorization": f"Bearer {_TOKEN}"} if _TOKEN else {}

if not _VIRTUAL_KEYS:
    logging.getLogger(__name__).warning("GOVERNANCE_VIRTUAL_KEYS is not set: no calls are made, only operators read")


class Gateway(FastHttpUser):
    """Asks before each call, and reports after it."""

    abstract = not _VIRTUAL_KEYS
    wait_time = between(0.0, 0.1)
    weight = 50

    @task
    def call(self) -> None:
        value, request_id = random.choice(_VIRTUAL_KEYS), uuid4().hex
        decision = self._post(AUTHORIZE, authorize_body(value, request_id))
        if decision.get("allowed"):
            self._post(USAGE, usage_body(value, request_id))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self.client.post(path, json=body, headers=_HEADERS, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{path} answered {response.status_code}")
                return {}
            response.success()
            answer: dict[str, Any] = response.json()
            return answer


class Operator(FastHttpUser):
    """Looks at a page of customers."""

    wait_time = between(1.0, 5.0)
    weight = 1

    @task
    def read(self) -> None:
        offset = 25 * random.randrange(4)
        self.client.get(f"/api/governance/customers?limit=25&offset={offset}", headers=_HEADERS, name="customers")
