"""One HTML page that shows a data set: made here, looked at in any browser, without a network."""

from toolkit.report.write import ReportOptions, WrittenReport, write_report

__all__ = ["ReportOptions", "WrittenReport", "write_report"]
