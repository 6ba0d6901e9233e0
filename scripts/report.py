"""Write the report from the records: python scripts/report.py [--results DIR] [--readme FILE]."""

import argparse
import sys

from ffrepro.errors import UserError
from ffrepro.paths import from_root
from ffrepro.report import write_report


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the report (HTML and Markdown) from the records alone.")
    parser.add_argument(
        "--results", default="results", metavar="DIR", help="folder that holds runs/ (from the repository root)"
    )
    parser.add_argument(
        "--readme", metavar="FILE", help="bring the headline numbers in this Markdown page up to date as well"
    )
    options = parser.parse_args()
    try:
        print(write_report(from_root(options.results), readme=from_root(options.readme) if options.readme else None))
    except UserError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
