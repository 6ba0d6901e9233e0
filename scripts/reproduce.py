"""Run the rows of a table and write the report: python scripts/reproduce.py table1 --help."""

import sys

from ffrepro.commands.reproduce import main

sys.exit(main())
