"""Cases are started as from a file, on the server of these tests."""

from tests.intake.conftest import clients as clients, office as office, temporal as temporal
