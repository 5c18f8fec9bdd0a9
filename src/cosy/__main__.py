"""`python -m cosy` is the command `cosy`; torch's launcher starts it so."""

from cosy.cli.app import main

if __name__ == "__main__":
    main()
