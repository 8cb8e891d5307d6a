"""Render Markdown of requesters as safe HTML, without raw HTML, images and scripts.

There are two guards. The parser escapes HTML and refuses links such as `javascript:`. Its output is then cleaned to a
list of harmless elements. Images are left out: a remote image would tell its server who reads the task, and when.
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
"""A page has its own first two levels of headings, so text headings begin at the third."""


def to_html(text: str) -> Markup:
    """Return the text as HTML that is safe on a page."""
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
