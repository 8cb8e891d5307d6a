"""The compose file and the image follow our rules. No container runs here, but the scripts of the jobs do."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml
from temporalio.testing import WorkflowEnvironment

from core.oidc_settings import OidcSettings
from core.settings import PREFIX, Settings
from ops import bootstrap
from store.db.database import migrate
from tests.support import postgres
from tests.support.installed_app import ROOT
from tests.support.temporal import TEMPORAL

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "config" / "Dockerfile").read_text()
CONTAINERS = ROOT / "docs" / "operate" / "containers.md"
OF_THE_GATEWAY = {
    *(f"{PREFIX}{name.upper()}" for name in OidcSettings.model_fields),
    "HOLDGATE_SECRETS_KEY",
    "HOLDGATE_SCIM_TOKEN",
    "HOLDGATE_RATE_LIMITS",
    "HOLDGATE_OUTBOUND_ALLOW",
}
"""What only the gateway needs, and no other service gets."""
OPTIONAL = OF_THE_GATEWAY | {
    "HOLDGATE_PUBLIC_URL",
    "HOLDGATE_PASSKEY_DOMAIN",
    "HOLDGATE_PAYLOAD_KEYS",
    "HOLDGATE_CHANNELS",
    "HOLDGATE_SMTP_URL",
    "HOLDGATE_MAIL_FROM",
}
"""What need not be set: there is a way to go on without."""
NOT_IN_THE_IMAGE = {"tests", "scripts"}


SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
BUILT = {name for name, service in SERVICES.items() if "build" in service}
JOBS = {
    on
    for service in SERVICES.values()
    for on, how in service.get("depends_on", {}).items()
    if how["condition"] == "service_completed_successfully"
}


# --------------------------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize("name", SERVICES)
def test_every_folder_of_a_key_belongs_to_the_user_of_the_image(name: str) -> None:
    folders = {volume.split(":")[1] for volume in SERVICES[name].get("volumes", []) if "-key" in volume}
    missing = {folder for folder in folders if not re.search(rf"{folder}\s", DOCKERFILE)}
    assert not missing, "a new volume on a folder that is not in the image belongs to root"


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_to_a_version(name: str) -> None:
    _, colon, tag = SERVICES[name]["image"].partition(":")
    assert colon and re.match(r"\d+\.\d+", tag), SERVICES[name]["image"]


def test_the_base_of_our_image_is_pinned_and_runs_the_python_we_test_with() -> None:
    assert re.findall(r"^FROM (.*)$", DOCKERFILE, re.MULTILINE) == ["python:3.11.13-slim-bookworm"]


def test_server_and_tools_of_temporal_have_one_version() -> None:
    versions = {
        s["image"].partition(":")[2] for s in SERVICES.values() if re.search("/(server|admin-tools):", s["image"])
    }
    assert len(versions) == 1


KEY_FILES = (
    "HOLDGATE_SIGNING_KEY",
    "HOLDGATE_WORKER_KEY",
    "HOLDGATE_TRUSTED_KEYS",
    "HOLDGATE_RECORD_KEY",
    "HOLDGATE_SECRETS_KEY",
)


def test_each_program_mounts_only_its_own_private_key() -> None:
    mounted = {
        name: sorted(volume for volume in service.get("volumes", []) if "key" in volume)
        for name, service in SERVICES.items()
    }
    assert {name: volumes for name, volumes in mounted.items() if volumes} == {
        "keys": [
            "gateway-key:/var/lib/holdgate-gateway-key",
            "payload-keys:/var/lib/holdgate-payload-keys",
            "record-key:/var/lib/holdgate-record-key",
            "trusted-keys:/var/lib/holdgate-trusted-keys",
            "worker-key:/var/lib/holdgate-worker-key",
        ],
        "gateway": [
            "gateway-key:/var/lib/holdgate-gateway-key:ro",
            "payload-keys:/var/lib/holdgate-payload-keys:ro",
            "secrets-key:/var/lib/holdgate-secrets-key",
            "trusted-keys:/var/lib/holdgate-trusted-keys:ro",
        ],
        "worker": [
            "payload-keys:/var/lib/holdgate-payload-keys:ro",
            "record-key:/var/lib/holdgate-record-key:ro",
            "trusted-keys:/var/lib/holdgate-trusted-keys:ro",
            "worker-key:/var/lib/holdgate-worker-key:ro",
        ],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_comes_from_a_variable_that_must_be_set(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if variable in KEY_FILES:
            assert value.startswith("/var/lib/holdgate-"), f"{variable}: {value}"
        elif re.search("PASSWORD|PWD|TOKEN|KEY(?!_DOMAIN)|SECRET|DATABASE_URL", variable):
            needed = "-" if variable in OPTIONAL else r"\?[^}]+"
            assert re.search(rf"\$\{{[A-Z_]+:{needed}\}}", value), f"{variable}: {value}"
    optional = set(re.findall(r"\$\{([A-Z_]+)(?::?-|\})", COMPOSE.read_text()))
    assert optional <= OPTIONAL, "a variable with a default, or without a guard"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_waits_names_its_condition(name: str) -> None:
    for on, how in SERVICES[name].get("depends_on", {}).items():
        match how["condition"]:
            case "service_healthy":
                assert "test" in SERVICES[on]["healthcheck"]
            case "service_completed_successfully":
                assert SERVICES[on].get("restart", "no") == "no", f"{on} would never complete"
            case other:
                raise AssertionError(f"{name} waits for {on} to be {other}")


def test_only_the_gateway_and_the_web_ui_can_be_reached_and_only_from_this_machine() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"gateway", "ui"}
    assert all(port.startswith("127.0.0.1:") for name in ("gateway", "ui") for port in SERVICES[name]["ports"])


def test_the_web_ui_cannot_end_a_case() -> None:
    assert SERVICES["ui"]["environment"]["TEMPORAL_DISABLE_WRITE_ACTIONS"] == "true"


def test_whatever_runs_on_is_started_again_and_says_how_it_is() -> None:
    for name in SERVICES.keys() - JOBS:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert SERVICES[name]["logging"]["options"]["max-size"], "a log that grows for ever fills the disk"
        assert SERVICES[name]["deploy"]["resources"]["limits"]["memory"], "one that leaks takes all others with it"
    # Those without: the Web UI keeps nothing, the gateway brings its check in the image, nobody waits for a backup.
    without = {name for name in SERVICES.keys() - JOBS if "healthcheck" not in SERVICES[name]}
    assert without == {"ui", "gateway", "backup"}
    assert "HEALTHCHECK" in DOCKERFILE
    assert SERVICES["worker"]["environment"]["HOLDGATE_WORKER_METRICS"].endswith(":9464")
    assert ":9464/" in SERVICES["worker"]["healthcheck"]["test"][-1]


def test_there_are_two_workers_so_that_one_may_die() -> None:
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


def test_all_state_lies_in_named_volumes_and_the_worker_sees_the_uploads() -> None:
    named = set(yaml.safe_load(COMPOSE.read_text())["volumes"])
    mounts = {name: service["volumes"] for name, service in SERVICES.items() if "volumes" in service}
    assert {mount.partition(":")[0] for each in mounts.values() for mount in each} == named
    assert mounts["gateway"][0] == mounts["worker"][0] == "state:/var/lib/holdgate"


def test_our_settings_are_spelled_right_and_the_gateway_has_those_of_workers() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in BUILT:
        ours = {each for each in SERVICES[name]["environment"] if each.startswith(PREFIX)}
        assert ours <= known
    gateway, worker = SERVICES["gateway"]["environment"], SERVICES["worker"]["environment"]
    assert gateway.items() >= worker.items()
    assert gateway.keys() - worker.keys() == OF_THE_GATEWAY, "a setting of single sign-on that containers cannot get"
    assert set(re.findall(rf"{PREFIX}\w+(?==)", DOCKERFILE)) <= known


def test_neither_the_image_nor_the_compose_file_has_a_demo_and_their_settings_are_taken_together() -> None:
    ours = dict(re.findall(rf"({PREFIX}\w+)=(\S+)", DOCKERFILE))
    assert ours[f"{PREFIX}DEMO"] == "0"
    for name in BUILT:
        given = {**ours, **SERVICES[name]["environment"]}
        plain = {k.removeprefix(PREFIX).lower(): v for k, v in given.items() if k.startswith(PREFIX) and "$" not in v}
        for public_url in ("http://127.0.0.1:8000", "https://holdgate.example.org"):
            assert not Settings(**plain, public_url=public_url).demo


def test_the_image_holds_every_room_and_runs_as_nobody_in_particular() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - NOT_IN_THE_IMAGE
    copied = " ".join(re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)).split()
    assert rooms <= set(copied)
    assert {path.name for path in ROOT.glob("*.py")} - {"conftest.py"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
    assert "--require-hashes" in DOCKERFILE
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["holdgate"]


def test_nothing_secret_is_sent_to_who_builds_the_image_and_nothing_it_needs_is_held_back() -> None:
    ignored = set((ROOT / "config" / "Dockerfile.dockerignore").read_text().split("\n"))
    assert {".env", ".git", "var"} <= ignored
    copied = " ".join(re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)).split()
    assert not ignored & set(copied)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not on PATH")
def test_docker_compose_takes_the_file_and_not_without_its_secrets() -> None:
    secrets = dict.fromkeys(re.findall(r"\$\{(\w+):", COMPOSE.read_text()), "s3cret")
    for environment, code in ((secrets, 0), ({}, 1)):
        asked = ["docker-compose", "-f", str(COMPOSE), "config", "-q"]
        done = subprocess.run(asked, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True)
        assert done.returncode == code, done.stderr


def test_the_file_is_as_the_compose_specification_says(tmp_path: Path) -> None:
    check = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text("services: {a: {imagine: b}}")
    for file, code in ((COMPOSE, 0), (wrong, 1)):
        done = subprocess.run([*check, str(file)], capture_output=True, text=True)
        assert done.returncode == code, done.stdout


# ----------------------------------------------------------------------------------------------- what the jobs would do


def script(name: str) -> str:
    """The script of a job as its shell gets it."""
    (text,) = SERVICES[name]["command"]
    return str(text).replace("$$", "$")


def ran(text: str, **environment: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-euc", text],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def own_postgres() -> Iterator[str]:
    """The URL of a server to which nothing was done yet."""
    if postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    with postgres.server() as server:
        yield server.url()


def test_the_databases_are_made_once_each_for_its_owner(own_postgres: str) -> None:
    url, programs = urlsplit(own_postgres), postgres.programs()
    assert programs is not None
    text = script("databases").replace("-h postgres -U postgres", f"-h 127.0.0.1 -p {url.port} -U holdgate -d postgres")
    for _ in range(2):
        ran(text.replace("psql", str(programs / "psql")), TEMPORAL_DB_PASSWORD="it's", HOLDGATE_DB_PASSWORD="b")
    where = f"127.0.0.1:{url.port}"
    # What the schema of Temporal's visibility needs.
    with psycopg.connect(f"postgresql://temporal@{where}/temporal_visibility", autocommit=True) as connection:
        connection.execute("CREATE EXTENSION btree_gin")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(f"postgresql://temporal@{where}/holdgate")
    migrate(f"postgresql://holdgate@{where}/holdgate")


def test_the_nightly_backup_of_each_database_can_be_restored(own_postgres: str, tmp_path: Path) -> None:
    url, programs = urlsplit(own_postgres), postgres.programs()
    assert programs is not None
    with psycopg.connect(own_postgres, autocommit=True) as connection:
        for name in ("temporal", "temporal_visibility", "holdgate"):
            connection.execute(f"CREATE DATABASE {name}".encode())
    migrate(f"postgresql://holdgate@127.0.0.1:{url.port}/holdgate")
    old = tmp_path / "holdgate-2020-01-01.dump"
    old.touch()
    os.utime(old, (0, 0))
    # The first night comes at once; the second, when the old one is gone, ends the loop.
    night = f'sleep() {{ test -e {old} || exit 0; test "$1" -gt 0; }}\n'
    there = f"-h 127.0.0.1 -p {url.port} -U holdgate"
    text = script("backup").replace("-h postgres -U postgres", there).replace("/backups", str(tmp_path))
    ran(night + text.replace("pg_dump", str(programs / "pg_dump")))
    made = sorted(path.name.rpartition("-20")[0] for path in tmp_path.iterdir())
    assert made == ["holdgate", "temporal", "temporal_visibility"]
    (dump,) = tmp_path.glob("holdgate-2*.dump")
    with psycopg.connect(f"postgresql://holdgate@127.0.0.1:{url.port}/holdgate", autocommit=True) as connection:
        connection.execute("DROP TABLE chain CASCADE")
        (told,) = re.findall(r"pg_restore -h postgres -U postgres (.*) /backups", CONTAINERS.read_text())
        ran(f"{programs / 'pg_restore'} {there} {told} {dump}")
        assert connection.execute("SELECT count(*) FROM chain").fetchone() == (1,)


async def test_the_namespace_is_prepared_as_make_up_wants_it(tmp_path: Path) -> None:
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=TEMPORAL) as server:
        address = server.client.service_client.config.target_host
        text = script("temporal-prepare").replace("temporal operator", f"{TEMPORAL} operator")
        for _ in range(2):
            ran(text, TEMPORAL_ADDRESS=address, HOME=str(tmp_path))
        await bootstrap.verify(server.client)
