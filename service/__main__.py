"""`python -m service` is the `governance` command."""

from service.cli import main

main(prog_name="governance")
