"""Reports as one HTML file that needs nothing beside it: tables, pictures and curves. No torch, no numpy."""

from occlusionformer.reporting.chart import line_chart
from occlusionformer.reporting.page import Section, page
from occlusionformer.reporting.pieces import figure, gallery, table, text
from occlusionformer.reporting.views import PictureBox, case, view

__all__ = ["PictureBox", "Section", "case", "figure", "gallery", "line_chart", "page", "table", "text", "view"]
