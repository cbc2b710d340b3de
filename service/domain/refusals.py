"""Why a request is not done: what a client can mend, in words it may read."""

from typing import Literal

RefusalKind = Literal["invalid", "not_found", "conflict", "stale", "too_large"]


class RefusedError(Exception):
    """`path` is where in the body the fault is, as in `$.budgets[0].max_limit`; nothing was changed."""

    def __init__(self, kind: RefusalKind, message: str, *, path: str | None = None) -> None:
        super().__init__(message if path is None else f"{path}: {message}")
        self.kind = kind
        self.message = message
        self.path = path


def invalid(path: str, message: str) -> RefusedError:
    return RefusedError("invalid", message, path=path)


def not_found(message: str) -> RefusedError:
    return RefusedError("not_found", message)


def conflict(message: str, *, path: str | None = None) -> RefusedError:
    return RefusedError("conflict", message, path=path)
