"""Find or download the data sets, and check them: python scripts/fetch_data.py [mnist fashion_mnist …]."""

import sys

from ffrepro.commands.fetch_data import main

sys.exit(main())
