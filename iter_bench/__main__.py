"""`python -m iter_bench` is the command `iter-bench`."""

import sys

from iter_bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
