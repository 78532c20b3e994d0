"""`python -m solon`."""

from solon.cli.main import main

main()
