"""Releases on disk: each key has one effect, each undo is exact, and one case holds an app at a time."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from activities.deployment.releases import KeyState, Releases
from domain.errors import Refused, Trouble
from tests.support.shop_app import contents, put

APP = "shop"
LATE = "This step was undone before it was done"


class Shop:
    """Releases of one app, and words for what a case does with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "apps" / APP
        self.releases = Releases(folder / "apps")
        self.artefact = folder / "shop.tar.gz"
        self.sha256 = put(folder, "shop", contents())

    def unpack(self, case: str) -> str:
        return self.releases.unpack(f"{case}/unpack", case, APP, self.opened).release

    @contextmanager
    def opened(self) -> Iterator[tuple[IO[bytes], str]]:
        with self.artefact.open("rb") as file:
            yield file, self.sha256

    def remove(self, case: str) -> bool:
        return self.releases.remove(f"{case}/unpack", case, APP)

    def hold(self, case: str, release: str) -> None:
        self.releases.hold(f"{case}/hold", case, APP, release)

    def free(self, case: str) -> bool:
        return self.releases.free(f"{case}/hold", case, APP)

    def switch(self, case: str, release: str) -> KeyState:
        return self.releases.switch(f"{case}/switch", case, APP, release)

    def back(self, case: str) -> bool:
        return self.releases.switch_back(f"{case}/switch", case, APP)

    def finish(self, case: str, release: str, keep: int = 5) -> KeyState:
        return self.releases.finish(f"{case}/finish", case, APP, release, keep)

    def deploy(self, case: str, keep: int = 5) -> str:
        release = self.unpack(case)
        self.hold(case, release)
        self.switch(case, release)
        self.finish(case, release, keep)
        return release

    @property
    def live(self) -> str | None:
        return self.releases.live(APP)

    @property
    def kept(self) -> list[str]:
        return [path.name for path in (self.folder / "releases").iterdir()]

    def state(self, key: str) -> KeyState:
        (found,) = (each for each in self.releases.entries(APP) if each.key == key)
        return found

    def half(self, key: str) -> None:
        """As a process leaves a key that is killed between writing it down and taking note that it is done."""
        entry = self.state(key)
        (path,) = (each for each in (self.folder / "journal").iterdir() if f'"{key}"' in each.read_text())
        path.write_text(entry.model_copy(update={"state": "begun"}).model_dump_json())


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


# ------------------------------------------------------------------------------------------------------------ unpacking


def test_a_release_is_unpacked_once_however_often_its_key_comes(shop: Shop) -> None:
    release = shop.unpack("a")
    assert release.startswith(shop.sha256[:12] + "-")
    shop.artefact.unlink()
    assert shop.unpack("a") == release and shop.kept == [release]
    assert (shop.folder / "releases" / release / "app.py").read_bytes() == contents()["app.py"]


def test_two_cases_with_one_artefact_have_a_release_each(shop: Shop) -> None:
    assert len({shop.unpack("a"), shop.unpack("b")}) == 2 == len(shop.kept)


def test_eight_attempts_at_once_unpack_one_release(shop: Shop) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: _once_more(lambda: shop.unpack("a")), range(8)))
    assert len(set(made)) == 1 and shop.kept == [made[0]]
    assert len(shop.releases.entries(APP)) == 1


def _once_more(attempt: Callable[[], str]) -> str:
    """As the server does: an attempt whose half-written files another one has cleared away is tried again."""
    try:
        return attempt()
    except OSError:
        return attempt()


def test_another_sha256_is_refused_and_leaves_nothing(shop: Shop) -> None:
    shop.sha256 = "0" * 64
    with pytest.raises(Refused, match=r"has the SHA-256 \w{64}, and 0{64} was asked for"):
        shop.unpack("a")
    assert shop.kept == [] and shop.releases.entries(APP) == []


@pytest.mark.undoes("remove_release")
def test_a_release_is_removed_once_and_not_unpacked_again_under_its_key(shop: Shop) -> None:
    release = shop.unpack("a")
    (shop.folder / "releases" / release / "written-later").write_text("by the app")
    assert shop.remove("a") is True and shop.remove("a") is True
    assert shop.kept == []
    with pytest.raises(Refused, match=LATE):
        shop.unpack("a")
    assert shop.kept == []


@pytest.mark.undoes("remove_release")
def test_a_release_that_was_never_unpacked_is_void_and_what_comes_late_is_refused(shop: Shop) -> None:
    assert shop.remove("a") is False and shop.remove("a") is False
    with pytest.raises(Refused, match=LATE):
        shop.unpack("a")
    assert shop.state("a/unpack").state == "void" and shop.kept == []


@pytest.mark.undoes("remove_release")
def test_what_a_killed_process_left_of_unpacking_is_used_or_removed(shop: Shop) -> None:
    release = shop.unpack("a")
    shop.half("a/unpack")
    assert shop.unpack("a") == release and shop.state("a/unpack").state == "done"
    shop.half("a/unpack")
    left = shop.folder / "releases" / f".{_name(shop, 'a/unpack')}.left"
    left.mkdir()
    assert shop.remove("a") is True and shop.kept == []


def _name(shop: Shop, key: str) -> str:
    (path,) = (each for each in (shop.folder / "journal").iterdir() if f'"{key}"' in each.read_text())
    return path.stem.partition("-")[2]


@pytest.mark.undoes("remove_release")
def test_a_live_release_is_not_removed(shop: Shop) -> None:
    release = shop.deploy("a")
    with pytest.raises(Refused, match="is live as shop, so it is not removed"):
        shop.remove("a")
    assert shop.kept == [release] and shop.live == release


# -------------------------------------------------------------------------------------------------------------- holding


def test_an_app_is_held_by_one_case_and_the_others_hear_by_which(shop: Shop) -> None:
    one, two = shop.unpack("a"), shop.unpack("b")
    shop.hold("a", one)
    shop.hold("a", one)
    with pytest.raises(Trouble, match="shop is being deployed by case a"):
        shop.hold("b", two)
    assert shop.free("a") is True
    shop.hold("b", two)
    holder = shop.releases.holder(APP)
    assert holder is not None and holder.case_id == "b"


def test_of_many_cases_at_once_exactly_one_holds_the_app(shop: Shop) -> None:
    cases = [f"c{n}" for n in range(12)]
    releases = {case: shop.unpack(case) for case in cases}
    start = threading.Barrier(len(cases))

    def attempt(case: str) -> bool:
        start.wait()
        try:
            shop.hold(case, releases[case])
        except Trouble:
            return False
        return True

    with ThreadPoolExecutor(len(cases)) as pool:
        assert sum(pool.map(attempt, cases)) == 1


@pytest.mark.undoes("free_app")
def test_freeing_twice_frees_once_and_never_what_somebody_else_holds(shop: Shop) -> None:
    one, two = shop.unpack("a"), shop.unpack("b")
    shop.hold("a", one)
    assert shop.free("a") is True
    shop.hold("b", two)
    assert shop.free("a") is True, "the same answer as the first time"
    holder = shop.releases.holder(APP)
    assert holder is not None and holder.case_id == "b"
    with pytest.raises(Refused, match=LATE):
        shop.hold("a", one)


@pytest.mark.undoes("free_app")
def test_a_hold_that_never_was_is_void_and_what_comes_late_is_refused(shop: Shop) -> None:
    release = shop.unpack("a")
    assert shop.free("a") is False and shop.free("a") is False
    with pytest.raises(Refused, match=LATE):
        shop.hold("a", release)
    assert shop.releases.holder(APP) is None


def test_a_late_attempt_to_hold_does_nothing_once_the_app_has_passed_to_another_case(shop: Shop) -> None:
    one = shop.deploy("a")
    two = shop.unpack("b")
    shop.hold("b", two)
    shop.hold("a", one)
    holder = shop.releases.holder(APP)
    assert holder is not None and holder.case_id == "b"


# ------------------------------------------------------------------------------------------------------------ switching


def test_a_switch_needs_the_hold(shop: Shop) -> None:
    one, two = shop.unpack("a"), shop.unpack("b")
    with pytest.raises(Refused, match="is not held for release"):
        shop.switch("a", one)
    shop.hold("b", two)
    with pytest.raises(Refused, match="is not held for release"):
        shop.switch("a", one)
    assert shop.live is None


def test_a_late_attempt_to_switch_does_nothing_when_another_release_is_live_since(shop: Shop) -> None:
    one = shop.deploy("a")
    two = shop.deploy("b")
    assert shop.switch("a", one).release == one
    assert shop.live == two


@pytest.mark.undoes("switch_back")
def test_what_was_live_before_is_live_again_also_nothing(shop: Shop) -> None:
    one = shop.deploy("a")
    two = shop.deploy("b")
    assert shop.live == two
    assert shop.back("b") is True and shop.back("b") is True
    assert shop.live == one and shop.releases.holder(APP) is None
    assert shop.back("a") is True
    assert shop.live is None and not (shop.folder / "current").is_symlink()
    with pytest.raises(Refused, match=LATE):
        shop.switch("b", two)


@pytest.mark.undoes("switch_back")
def test_a_link_that_somebody_made_by_hand_comes_back_to_the_letter(shop: Shop, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shop.folder.mkdir(parents=True)
    (shop.folder / "current").symlink_to(f"{elsewhere}/../elsewhere")
    shop.deploy("a")
    assert shop.back("a") is True
    assert str((shop.folder / "current").readlink()) == f"{elsewhere}/../elsewhere"


@pytest.mark.undoes("switch_back")
def test_a_switch_that_never_was_is_void_and_what_comes_late_is_refused(shop: Shop) -> None:
    release = shop.unpack("a")
    shop.hold("a", release)
    assert shop.back("a") is False and shop.back("a") is False
    with pytest.raises(Refused, match=LATE):
        shop.switch("a", release)
    assert shop.live is None
    assert shop.free("a") is True


@pytest.mark.undoes("switch_back")
def test_a_switch_is_not_undone_behind_the_back_of_a_later_one(shop: Shop) -> None:
    shop.deploy("a")
    two = shop.deploy("b")
    with pytest.raises(Refused, match=f"Release {two} of case b has become live since. Roll that case back first"):
        shop.back("a")
    assert shop.live == two
    assert shop.back("b") is True and shop.back("a") is True
    assert shop.live is None


@pytest.mark.undoes("switch_back")
def test_a_switch_is_not_undone_while_another_case_holds_the_app(shop: Shop) -> None:
    one = shop.deploy("a")
    two = shop.unpack("b")
    shop.hold("b", two)
    with pytest.raises(Trouble, match="being deployed by case b"):
        shop.back("a")
    assert shop.live == one
    shop.free("b")
    assert shop.back("a") is True and shop.live is None


@pytest.mark.undoes("switch_back")
def test_switching_back_frees_the_app_and_then_there_is_no_hold_to_undo(shop: Shop) -> None:
    release = shop.unpack("a")
    shop.hold("a", release)
    shop.switch("a", release)
    assert shop.back("a") is True
    assert shop.releases.holder(APP) is None
    assert shop.free("a") is False and shop.free("a") is False
    assert shop.remove("a") is True


@pytest.mark.undoes("switch_back")
def test_a_release_that_is_gone_cannot_be_switched_back_to(shop: Shop) -> None:
    one = shop.deploy("a")
    two = shop.deploy("b")
    for path in sorted((shop.folder / "releases" / one).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (shop.folder / "releases" / one).rmdir()
    with pytest.raises(Refused, match=f"was deleted: {one}"):
        shop.back("b")
    assert shop.live == two


@pytest.mark.undoes("switch_back")
@pytest.mark.parametrize("linked", [True, False], ids=["after the link moved", "before the link moved"])
@pytest.mark.parametrize("then", ["goes on", "is undone"])
def test_a_switch_that_was_killed_half_way_goes_on_or_is_undone(shop: Shop, linked: bool, then: str) -> None:
    one = shop.deploy("a")
    two = shop.unpack("b")
    shop.hold("b", two)
    shop.switch("b", two)
    shop.half("b/switch")
    if not linked:
        _link(shop, one)
    if then == "goes on":
        assert shop.switch("b", two).before == f"releases/{one}"
        assert shop.live == two
    else:
        assert shop.back("b") is True
        assert shop.live == one and shop.releases.holder(APP) is None


@pytest.mark.undoes("switch_back")
@pytest.mark.parametrize("moved", [True, False], ids=["after the link moved", "before the link moved"])
def test_a_rollback_that_breaks_off_half_way_keeps_the_app_until_it_goes_on(shop: Shop, moved: bool) -> None:
    one = shop.deploy("a")
    shop.deploy("b")
    three = shop.unpack("c")
    in_the_way = shop.folder / ".current.new"
    in_the_way.mkdir()
    with pytest.raises(OSError):
        shop.back("b")
    in_the_way.rmdir()
    if moved:
        _link(shop, one)
    with pytest.raises(Trouble, match="by case b"):
        shop.hold("c", three)
    assert shop.back("b") is True and shop.live == one
    shop.hold("c", three)


@pytest.mark.undoes("switch_back")
def test_a_late_undo_does_not_unlock_an_app_that_another_case_holds(shop: Shop) -> None:
    one, two = shop.deploy("a"), shop.deploy("b")
    shop.back("b")
    three = shop.unpack("c")
    shop.hold("c", three)
    shop.switch("c", three)
    assert shop.back("b") is True
    assert shop.live == three
    holder = shop.releases.holder(APP)
    assert holder is not None and holder.case_id == "c" and one != two


def test_something_else_in_place_of_the_link_is_not_touched(shop: Shop) -> None:
    release = shop.unpack("a")
    shop.hold("a", release)
    (shop.folder / "current").mkdir()
    with pytest.raises(Refused, match="is not a link"):
        shop.switch("a", release)
    assert (shop.folder / "current").is_dir()


def test_a_reader_of_the_link_never_finds_it_missing(shop: Shop) -> None:
    shop.deploy("a")
    stop, wrong = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            if not (shop.folder / "current" / "app.py").exists():
                wrong.append(shop.live)
            time.sleep(0.0005)

    reader = threading.Thread(target=look)
    reader.start()
    for n in range(8):
        shop.deploy(f"n{n}", keep=100)
    stop.set()
    reader.join()
    assert wrong == []


# ------------------------------------------------------------------------------------------------------------ finishing


def test_old_releases_go_but_never_what_is_live_was_before_or_waits(shop: Shop) -> None:
    waiting = shop.unpack("waits")
    made = [shop.deploy(f"n{n}", keep=2) for n in range(4)]
    assert sorted(shop.kept) == sorted([waiting, *made[2:]])
    shop.back("n3")
    shop.remove("n3")
    with pytest.raises(Refused, match=f"was deleted: {made[1]}"):
        shop.back("n2")
    assert shop.live == made[2]


def test_the_release_before_is_kept_also_when_it_is_an_old_one(shop: Shop) -> None:
    first, second, third = (shop.deploy(case) for case in "abc")
    _link(shop, first)  # somebody's hand
    fourth = shop.deploy("d", keep=2)
    assert set(shop.kept) == {first, third, fourth} and second not in shop.kept
    assert shop.back("d") is True and shop.live == first


def test_finishing_frees_the_app_once(shop: Shop) -> None:
    one = shop.deploy("a")
    two = shop.unpack("b")
    shop.hold("b", two)
    assert shop.finish("a", one).release == one, "a late attempt"
    holder = shop.releases.holder(APP)
    assert holder is not None and holder.case_id == "b"


def test_what_was_switched_back_cannot_be_finished(shop: Shop) -> None:
    release = shop.unpack("a")
    shop.hold("a", release)
    shop.switch("a", release)
    shop.back("a")
    with pytest.raises(Refused, match="was switched back"):
        shop.finish("a", release)


def _link(shop: Shop, release: str) -> None:
    (shop.folder / "current").unlink()
    (shop.folder / "current").symlink_to(f"releases/{release}")
