"""Results for people: a table, a report with pictures, and two methods side by side."""

from occlusionformer.evaluation.reports.comparison import Comparison, compare_results, comparison_page
from occlusionformer.evaluation.reports.table import markdown_table, table_rows
from occlusionformer.evaluation.reports.writing import write_reports

__all__ = ["Comparison", "compare_results", "comparison_page", "markdown_table", "table_rows", "write_reports"]
