"""The policy and the mappings on pages: rules in words, the source line by line, and the trial of a case."""

import html
import re
from pathlib import Path

import pytest

from api.pages.policy import in_words
from intake.mapping.saved_mappings import SavedMappings
from policy.model import GateRules, Level
from tests.api.conftest import Gate as Gateway
from tests.api.pages.visits import hidden


def test_every_rule_of_an_approval_step_is_said_in_words() -> None:
    gate = GateRules(
        when="amount >= limits.manager",
        auto_approve="amount < 5",
        groups=["managers"],
        users=["manager_of(requester)"],
        quorum=2,
        veto=False,
        due="1d",
        remind=["4h", "90m"],
        escalate=[Level(after="2d", to=["directors"], replace=True)],
        expires="14d",
        on_expiry="escalate",
        edit=["due_date"],
        calendar="office",
    )
    said = dict(in_words(gate))
    assert said["Asked"] == "if amount >= limits.manager"
    assert said["Approved by rule"] == "if amount < 5"
    assert said["Who can decide"] == "members of managers, the requester's manager"
    assert said["How many"].startswith("2 approvals. Rejections end it only when")
    assert said["Due"] == "after 1 day of the working time office"
    assert said["Reminders"].startswith("after 4 h of") and "1 h 30 min" in said["Reminders"]
    assert said["Escalation"].endswith("only these can decide: members of directors")
    assert said["Expires"].startswith("after 14 days") and said["Expires"].endswith("then it is rejected")
    assert said["Can be changed"] == "with an approval: due date"
    assert said["Changes requested"].startswith("at most 5 rounds; the requester has 7 days of")
    plain = dict(in_words(GateRules(groups=["managers"])))
    assert (plain["Asked"], plain["Expires"]) == ("for every request", "never")
    assert plain["How many"].startswith("1 approval. One rejection ends it")


async def test_an_auditor_reads_the_policy_in_words_and_line_by_line(stopped: Gateway) -> None:
    auditor = stopped.as_("auditor-1")
    page = html.unescape((await auditor.get("/policy")).text)
    assert "Manager approval" in page and "if amount >= limits.manager" in page and "members of managers" in page
    text = (await auditor.get("/policy/text")).text
    kept = [html.unescape(line) for line in re.findall(r'<li id="L\d+"><code>(.*?)</code></li>', text)]
    assert kept == stopped.settings.policy.read_text().splitlines(), "with its comments"
    line = re.search(r'Manager approval <a class="note" href="/policy/text#L(\d+)"', page)
    assert line is not None and kept[int(line[1]) - 1].strip() == "[payment.gates.manager-approval]"
    hash = re.search(r"/policy/([0-9a-f]{64})", page)
    assert hash is not None
    assert (await auditor.get(f"/policy/{hash[1]}")).status_code == 200
    for path in ("/policy", "/policy/text", "/policy/explain", f"/policy/{hash[1]}"):
        assert (await stopped.as_("operator-1").get(path)).status_code == 404
    assert (await auditor.get(f"/policy/{'0' * 64}")).status_code == 404


async def test_a_case_is_tried_and_the_answer_says_which_steps_it_meets_and_why(stopped: Gateway) -> None:
    auditor = stopped.as_("auditor-1")
    form = (await auditor.get("/policy/explain", params={"process": "payment"})).text
    assert 'name="input.amount"' in form and 'name="fact.score"' in form
    assert 'name="input.memo"' not in form or "memo" in stopped.settings.policy.read_text()
    case = {
        **hidden(form),
        "process": "payment",
        "input.payee": "<b>Northwind</b>",
        "input.amount": "12000",
        "input.currency": "GBP",
        "input.account": "operating",
    }
    page = html.unescape((await auditor.post("/policy/explain", data=case)).text)
    assert (
        "Manager approval: 2 of managers" in page
        and "The approval step opens, because amount >= limits.manager" in page
    )
    assert "Fraud review: depends on facts.score" in page
    known = dict.fromkeys(re.findall(r'name="(fact\.\w+)"', form), "1")
    page = html.unescape((await auditor.post("/policy/explain", data={**case, **known})).text)
    assert "Fraud review: no" in page
    wrong = await auditor.post("/policy/explain", data={**case, "input.amount": "lots"})
    assert wrong.status_code == 422 and 'value="lots"' in wrong.text and 'aria-invalid="true"' in wrong.text
    assert "&lt;b&gt;Northwind" in wrong.text
    assert (await auditor.post("/policy/explain", data={"process": "none"})).status_code == 404


@pytest.mark.parametrize(("person", "status"), [("requester-1", 200), ("auditor-1", 200), ("manager-1", 404)])
async def test_saved_mappings_are_shown_to_those_who_upload_or_oversee(
    stopped: Gateway, person: str, status: int
) -> None:
    answer = await stopped.as_(person).get("/mappings")
    assert answer.status_code == status
    if status == 200:
        assert "council-spending" in answer.text and "Supplier Name" in answer.text


async def test_a_mistake_in_the_file_of_mappings_is_named_on_the_page(
    stopped: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mappings.toml"
    file.write_text('[mappings.mine]\nprocess = "payment"\n\n[mappings.mine.columns]\npayeee = "<i>Supplier"\n')
    choice = stopped.app.state.services.uploads.choice
    monkeypatch.setattr(choice, "saved", SavedMappings(file, choice.saved.targets))
    page = html.unescape((await stopped.as_("requester-1").get("/mappings")).text)
    assert "Holdgate does not use this file until its errors are corrected" in page and "mappings.toml:5:" in page
