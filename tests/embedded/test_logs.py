from pathlib import Path

from service.embedded.logs import begin_log, log_tail


def test_a_log_over_ten_megabytes_is_emptied_and_a_smaller_one_kept(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    for size_bytes, kept_bytes in ((10_000_000, 10_000_000), (10_000_001, 0)):
        log.write_bytes(b"x" * size_bytes)
        assert begin_log(log) == kept_bytes == log.stat().st_size


def test_the_tail_is_of_this_run_and_short(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("earlier\n")
    since_bytes = begin_log(log)
    with log.open("a") as lines:
        lines.write("now\n")
    assert log_tail(log, since_bytes=since_bytes) == "now"

    with log.open("a") as lines:
        lines.write("x" * 5_000 + " last")
    tail = log_tail(log, since_bytes=since_bytes)
    assert len(tail) == 2_000
    assert tail.endswith(" last")
