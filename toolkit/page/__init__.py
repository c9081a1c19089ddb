"""What the offline HTML pages share: look, packed data, and clips that play.  Others fill them."""

from toolkit.page.frames import describe_drawing, pack_clips
from toolkit.page.packing import Pack
from toolkit.page.write import Page, check_place, fill_page, write_page

__all__ = [
    "Pack",
    "Page",
    "check_place",
    "describe_drawing",
    "fill_page",
    "pack_clips",
    "write_page",
]
