"""The running product signs its audit log, and an auditor verifies an evidence pack with nothing but Python."""

import stat
import subprocess
import sys
import time
from pathlib import Path

from tests.support.in_process_command_line import Run
from tests.support.installed_app import Product


def test_a_case_is_proven_to_an_auditor_who_has_the_public_key_and_a_copy(
    product: Product, run: Run, tmp_path: Path
) -> None:
    payment = {"payee": "Acme", "amount": "12.00", "currency": "GBP", "account": "operating"}
    new = {"process": "payment", "reference": "PROVEN-1", "input": payment}
    with product.client("requester-1", timeout=60) as client:
        case_id = client.post("/cases", json=new).json()["case_id"]
        deadline = time.monotonic() + 60
        while client.get(f"/cases/{case_id}").json()["status"] != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    pack = tmp_path / "evidence.zip"
    made = run("audit", "pack", "--case", case_id, "--out", str(pack))
    assert made.code == 0, made.err
    key = run("audit", "key").out.strip()
    assert key.startswith(f"localhost:{product.environment['HOLDGATE_PORT']}/record+")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(pack), str(tmp_path / "pack")], check=True)
    bare = [sys.executable, "-I", "-S", str(tmp_path / "pack" / "verify.py"), "--key", key]
    said = subprocess.run(bare, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, ""), said.stdout
    assert run("audit", "verify-pack", str(pack), "--key", key).out == said.stdout

    with product.client("manager-1") as client:
        answer = client.get("/audit/checkpoint")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    copy = tmp_path / "copy.note"
    copy.write_text(answer.text)
    checked = run("audit", "verify", "--checkpoint", str(copy), "--key", key)
    assert checked.code == 0 and "were compared" in checked.out, checked.out
    for path in (*(product.folder / "keys").iterdir(), *(product.folder / "checkpoints").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
