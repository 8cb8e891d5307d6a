"""The directory over HTTP: what an onboarding did to an account, for people who oversee it."""

from tests.api.conftest import Gate


async def test_who_oversees_sees_an_account_from_its_hold_to_its_entitlements(gate: Gate) -> None:
    asked = {"full_name": "Grace Hopper", "manager": "manager-1"}
    body = {"process": "user_onboarding", "reference": "IT-API-1", "input": asked}
    started = await gate.post("requester-1", "/cases", body)
    assert started.status_code == 201, started.text
    case_id = started.json()["case_id"]
    task = await gate.open_task(case_id)
    assert task["key_fields"]["Username"] == "grace.hopper"
    held = (await gate.get("hr-1", "/directory/accounts/grace.hopper")).json()
    assert (held["active"], held["disabled_at"], held["entitlements"]) == (False, None, [])
    assert (await gate.decide("manager-2", task)).status_code == 404
    assert (await gate.decide("manager-1", task)).status_code == 200
    await gate.until(case_id, lambda case: case["status"] == "completed")
    used = (await gate.get("hr-1", "/directory/accounts/Grace.Hopper")).json()
    assert (used["active"], used["case_id"], used["role"]) == (True, case_id, "employee")
    assert [(each["entitlement"], each["revoked_at"]) for each in used["entitlements"]] == [
        ("mail", None),
        ("wiki", None),
    ]
    assert (await gate.get("hr-1", "/directory/accounts/nobody.here")).status_code == 404
    for person in ("requester-1", "operator-1", "auditor-1"):
        assert (await gate.get(person, "/directory/accounts/grace.hopper")).status_code == 404
        assert person == "requester-1" or (await gate.get(person, f"/tasks/{task['task_id']}")).status_code == 404


async def test_a_name_that_makes_no_username_needs_a_username(gate: Gate) -> None:
    body = {"process": "user_onboarding", "reference": "IT-API-2", "input": {"full_name": "李雷"}}
    wrong = await gate.post("requester-1", "/cases", body)
    assert wrong.status_code == 422 and "username" in wrong.text and "ada.lovelace" in wrong.text
