"""Settings of single sign-on: what is accepted, and the error that names the setting."""

from datetime import timedelta
from typing import Any

import pytest

from core import settings
from core.settings import PREFIX, Settings, WrongSettings

COMPLETE = {"oidc_issuer": "https://login.example.org", "oidc_client_id": "holdgate"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.mark.parametrize(
    "table",
    [
        '{"Finance managers": "managers", "IT": ["admins", "operators"]}',
        '{"Finance managers" = "managers", IT = ["admins", "operators"]}',
        ' {"Finance managers" = "managers", "IT" = ["admins", "operators"]} ',
    ],
)
def test_the_table_of_groups_is_json_or_an_inline_table(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    monkeypatch.setenv("HOLDGATE_OIDC_GROUPS", table)
    found = settings.load(**COMPLETE).oidc_groups
    assert found == {"Finance managers": ("managers",), "IT": ("admins", "operators")}


@pytest.mark.parametrize(
    ("age", "lasts"),
    [("900", timedelta(minutes=15)), ("15m", timedelta(minutes=15)), (" 2 h ", timedelta(hours=2)), ("0", timedelta())],
)
def test_the_age_of_groups_is_a_number_with_or_without_a_unit(age: str, lasts: timedelta) -> None:
    assert settings.load(oidc_groups_age=age).groups_age == lasts


@pytest.mark.parametrize("issuer", ["https://a.example/realms/x", "http://127.0.0.1:9000", "http://localhost:8080/"])
def test_the_issuer_stays_as_it_is_written(issuer: str) -> None:
    found = settings.load(**COMPLETE | {"oidc_issuer": issuer})
    assert found.oidc_issuer == issuer
    assert found.oidc_label in issuer and "/" not in found.oidc_label


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"oidc_issuer": "http://login.example.org"},
        "HOLDGATE_OIDC_ISSUER=http://login.example.org: must begin with https",
    ),
    ({"oidc_issuer": "login.example.org"}, "HOLDGATE_OIDC_ISSUER=login.example.org: must be a URL"),
    ({"oidc_issuer": "https://login.example.org?a=b"}, "without a query"),
    ({"oidc_issuer": "https://login.example.org:port"}, "must be a URL"),
    ({"oidc_issuer": "https://user:hidden@login.example.org"}, "without a password"),
    ({"oidc_client_id": None}, "HOLDGATE_OIDC_ISSUER needs HOLDGATE_OIDC_CLIENT_ID"),
    ({"oidc_audience": "holdgate"}, "HOLDGATE_OIDC_AUDIENCE must differ from HOLDGATE_OIDC_CLIENT_ID"),
    ({"oidc_issuer": None}, "HOLDGATE_OIDC_CLIENT_ID needs HOLDGATE_OIDC_ISSUER"),
    ({"oidc_issuer": None, "oidc_client_id": None, "passwords": "off"}, "HOLDGATE_PASSWORDS=off needs HOLDGATE_OIDC"),
    ({"passwords": "off", "demo": True}, "HOLDGATE_PASSWORDS=off: HOLDGATE_DEMO is on"),
    ({"passwords": "maybe"}, "HOLDGATE_PASSWORDS=maybe"),
    ({"oidc_scopes": "email profile"}, "must contain the scope openid"),
    ({"oidc_groups_age": "soon"}, "HOLDGATE_OIDC_GROUPS_AGE=soon: must be a number of seconds"),
    ({"oidc_groups": "managers"}, "HOLDGATE_OIDC_GROUPS=managers: must be a table"),
    ({"oidc_groups": '{"IT": "No Group"}'}, "IT: 'No Group' is no group"),
    ({"oidc_groups": '{"IT": 5}'}, "IT: must be the name of a group"),
    ({"oidc_groups": '["managers"]'}, "must be a table"),
]


@pytest.mark.parametrize(("values", "said"), WRONG)
def test_a_wrong_setting_is_named_with_what_to_do(values: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongSettings) as wrong:
        settings.load(**{"demo": False, **COMPLETE, **values})
    assert said in str(wrong.value) and "hidden" not in str(wrong.value)


def test_the_secret_of_the_client_is_never_shown() -> None:
    found = settings.load(**COMPLETE, oidc_client_secret="hidden")
    assert "hidden" not in repr(found)
