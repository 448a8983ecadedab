"""Results for people: tables, reports with pictures, comparisons of two results and summaries of several."""

from occlusionformer.evaluation.reports.comparison import Comparison, compare_results, comparison_page, num_common
from occlusionformer.evaluation.reports.export import csv_text, latex_text, summary_table
from occlusionformer.evaluation.reports.grid import chosen_items, common_items, picture_grid
from occlusionformer.evaluation.reports.labels import labels
from occlusionformer.evaluation.reports.summary import Summary, summarise
from occlusionformer.evaluation.reports.summary_page import summary_page
from occlusionformer.evaluation.reports.table import items_text, markdown_table, table_rows
from occlusionformer.evaluation.reports.writing import write_reports

__all__ = [
    "Comparison",
    "Summary",
    "chosen_items",
    "common_items",
    "compare_results",
    "comparison_page",
    "csv_text",
    "items_text",
    "labels",
    "latex_text",
    "markdown_table",
    "num_common",
    "picture_grid",
    "summarise",
    "summary_page",
    "summary_table",
    "table_rows",
    "write_reports",
]
