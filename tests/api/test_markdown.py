"""Markdown of requesters on the pages of reviewers is formatted and cannot do harm."""

import pytest

from api.services.markdown import to_html


def test_headings_lists_tables_and_links_are_formatted() -> None:
    made = to_html(
        "# Hall\n\n**two** ~~three~~ days\n\n- a\n- b\n\n|x|y|\n|-|-|\n|1|2|\n\n[plan](https://example.org/p)"
    )
    for part in ("<h3>Hall</h3>", "<strong>two</strong>", "<s>three</s>", "<li>a</li>", "<td>1</td>"):
        assert part in made
    assert '<a href="https://example.org/p" rel="noopener noreferrer nofollow">plan</a>' in made


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](https://spy.example/p.png)",
        "![x](javascript:alert(1))",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](vbscript:x)",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<javascript:alert(1)>",
        "[x]: javascript:alert(1)\n\n[x]",
        '[x](https://a.example "onmouseover=alert(1)")',
        "<iframe src=https://spy.example></iframe>",
        "<a href='javascript:alert(1)'>x</a>",
        "<style>body{display:none}</style>",
        "<form action=/tasks/1/decide method=post><button>x</button></form>",
        "`<script>alert(1)</script>`",
        "```\n<script>alert(1)</script>\n```",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
    ],
)
def test_nothing_in_a_text_runs_sends_or_loads(attack: str) -> None:
    made = to_html(attack).lower()
    for forbidden in ("<script", "<img", "<iframe", "<style", "<form", "<button", 'href="javascript', 'href="vbscript'):
        assert forbidden not in made
    assert 'href="data:' not in made and " onerror" not in made.split("&lt;")[0] and "onmouseover" not in made


def test_a_text_of_many_brackets_is_done_soon() -> None:
    assert to_html("[" * 20_000)
    assert to_html("> " * 10_000 + "x")
