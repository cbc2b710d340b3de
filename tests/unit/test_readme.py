"""The README says what the program says."""

from tests.unit.readme_settings import README, settings_table, table_in


def test_the_readme_s_table_of_settings_is_that_of_the_settings() -> None:
    assert table_in(README.read_text()) == settings_table(), "python -m tests.unit.readme_settings writes it"
