"""The sample shop: its artefacts match their sources, and its server follows the link."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installed_app import ROOT
from tests.support.shop_app import SHOP, Site, contents, sick

FILES = ROOT / "docs" / "samples" / "files"


def test_building_makes_the_same_bytes_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(SHOP / "build.py"), str(tmp_path)], check=True)
    for name in ("shop", "shop-2"):
        for suffix in (".tar.gz", ".tar.gz.sha256"):
            made, kept = (folder / f"{name}{suffix}" for folder in (tmp_path, FILES))
            assert made.read_bytes() == kept.read_bytes(), (
                f"python docs/samples/shop/build.py makes another {kept.name}"
            )


@pytest.mark.parametrize("folders", [(), ("second",)])
def test_each_release_passes_its_own_tests(tmp_path: Path, folders: tuple[str, ...]) -> None:
    lay(tmp_path, contents(*folders))
    subprocess.run([sys.executable, "-B", "-m", "unittest", "-q"], cwd=tmp_path, check=True, capture_output=True)


def test_the_server_follows_the_link_without_a_restart(tmp_path: Path) -> None:
    for name, files in (("one", contents()), ("two", contents("second")), ("sick", sick())):
        lay(tmp_path / name, files)
    link = tmp_path / "current"
    with Site(link) as site:
        assert site.get("/health")[0] == 503
        for name, title in (
            ("one", "<h1>The shop</h1>"),
            ("two", "<h1>The shop in spring</h1>"),
            ("one", "<h1>The shop<"),
        ):
            new = tmp_path / "new"
            new.symlink_to(name)
            new.replace(link)
            assert site.release == name and title in site.get()[1]
        link.unlink()
        link.symlink_to("sick")
        assert site.get("/health")[0] == 500 and site.get()[0] == 200
    assert not list(tmp_path.rglob("__pycache__"))


def lay(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
