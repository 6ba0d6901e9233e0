"""Write the report from the records: python scripts/report.py [--results DIR]."""

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
    try:
        print(write_report(from_root(parser.parse_args().results)))
    except UserError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
