"""`python -m elspeth_dagster.cli`: the same as `elspeth`."""

from elspeth_dagster.cli.commands import main

if __name__ == "__main__":
    main()
