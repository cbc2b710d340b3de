"""The words every table shares (0001_words.sql): one grammar for SQL and Python, and names that can be shown."""

import asyncpg
import pytest
from hypothesis import Phase, given, settings, strategies as st

from service.domain.durations import parse_reset_duration
from service.store.postgres import Connection
from tests.unit.duration_grammar import ACCEPTED, REFUSED

_DIGITS = st.text("0123456789", max_size=12)
_NEARLY_TWO = st.integers(1, 45).map(lambda digits: "1." + "9" * digits)
_NUMBERS = st.builds("{}{}{}".format, _DIGITS, st.sampled_from(["", "", "."]), _DIGITS) | _NEARLY_TWO
_UNITS = st.sampled_from(["ns", "us", "µs", "μs", "ms", "s", "m", "h", "d", "w", "M", "Q", "Y"])
_PARTS = st.builds("{}{}".format, _NUMBERS, _UNITS)
LIKELY_DURATIONS = st.lists(_PARTS, min_size=1, max_size=4).map("".join)
UNLIKELY_DURATIONS = st.text(st.sampled_from("0123456789.nuµμsmhdwMQY- +e\n١"), max_size=12)


def python_length_us(text: str) -> int | None:
    try:
        return parse_reset_duration(text).length_us
    except ValueError:
        return None


async def sql_lengths_us(connection: Connection, texts: list[str]) -> dict[str, int | None]:
    rows = await connection.fetch("SELECT text, reset_duration_us(text) AS us FROM unnest($1::text[]) AS text", texts)
    return {row["text"]: row["us"] for row in rows}


def some(strategy: st.SearchStrategy[str], count: int) -> list[str]:
    """`count` strings of a strategy at once: asking SQL for each in turn would take a round trip each."""
    made: list[str] = []

    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def collect(text: str) -> None:
        made.append(text)

    collect()
    return made


async def test_sql_reads_the_grammar_s_durations_as_python_does(undone: Connection) -> None:
    assert await sql_lengths_us(undone, list(ACCEPTED)) == {text: length for text, (length, _) in ACCEPTED.items()}


async def test_sql_refuses_what_python_refuses(undone: Connection) -> None:
    assert await sql_lengths_us(undone, list(REFUSED)) == dict.fromkeys(REFUSED)


@pytest.mark.parametrize("strategy", [LIKELY_DURATIONS, UNLIKELY_DURATIONS], ids=["likely", "unlikely"])
async def test_sql_and_python_agree_on_any_string(undone: Connection, strategy: st.SearchStrategy[str]) -> None:
    lengths = await sql_lengths_us(undone, some(strategy, 1000))
    assert lengths == {text: python_length_us(text) for text in lengths}


async def test_a_duration_column_refuses_what_the_grammar_does(undone: Connection) -> None:
    assert await undone.fetchval("SELECT '1h30m'::text::reset_duration") == "1h30m"
    with pytest.raises(asyncpg.CheckViolationError):
        await undone.fetchval("SELECT '1 fortnight'::text::reset_duration")


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "Asia/Kolkata", "Etc/GMT+5"],
)
async def test_iana_time_zones_are_admitted(undone: Connection, zone: str) -> None:
    assert await undone.fetchval("SELECT $1::text::time_zone_name", zone) == zone


@pytest.mark.parametrize(
    "zone",
    [
        *("", "utc", "CET", "EST5EDT", "GMT", "Z", "+02:00", "UTC+3", "<+03>-03", "PST8PDT,M3.2.0,M11.1.0"),
        *("europe/berlin", "EUROPE/BERLIN", "Europe/Berlin ", "Europe/Atlantis", "posix/Europe/Berlin"),
        *("Europe/../UTC", "/etc/localtime", "Europe", "Europe/"),
    ],
)
async def test_anything_else_is_no_time_zone(undone: Connection, zone: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await undone.fetchval("SELECT $1::text::time_zone_name", zone)


@pytest.mark.parametrize("domain", ["entity_id", "entity_name"])
@pytest.mark.parametrize("text", ["x", "x" * 255, "ключ 鍵 🔑", "'; DROP TABLE customers; --", " "])
async def test_ids_and_names_may_be_anything_that_can_be_shown(undone: Connection, domain: str, text: str) -> None:
    assert await undone.fetchval(f"SELECT $1::text::{domain}", text) == text


@pytest.mark.parametrize("domain", ["entity_id", "entity_name"])
@pytest.mark.parametrize("text", ["", "x" * 256, "two\nlines", "bell\a", "tab\t", "del\x7f"])
async def test_ids_and_names_that_cannot_be_shown_are_refused(undone: Connection, domain: str, text: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await undone.fetchval(f"SELECT $1::text::{domain}", text)


@pytest.mark.parametrize("text", ["1970-01-02 00:00Z", "2025-06-15 12:30+05:30", "9000-01-01 00:00Z"])
async def test_an_instant_is_one_every_reader_can_hold(undone: Connection, text: str) -> None:
    assert (await undone.fetchval(f"SELECT '{text}'::instant")).tzinfo is not None


@pytest.mark.parametrize("text", ["infinity", "-infinity", "1970-01-01 23:59Z", "9000-01-01 00:01Z", "0044-03-15 BC"])
async def test_an_instant_beyond_a_calendar_is_refused(undone: Connection, text: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await undone.fetchval(f"SELECT '{text}'::instant")


@pytest.mark.parametrize(
    ("items", "is_list"),
    [("{}", True), ("{a}", True), ("{a,b}", True), ("{NULL}", False), ("{a,NULL}", False)],
)
async def test_a_list_is_without_gaps(undone: Connection, items: str, is_list: bool) -> None:
    assert await undone.fetchval(f"SELECT is_list('{items}')") == is_list


async def test_a_list_of_lists_is_refused(undone: Connection) -> None:
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await undone.fetchval("SELECT is_list('{{a},{b}}')")


async def test_every_writer_s_change_is_stamped(undone: Connection) -> None:
    await undone.execute("INSERT INTO customers (id, name, updated_at) VALUES ('c', 'c', '2000-01-01')")
    await undone.execute("UPDATE customers SET name = 'd', updated_at = '2001-01-01'")
    assert await undone.fetchval("SELECT updated_at = now() FROM customers")
