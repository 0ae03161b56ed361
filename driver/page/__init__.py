"""The report of a run as one page: timeline, floor plan, roofline, tables; nothing from outside."""

from .page import PageFacts, page_text, write_page

__all__ = ["PageFacts", "page_text", "write_page"]
