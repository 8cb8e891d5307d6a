"""The key that signs messages in tests, and the signatures that a worker in a test believes."""

from datetime import UTC, datetime

from activities.engine.signatures import Signatures
from domain.moments import FIRST_MOMENT
from domain.proof.keys import KeyRegistry, Role, SigningKey
from workflows.engine.signatures import verify_updates_with

TEST_KEY = SigningKey.of_bytes(b"holdgate tests: never a real key")
"""The private key of tests. Everybody can read this key, so no real registry must contain its public key."""
TEST_KEYS = KeyRegistry([TEST_KEY.trusted(Role.GATEWAY, FIRST_MOMENT)])


def trust_test_key() -> Signatures:
    """Make the Workflows of this process believe messages that are signed with the key of tests.

    Return the object whose activity a worker needs, to verify Signals.
    """
    signatures = Signatures(lambda: TEST_KEYS, lambda: datetime.now(UTC))
    verify_updates_with(signatures)
    return signatures
