"""What is wrong with a file, and what of it is not used: each with its path."""

import msgspec

from service.domain.refusals import RefusedError


class Finding(msgspec.Struct, frozen=True):
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class Findings(msgspec.Struct, frozen=True):
    """Faults stop an import; warnings do not."""

    faults: list[Finding] = []
    warnings: list[Finding] = []

    def refuse(self, path: str, message: str) -> None:
        self.faults.append(Finding(path, message))

    def refuse_as(self, error: RefusedError, path: str) -> None:
        """At the error's own path, or at `path` when it has none."""
        self.refuse(error.path or path, error.message)

    def warn(self, path: str, message: str) -> None:
        self.warnings.append(Finding(path, message))

    def stop_at_faults(self) -> None:
        """Raises FaultyFileError when there is any."""
        if self.faults:
            raise FaultyFileError(self)


class FaultyFileError(Exception):
    """The file cannot be imported; nothing was changed."""

    def __init__(self, findings: Findings) -> None:
        super().__init__("\n".join(map(str, findings.faults)))
        self.findings = findings
