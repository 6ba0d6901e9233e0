"""Choose the learning rates of a table's rows on held-out data: python scripts/learning_rates.py table4 --help."""

import sys

from ffrepro.commands.learning_rates import main

sys.exit(main())
