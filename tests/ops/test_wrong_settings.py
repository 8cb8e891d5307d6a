"""Each mistake in the configuration: exit code 2, one line that says what to change, nothing left running."""

import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from plugins.scaffold import make
from tests.support import forked
from tests.support.installed_app import Product, free_port


def attempt(folder: Path, **environment: str) -> tuple[int, list[str]]:
    """Exit code of an `up` that cannot work, and the lines of its complaint."""
    product = Product(folder, **environment)
    ended = forked.run("ops.up", environment=product.environment)
    assert "Traceback" not in ended.stdout + ended.stderr
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or [])
    ]
    assert not left
    return ended.returncode, ended.stderr.strip().splitlines()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.mark.parametrize("setting", ["HOLDGATE_PORT", "HOLDGATE_TEMPORAL_PORT", "HOLDGATE_UI_PORT"])
def test_a_taken_port(tmp_path: Path, taken: int, setting: str) -> None:
    assert attempt(tmp_path, **{setting: str(taken)}) == (
        2,
        [f"holdgate: port {taken} is taken: stop the program that listens there, or set {setting} to a free port"],
    )


def test_one_port_for_two_things(tmp_path: Path) -> None:
    port = str(free_port())
    code, lines = attempt(tmp_path, HOLDGATE_PORT=port, HOLDGATE_UI_PORT=port)
    assert code == 2
    assert lines == [
        f"holdgate: port {port} is taken: stop the program that listens there, or set HOLDGATE_UI_PORT to a free port"
    ]


def test_an_address_this_machine_does_not_have(tmp_path: Path) -> None:
    code, lines = attempt(tmp_path, HOLDGATE_HOST="192.0.2.1", HOLDGATE_DEMO="0")
    assert code == 2
    assert len(lines) == 1
    assert lines[0].endswith("change HOLDGATE_HOST or HOLDGATE_PORT")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "var"
    assert attempt(tmp_path, HOLDGATE_VAR=str(folder)) == (
        2,
        [
            f"holdgate: the folder {folder} cannot be written (Not a directory): "
            "set HOLDGATE_VAR to a folder that you can write"
        ],
    )


def test_a_folder_another_run_holds(tmp_path: Path) -> None:
    with (tmp_path / "up.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write("4711")
        other.flush()
        code, lines = attempt(tmp_path)
    assert code == 2
    assert lines == [
        f"holdgate: Holdgate is already running on {tmp_path} (pid 4711): "
        "stop it first, or set HOLDGATE_VAR to another folder"
    ]


def test_a_temporal_address_where_nothing_answers(tmp_path: Path) -> None:
    port = free_port()
    code, lines = attempt(tmp_path, TEMPORAL_ADDRESS=f"127.0.0.1:{port}")
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"holdgate: no Temporal server answers at 127.0.0.1:{port} (correct TEMPORAL_ADDRESS, ")


def test_a_policy_with_a_mistake_names_file_line_and_key(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.touch(mode=0o600)
    policy.write_text('[payment.gates.manager-approval]\ngroups = ["managers"]\nquorom = 2\n')
    code, lines = attempt(tmp_path, HOLDGATE_POLICY=str(policy))
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"holdgate: {policy}:3: payment.gates.manager-approval.quorom: ")


def test_a_policy_that_is_not_there(tmp_path: Path) -> None:
    policy = tmp_path / "nowhere.toml"
    code, lines = attempt(tmp_path, HOLDGATE_POLICY=str(policy))
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"holdgate: {policy}")


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    code, lines = attempt(tmp_path, HOLDGATE_PORT="http", HOLDGATE_DEMO="maybe")
    assert code == 2
    assert [line.partition(":")[0] for line in lines] == ["holdgate", "HOLDGATE_DEMO=maybe"]
    assert lines[0].startswith("holdgate: HOLDGATE_PORT=http: Input should be a valid integer")


@pytest.mark.parametrize(
    "url", ["mysql://root:hunter2@localhost/holdgate", "postgresql://root:hunter2@127.0.0.1:1/holdgate", "sqlite://"]
)
def test_an_unusable_database_is_reported_without_its_password(tmp_path: Path, url: str) -> None:
    code, lines = attempt(tmp_path, HOLDGATE_DATABASE_URL=url)
    assert code == 2
    assert lines[0].startswith("holdgate: the database cannot be used (HOLDGATE_DATABASE_URL): ")
    assert "hunter2" not in "".join(lines)


def test_a_plugin_with_mistakes(tmp_path: Path) -> None:
    claim = make("expense_claim", tmp_path / "mine")
    init, process = claim / "__init__.py", claim / "process.py"
    good = process.read_text()
    process.write_text(good.replace(', "note": "Note"', "").replace('"approval": ', '"board": '))
    assert attempt(tmp_path, HOLDGATE_PROCESSES=str(tmp_path / "mine")) == (
        2,
        [
            f"holdgate: {process}: Words.labels has no label for the field 'note': add one",
            f"{process}: Words.gates has no sentence for 'approval'",
        ],
    )
    process.write_text(good)
    init.write_text(init.read_text().replace("Book(folder)", "Book(folder / 'nowhere')"))
    code, (line,) = attempt(tmp_path, HOLDGATE_PROCESSES=str(tmp_path / "mine"))
    assert code == 2 and line.startswith(f"holdgate: {init}: equip({tmp_path}/processes/expense_claim) fails: ")
    (claim / "policy.toml").write_text("[expense_claim]\nround = 3\n")
    init.write_text(init.read_text().replace("folder / 'nowhere'", "folder"))
    code, lines = attempt(tmp_path, HOLDGATE_PROCESSES=str(tmp_path / "mine"))
    assert code == 2 and lines[0].startswith(f"holdgate: {claim}/policy.toml:2: expense_claim.round: unknown key; ")


def test_a_folder_of_processes_that_is_not_there(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert attempt(tmp_path, HOLDGATE_PROCESSES=str(nowhere)) == (
        2,
        [f"holdgate: HOLDGATE_PROCESSES={nowhere}: there is no such folder: create it, or correct the setting"],
    )


@pytest.mark.parametrize("command", ["up", "api"])
def test_a_language_without_texts(tmp_path: Path, command: str) -> None:
    ended = forked.run("cli", command, environment=Product(tmp_path, HOLDGATE_LOCALE="fr").environment)
    lines = ended.stderr.strip().splitlines()
    assert (ended.returncode, len(lines)) == (2, 1)
    assert "HOLDGATE_LOCALE=fr: set a language" in lines[0] and "messages.po cannot be read (No such file" in lines[0]


@pytest.mark.parametrize("command", ["api", "worker", "people"])
def test_a_database_of_another_kind_stops_each_program_before_it_serves(tmp_path: Path, command: str) -> None:
    product = Product(tmp_path, HOLDGATE_DATABASE_URL="mysql://root:hunter2@localhost/holdgate")
    arguments = [command, "list"] if command == "people" else [command]
    ended = forked.run("cli", *arguments, environment=product.environment)
    assert ended.returncode == 2 and "hunter2" not in ended.stdout + ended.stderr
    assert "HOLDGATE_DATABASE_URL: 'mysql' is not supported" in ended.stderr and "Traceback" not in ended.stderr


def test_a_gateway_with_an_unreadable_configuration_of_temporal_says_so_in_one_line(tmp_path: Path) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text("x = [")
    product = Product(tmp_path, TEMPORAL_CONFIG_FILE=str(profile))
    ended = forked.run("cli", "api", environment=product.environment)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("the Temporal SDK's configuration cannot be read: ")


@pytest.mark.parametrize("command", ["up", "api", "worker", "migrate"])
def test_each_program_warns_of_a_variable_that_is_not_a_setting(tmp_path: Path, command: str) -> None:
    product = Product(tmp_path, HOLDGATE_LOCAL="fr", HOLDGATE_CHANNELS="pigeon")  # a wrong channel: none goes on
    ended = forked.run("cli", command, environment=product.environment)
    assert ended.stderr.count("HOLDGATE_LOCAL is not a setting; is HOLDGATE_LOCALE meant?") == 1, ended


@pytest.mark.parametrize("command", ["up", "api", "worker", "migrate"])
@pytest.mark.parametrize(
    "reachable", [{"HOLDGATE_HOST": "0.0.0.0"}, {"HOLDGATE_PUBLIC_URL": "https://holdgate.example.org"}]
)
def test_a_demo_that_others_could_reach_is_started_by_nothing(
    tmp_path: Path, command: str, reachable: dict[str, str]
) -> None:
    product = Product(tmp_path, **reachable)
    ended = forked.run("cli", command, environment=product.environment)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2, said
    assert "Traceback" not in said
    (name,) = reachable
    assert f"{name}={reachable[name]}: " in said and "Set HOLDGATE_DEMO=0, or set " in said
    assert not (tmp_path / "holdgate.db").exists()


def test_payload_keys_that_do_not_exist(tmp_path: Path) -> None:
    code, (line,) = attempt(tmp_path, HOLDGATE_PAYLOAD_KEYS=str(tmp_path / "absent.toml"))
    assert code == 2 and line.startswith(f"holdgate: HOLDGATE_PAYLOAD_KEYS={tmp_path}/absent.toml: the file does not")
