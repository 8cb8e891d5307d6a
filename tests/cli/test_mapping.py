"""The commands of column mappings."""

import json
from pathlib import Path

import pytest

from cli import mapping
from cli.common import CommandError
from tests.support.in_process_command_line import Run


def test_a_suggested_mapping_is_printed_as_it_is_saved(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "June 2027.csv"
    file.write_text("Trans No;Suplier Name;Net Amount (£)\n1;Acme;1,50\n")
    said = run("mapping", "suggest", str(file))
    assert said.code == 0
    assert "# 'Suplier Name' stands for payee, as it is close to 'supplier name'" in said.out
    (tmp_path / "mappings.toml").write_text(said.out)
    monkeypatch.setenv("HOLDGATE_MAPPINGS", str(tmp_path / "mappings.toml"))
    assert run("mapping", "check").out.strip().endswith("is valid; mappings: 1")
    listed = json.loads(run("mapping", "list", "--json").out)
    assert listed["june-2027"]["columns"]["payee"] == ["Suplier Name"]
    assert "june-2027 (payment): reference = Trans No" in run("mapping", "list").out


def test_a_mistake_in_mappings_names_its_line_and_key(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[mappings.a]\nprocess = "payment"\nnegativ = "skip"\n')
    said = run("mapping", "check", str(wrong))
    assert said.code == 1
    assert "wrong.toml:3: is not a key of a mapping; is 'negative' meant? (mappings.a.negativ)" in said.err
    assert run("mapping", "check", str(tmp_path / "absent.toml")).code == 2


def test_a_file_that_no_mapping_helps_is_said_to_be_so(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "colours.csv"
    file.write_text("name,colour\nx,red\n")
    said = run("mapping", "suggest", str(file))
    assert said.code == 1 and "these headings are missing: reference, amount" in said.err
    assert run("mapping", "suggest", str(file), "--process", "alchemy").code == 1


def test_a_mapping_to_submit_with_is_a_name_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[mappings.mine]\nprocess = "payment"\nnegative = "skip"\n')
    assert mapping.mapping_to_send("council-spending") == "council-spending"
    assert json.loads(mapping.mapping_to_send(str(file)) or "") == {"negative": "skip"}
    file.write_text('{"negative": "skip"}')
    assert json.loads(mapping.mapping_to_send(str(file)) or "") == {"negative": "skip"}
    file.write_text("[mappings.one]\n[mappings.two]\n")
    with pytest.raises(CommandError, match="has 2 mappings"):
        mapping.mapping_to_send(str(file))
