"""The HTML report: one self-contained file per run or comparison."""

from simcore.report.page import write_report

__all__ = ["write_report"]
