"""Tables of people and how they sign in."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, false

from store.tables.base import Instant, metadata

people = Table(
    "people",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("email", String(254), nullable=True),
    # The former address, which is notified of changes for some days; and who set the present one, when.
    Column("former_email", String(254), nullable=True),
    Column("email_set_by", String(200), nullable=True),
    Column("email_set_at", Instant, nullable=True),
    Column("manager", String(200), nullable=True),
    Column("time_zone", String(60), nullable=True),
    Column("successor", String(200), nullable=True, index=True),  # for a person who has left: the successor
    Column("demo", Boolean, nullable=False, server_default=false()),  # created by the demo; see `demo_people`
    Column("kind", String(10), nullable=False, server_default="person"),  # person | service
    Column("erased_at", Instant, nullable=True),  # everything about the person was erased; the id stays, a pseudonym
)

absences = Table(
    "absences",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("starts_at", Instant, primary_key=True),
    Column("ends_at", Instant, nullable=False),
    Column("substitute", ForeignKey("people.id"), nullable=True, index=True),
    # 0: open gates were not notified; 1: they were; 2: so were gates that opened at the same moment.
    Column("begin_told", Integer, nullable=False, server_default="0"),
    Column("end_told", Integer, nullable=False, server_default="0"),
)
"""Who is out of office, when, and who decides in their place."""

memberships = Table(
    "memberships",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("group_name", String(60), primary_key=True),
    Column("added_by", String(200), nullable=True),
    Column("added_at", Instant, nullable=True),
    Column("provider", String(10), nullable=True),  # oidc | scim, for a membership that an identity provider gives
    Index("ix_memberships_group", "group_name", "person"),
)

provided_groups = Table(
    "provided_groups",
    metadata,
    Column("group_name", String(60), primary_key=True),
    Column("provider", String(10), nullable=False),  # oidc | scim
    Column("since", Instant, nullable=False),
)
"""Groups whose members an identity provider sets. Nobody can be added to such a group here."""

tokens = Table(
    "tokens",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of a 256-bit random token: no salt needed
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("label", String(60), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant, nullable=True),
    Column("scopes", JSON, nullable=True),  # a list of scopes; null: everything that the person may do
    Column("expires_at", Instant, nullable=True),  # null: until it is revoked
)

token_uses = Table(
    "token_uses",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("last_used_at", Instant, nullable=False),  # at most one minute old while the token is used
)
"""When each token was last used. Apart from `tokens`, so that no request writes a sealed row."""

service_accounts = Table(
    "service_accounts",
    metadata,
    Column("account", ForeignKey("people.id"), primary_key=True),  # its row in `people` has the kind `service`
    Column("scopes", JSON, nullable=False),  # the most that a token of the account may have
    Column("expires_at", Instant, nullable=True),  # the latest end of a token of the account; null: no end
    Column("created_by", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
)

service_account_owners = Table(
    "service_account_owners",
    metadata,
    Column("account", ForeignKey("people.id"), primary_key=True),
    Column("owner", ForeignKey("people.id"), primary_key=True, index=True),
)
"""The people who answer for a service account. An account without an active owner is suspended."""

passwords = Table(
    "passwords",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("hash", Text, nullable=False),  # argon2id, with its parameters and salt
    Column("temporary", Boolean, nullable=False),  # another person chose it: must be changed at the next sign-in
    Column("changed_at", Instant, nullable=False),
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("passkey_id", String(64), primary_key=True),  # SHA-256 of the credential id, which may have 1,023 bytes
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("domain", String(253), nullable=False),  # browsers offer the passkey to pages of this domain only
    Column("credential_id", Text, nullable=False),  # base64url, as browsers write it
    Column("public_key", Text, nullable=False),  # COSE, as base64url
    Column("sign_count", BigInteger, nullable=False),  # of the last use; 0 for authenticators that do not count
    Column("user_handle", String(100), nullable=False),  # random; the authenticator stores it in place of the person
    Column("name", String(60), nullable=False),
    Column("transports", JSON, nullable=False),
    Column("device_type", String(20), nullable=False),  # single_device | multi_device
    Column("backed_up", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant, nullable=True),
    Column("removed_at", Instant, nullable=True),  # the row stays, so that nobody can add the same passkey again
)
"""Public keys with which people sign in and confirm decisions. The private keys stay in the people's devices."""

passkey_challenges = Table(
    "passkey_challenges",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of the random challenge
    Column("person", ForeignKey("people.id"), nullable=True, index=True),  # who adds a passkey; none for a sign-in
    Column("user_handle", String(100), nullable=True),
    Column("expires_at", Instant, nullable=False, index=True),
)
"""Challenges that a browser has and has not answered. Each is deleted with its answer."""

sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("key", String(64), primary_key=True),  # SHA-256: the text typed as a name may be a password
    Column("number", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),  # no attempt before this time
)
"""Failed attempts to sign in by password, by name, until an attempt succeeds."""

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of a 256-bit random token
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("way", String(20), nullable=False),  # password | passkey | token | demo | oidc | link
    Column("agent", String(200), nullable=False),  # the User-Agent of the browser
    Column("zone", String(60), nullable=True),  # the browser's time zone
    Column("begun_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    # For a sign-in with an identity provider: who the provider says this is, and its own session.
    Column("issuer", String(500), nullable=True),
    Column("subject", String(255), nullable=True),
    Column("provider_session", String(255), nullable=True, index=True),
    # When the person last entered a password or used a device for this sign-in, as the provider says.
    Column("proved_at", Instant, nullable=True),
    # What began it: a token's hash, a digest of a password's hash, or the id of a passkey. The session ends with it.
    Column("credential", String(64), nullable=True, index=True),
)
"""Browser sessions of signed-in people."""

identities = Table(
    "identities",
    metadata,
    Column("issuer", String(500), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("connected_by", String(200), nullable=False),
    Column("connected_at", Instant, nullable=False),
    Column("signed_in_at", Instant, nullable=True),  # the last sign-in; none yet for one connected by an administrator
    Column("groups_read_at", Instant, nullable=True),  # when the provider last said the groups; none: it never did
    Column("reading_until", Instant, nullable=True),  # until then, one gateway reads them again
    Column("encrypted_tokens", Text, nullable=True),  # of the last sign-in, see `core/secret_box.py`
)
"""Accounts of identity providers, each with the person to whom it belongs."""

logout_tokens = Table(
    "logout_tokens",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of issuer and `jti`
    Column("expires_at", Instant, nullable=False, index=True),
)
"""Logout tokens of identity providers that were used, so that none is used twice."""

one_time_links = Table(
    "one_time_links",
    metadata,
    Column("link_id", String(40), primary_key=True),
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("way", String(8), nullable=False),  # mail | halves | terminal
    Column("status", String(10), nullable=False),  # waiting | open | used | void | withdrawn
    Column("asked_by", String(200), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("confirmed_by", String(200), nullable=True),
    Column("confirmed_at", Instant, nullable=True),
    Column("closed_by", String(200), nullable=True),
    Column("closed_at", Instant, nullable=True),
    # SHA-256 of the secret, or of its two halves. The secret of a mail is created while it is sent and stored nowhere.
    Column("hash", String(64), nullable=True, unique=True),
    Column("second_hash", String(64), nullable=True),
    Index("ix_one_time_links_status", "status", "asked_at"),
)
"""Links with which people set their own password or get a token."""

failed_sign_ins = Table(
    "failed_sign_ins",
    metadata,
    Column("key", String(210), primary_key=True),  # a person, or one of two totals
    Column("hour", Instant, primary_key=True),
    Column("number", Integer, nullable=False),
)
"""Numbers of failed sign-ins in an hour. With these numbers, many attempts do not become as many audit events."""

preferences = Table(
    "preferences",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
)
"""A person's display settings for the pages."""
