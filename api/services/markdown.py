"""Render Markdown that requesters wrote as safe HTML, without raw HTML, images and scripts.

Two steps make the HTML safe. The parser escapes raw HTML and refuses links such as `javascript:`. A second step keeps
only harmless elements of the parser's output. Images are removed: a browser would load a remote image from its server,
which would learn who reads the task, and when.
"""

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
_TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_HEADINGS = str.maketrans("123456", "345666")
"""The new level of each level of heading.

The page itself uses the first two levels, so headings in a text begin at the third.
"""


def to_html(text: str) -> Markup:
    """Return a Markdown text as HTML that is safe to show on a page."""
    tokens = _PARSER.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = token.tag.translate(_HEADINGS)
    made = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return Markup(
        nh3.clean(
            made,
            tags=_TAGS,
            attributes={"*": set(), "a": {"href"}, "ol": {"start"}},
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    )
