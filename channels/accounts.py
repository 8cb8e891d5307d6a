"""What people are told of their own accounts: one-time links, new passwords and tokens, changed addresses."""

from channels.message import Text, clean
from domain.moments import weekday_and_time
from domain.notification import AccountNewsKind, AccountNotice, Letter

_SUBJECTS = {
    AccountNewsKind.LINK_ASKED: "Somebody asked for a one-time link for you",
    AccountNewsKind.LINK_READY: "Your one-time link",
    AccountNewsKind.PASSWORD_SET: "Your password was set",
    AccountNewsKind.TOKEN_MADE: "An access token was made for you",
    AccountNewsKind.TOKEN_REVOKED: "An access token of yours was revoked",
    AccountNewsKind.ADDRESS_SET: "Your e-mail address was changed",
    AccountNewsKind.SUBSTITUTE_NAMED: "Somebody decides in your place while you are away",
    AccountNewsKind.ADMIN_ADDED: "There is a new administrator",
    AccountNewsKind.MEMBER_ADDED: "A group has a new member",
}
_UNKNOWN = "If you do not expect this, tell an administrator at once."


def text(letter: Letter, news: AccountNotice, url: str) -> Text:
    """The message, as plain text. `url` is where the gateway is reached."""
    said = [f"Hello {clean(letter.name)},", *_sentences(letter, news, url), _UNKNOWN]
    said.append(f"--\nWhat happened to your account: {url}/settings#account\nNobody can turn these messages off.")
    return Text(f"Holdgate: {_SUBJECTS[news.kind]}", "\n\n".join(said) + "\n", html="")


def _sentences(letter: Letter, news: AccountNotice, url: str) -> list[str]:
    by = "you" if news.by == letter.person else clean(news.by)
    about, when = clean(news.about), weekday_and_time(news.at, year=True)
    match news.kind:
        case AccountNewsKind.LINK_ASKED:
            return [f"{by} asked for a one-time link for you on {when}. Another administrator has to confirm it."]
        case AccountNewsKind.LINK_READY:
            whose = f"{about} asked for it, and {by} confirmed it" if about else f"It was sent by {by}"
            return [f"A one-time link for your account can be used from {when} on. {whose}.", *_link(news.code, url)]
        case AccountNewsKind.PASSWORD_SET:
            return [f"The password of your account was set by {by} on {when}. You are signed out of all browsers."]
        case AccountNewsKind.TOKEN_MADE:
            return [f"An access token was made by {by} on {when}: {about}."]
        case AccountNewsKind.TOKEN_REVOKED:
            return [f"{by} revoked {f'your access token {about}' if about else 'your access tokens'} on {when}."]
        case AccountNewsKind.ADDRESS_SET:
            return [f"The e-mail address of your account was changed by {by} on {when}. Mail goes to the new one."]
        case AccountNewsKind.SUBSTITUTE_NAMED:
            return [f"{about} decides in your place while you are away. {by} said so on {when}."]
        case AccountNewsKind.ADMIN_ADDED:
            return [f"{by} made {about} an administrator on {when}."]
        case AccountNewsKind.MEMBER_ADDED:
            return [f"{by} added a member to a group on {when}. Group and member: {about}."]


def _link(code: str | None, url: str) -> list[str]:
    """The secret stands behind a #, where no server, proxy or log sees it."""
    if code is None:
        return []
    return [
        "Open it to set a password, or to get an access token. It works once, within 24 hours:",
        f"    {url}/link#{code}",
        f"If nothing happens, open {url}/link and paste this code:",
        f"    {code}",
        "Looking at the page changes nothing. Give the code to nobody: no administrator needs it.",
    ]
