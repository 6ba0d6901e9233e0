"""The report: results compared with the paper's, made from records alone, byte for byte the same each time."""

from ffrepro.report.write import write_report

__all__ = ["write_report"]
