"""The servers' log files: appended to, emptied when large."""

from pathlib import Path

_LARGEST_LOG_BYTES = 10_000_000
_TAIL_BYTES = 2_000


def size_bytes(log: Path) -> int:
    return log.stat().st_size


def begin_log(log: Path) -> int:
    """Creates the log, or empties one over 10 MB; returns the size at which the new run begins."""
    log.touch(mode=0o600)
    if size_bytes(log) > _LARGEST_LOG_BYTES:
        log.write_bytes(b"")
    return size_bytes(log)


def log_tail(log: Path, *, since_bytes: int) -> str:
    """The last lines written after the first `since_bytes`; at most 2 kB."""
    with log.open("rb") as lines:
        lines.seek(max(since_bytes, size_bytes(log) - _TAIL_BYTES))
        return lines.read(_TAIL_BYTES).decode(errors="replace").strip()
