"""Importing and exporting in tests, without the command."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from service.domain.config_file.read import Mode, read_config_file
from service.domain.sealing import Sealer
from service.governance.config_file.export import export_config
from service.governance.config_file.load import import_config
from service.governance.config_file.outcome import Outcome
from service.store.postgres import Connection


class Files:
    """Configuration files of one database."""

    def __init__(self, connection: Connection, sealer: Sealer, clock: Callable[[], datetime] | None = None) -> None:
        self.connection = connection
        self.sealer = sealer
        self.clock = clock or (lambda: datetime.now(UTC))

    async def export(self, *, with_values: bool = False) -> dict[str, Any]:
        exported = await export_config(self.connection, self.sealer, with_values=with_values)
        document: dict[str, Any] = json.loads(exported.content)
        return document

    async def load(
        self,
        document: Any,
        *,
        dry_run: bool = False,
        mode: Mode | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:
        file = read_config_file(json.dumps(document).encode(), environment=environment or {}, mode=mode)
        return await import_config(self.connection, file, sealer=self.sealer, now=self.clock(), dry_run=dry_run)

    async def changes(self, document: Any, **options: Any) -> list[str]:
        """What an import says it changed."""
        return [str(line) for line in (await self.load(document, **options)).lines]


def governance(**sections: Any) -> dict[str, Any]:
    return {"governance": sections}


def acme(**fields: Any) -> dict[str, Any]:
    """A customer's entry."""
    return {"id": "acme", "name": "Acme", **fields}
