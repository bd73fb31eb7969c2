"""`python -m tinytensor`: the same as the `tinytensor` command."""

import sys

from tinytensor.cli import main

if __name__ == "__main__":
    sys.exit(main())
