"""Measure time and memory of training on this machine: python scripts/benchmark.py --help."""

import sys

from ffrepro.commands.benchmark import main

if __name__ == "__main__":  # the memory benchmark starts a process that imports this file
    sys.exit(main())
