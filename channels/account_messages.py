"""Write messages to people about their own accounts: one-time links, passwords, passkeys, tokens, addresses,
substitutes, new administrators and members of groups.
"""

from channels.message import MessageText, clean
from domain.moments import weekday_and_time
from domain.notification import AccountNewsKind, AccountNotice, Letter

_SUBJECTS = {
    AccountNewsKind.LINK_ASKED: "One-time link requested for you",
    AccountNewsKind.LINK_READY: "Your one-time link",
    AccountNewsKind.PASSWORD_SET: "Your password was set",
    AccountNewsKind.PASSKEY_ADDED: "A passkey was added to your account",
    AccountNewsKind.PASSKEY_REMOVED: "Your passkey was removed",
    AccountNewsKind.PASSKEY_COPIED: "Your passkey may have been copied",
    AccountNewsKind.IDENTITY_CONNECTED: "Another account can sign in as you",
    AccountNewsKind.IDENTITY_DISCONNECTED: "An account can no longer sign in as you",
    AccountNewsKind.LINK_PRINTED: "A link was made that signs in as you",
    AccountNewsKind.TOKEN_MADE: "An access token was created for you",
    AccountNewsKind.TOKEN_REVOKED: "Your access token was revoked",
    AccountNewsKind.OWNER_NAMED: "You are an owner of a service account",
    AccountNewsKind.ACCOUNT_SUSPENDED: "A service account is suspended",
    AccountNewsKind.ADDRESS_SET: "Your e-mail address was changed",
    AccountNewsKind.SUBSTITUTE_NAMED: "You have a substitute while you are out of office",
    AccountNewsKind.ADMIN_ADDED: "There is a new administrator",
    AccountNewsKind.MEMBER_ADDED: "A group has a new member",
}
_UNKNOWN = "If you do not recognise this change, tell an administrator at once."


def text(letter: Letter, news: AccountNotice, url: str) -> MessageText:
    """Return the message as plain text. `url` is the address of the gateway."""
    said = [f"Hello {clean(letter.name)},", *_sentences(letter, news, url), _UNKNOWN]
    said.append(f"--\nAccount activity: {url}/settings#account\nThese messages cannot be turned off.")
    return MessageText(f"Holdgate: {_SUBJECTS[news.kind]}", "\n\n".join(said) + "\n", html="")


def _sentences(letter: Letter, news: AccountNotice, url: str) -> list[str]:
    by = "You" if news.by == letter.person else clean(news.by)
    about, when = clean(news.about), weekday_and_time(news.at, year=True)
    match news.kind:
        case AccountNewsKind.LINK_ASKED:
            return [f"{by} requested a one-time link for you on {when}. Another administrator must confirm the link."]
        case AccountNewsKind.LINK_READY:
            whose = f"{about} requested the link, and {by} confirmed the link" if about else f"{by} sent the link"
            return [f"Your one-time link is valid from {when}. {whose}.", *_link(news.code, url)]
        case AccountNewsKind.PASSWORD_SET:
            return [f"{by} set the password of your account on {when}. You are signed out of all browsers."]
        case AccountNewsKind.PASSKEY_ADDED:
            return [
                f"{by} added a passkey to your account on {when}: {about}. This passkey can sign in to your account."
            ]
        case AccountNewsKind.PASSKEY_REMOVED:
            return [f"{by} removed the passkey {about} from your account on {when}."]
        case AccountNewsKind.PASSKEY_COPIED:
            return [
                f"Holdgate refused your passkey {about} on {when}, because its counter went back. "
                "There may be a copy of the passkey. Remove the passkey in your settings, and add a new passkey."
            ]
        case AccountNewsKind.IDENTITY_CONNECTED:
            return [f"{by} connected an account of {about} on {when}. This account can sign in as you."]
        case AccountNewsKind.IDENTITY_DISCONNECTED:
            return [f"{by} disconnected your account of {about} on {when}. It can no longer sign in as you."]
        case AccountNewsKind.LINK_PRINTED:
            return [f"{by} made a link on the server on {when}. The link signs in as you, once."]
        case AccountNewsKind.TOKEN_MADE:
            return [f"{by} created an access token for your account on {when}: {about}."]
        case AccountNewsKind.TOKEN_REVOKED:
            return [f"{by} revoked {f'your access token {about}' if about else 'your access tokens'} on {when}."]
        case AccountNewsKind.OWNER_NAMED:
            return [
                f"{by} made you an owner of the service account {about} on {when}. You answer for what the account "
                "requests: you count as requester, so you do not decide these requests."
            ]
        case AccountNewsKind.ACCOUNT_SUSPENDED:
            return [
                f"The service account {about} is suspended since {when}, because its last owner has left. "
                "Its tokens are refused until you name an active person as owner, on the page People."
            ]
        case AccountNewsKind.ADDRESS_SET:
            return [f"{by} changed the e-mail address of your account on {when}. Mail now goes to the new address."]
        case AccountNewsKind.SUBSTITUTE_NAMED:
            return [f"{about} is your substitute while you are out of office. {by} set the substitute on {when}."]
        case AccountNewsKind.ADMIN_ADDED:
            return [f"{by} made {about} an administrator on {when}."]
        case AccountNewsKind.MEMBER_ADDED:
            return [f"{by} added a member to a group on {when}. Group and member: {about}."]


def _link(code: str | None, url: str) -> list[str]:
    """Return the lines with the address of a one-time link; no lines if `code` is None.

    The secret follows a `#` in the address, so that browsers send the secret to no server, proxy or log.
    """
    if code is None:
        return []
    return [
        "Open the link to set a password or to get an access token. The link works once, within 24 hours:",
        f"    {url}/link#{code}",
        f"If the link does not work, open {url}/link and paste this code:",
        f"    {code}",
        "Opening the page changes nothing. Keep the code secret: no administrator needs the code.",
    ]
