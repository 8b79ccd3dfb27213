"""Jobs that have ended are not done again, in no study, and not by two processes at once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from evenhand.training.checkpoints import file_lock
from evenhand.workflow.finished import cache_products, kept, key_of, restore_products


@pytest.fixture
def products(tmp_path: Path) -> list[Path]:
    files = [tmp_path / name for name in ("model.bin", "history.csv")]
    for file in files:
        file.write_text(f"content of {file.name}")
    return files


def test_products_come_back_after_they_were_deleted(tmp_path: Path, products: list[Path]) -> None:
    cache_products(tmp_path / ".finished", "key", products)
    for product in products:
        product.unlink()
    before = time.time()
    assert restore_products(tmp_path / ".finished", "key", products)
    assert [product.read_text() for product in products] == ["content of model.bin", "content of history.csv"]
    assert all(product.stat().st_mtime >= before - 1 for product in products)
    assert {path.name for path in tmp_path.iterdir()} == {".finished", "model.bin", "history.csv"}


def test_they_take_no_space(tmp_path: Path, products: list[Path]) -> None:
    cache_products(tmp_path / ".finished", "key", products)
    assert products[0].stat().st_ino == kept(tmp_path / ".finished", products[0]).stat().st_ino


def test_another_key_restores_nothing(tmp_path: Path, products: list[Path]) -> None:
    cache_products(tmp_path / ".finished", "key", products)
    products[0].unlink()
    assert not restore_products(tmp_path / ".finished", "another", products)
    assert not products[0].exists()


def test_an_incomplete_set_restores_nothing(tmp_path: Path, products: list[Path]) -> None:
    cache_products(tmp_path / ".finished", "key", products)
    kept(tmp_path / ".finished", products[1]).unlink()
    for product in products:
        product.unlink()
    assert not restore_products(tmp_path / ".finished", "key", products)
    assert not products[0].exists()


def test_damaged_products_are_not_restored(tmp_path: Path, products: list[Path]) -> None:
    cache_products(tmp_path / ".finished", "key", products)
    with products[0].open("r+") as file:  # in place: the kept link has the same bytes
        file.truncate(3)
    assert not restore_products(tmp_path / ".finished", "key", products)


def test_another_study_takes_over_what_an_equal_job_has_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made, wanted = ([Path(f"results/{study}/{part}/same.csv") for part in ("data", "tables")] for study in "ab")
    for product in made:
        product.parent.mkdir(parents=True)
        product.write_text(f"rows of {product.parent.name}")
    cache_products(Path("results/a/data/.done"), "key", made)
    Path("results/b/data").mkdir(parents=True)
    assert not restore_products(Path("results/b/data/.done"), "another", wanted)
    assert restore_products(Path("results/b/data/.done"), "key", wanted)
    assert [product.read_text() for product in wanted] == ["rows of data", "rows of tables"]
    assert wanted[0].stat().st_ino == made[0].stat().st_ino
    # What it has taken over it keeps, also when the other study is deleted.
    for path in (*made, *wanted, *Path("results/a/data/.done").iterdir()):
        path.unlink()
    assert restore_products(Path("results/b/data/.done"), "key", wanted)
    # Only below results/: elsewhere, folders side by side are not known to be studies.
    assert not restore_products(tmp_path / "c" / "data" / ".done", "key", wanted)


def test_all_that_decides_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decides = {"config": 1, "read": ["a"]}
    keys = [key_of(decides), key_of({"config": 2, "read": ["a"]}), key_of({"config": 1, "read": ["b"]})]
    assert keys[0] == key_of({"read": ["a"], "config": 1})
    monkeypatch.syspath_prepend(str(tmp_path))
    for version in ("1.0", "1.1"):  # as pip leaves a package: in a folder of its name and version
        package = tmp_path / f"package-{version}.dist-info"
        package.mkdir()
        keys.append(key_of(decides))
        package.rmdir()
    assert len(set(keys)) == 5


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    imports = "import sys; from pathlib import Path; from evenhand.training.checkpoints import file_lock"
    code = f"{imports}\nwith file_lock(Path(sys.argv[1])): print('in')"
    with file_lock(lock):
        second = subprocess.Popen(
            [sys.executable, "-u", "-c", code, lock],
            cwd=Path(__file__).parents[1] / "workflow_scripts",
            stdout=subprocess.PIPE,
            text=True,
        )
        assert second.stdout is not None
        assert "waiting" in second.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0.5)
    assert second.communicate(timeout=600)[0].strip() == "in"
    assert second.returncode == 0
