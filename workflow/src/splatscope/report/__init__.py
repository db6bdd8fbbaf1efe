"""report: one self-contained HTML page about everything the chain made."""

from splatscope.report.inputs import ReportInputs
from splatscope.report.page import write_report

__all__ = ["ReportInputs", "write_report"]
