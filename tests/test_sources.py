"""Finding and reading image files: order, archives of every kind, and archives that mean harm."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from evenhand.data.image_names import image_files, names_of_ids
from evenhand.data.locations import ImageSource, UnreadableError, mismatch, read_bytes
from evenhand.data.sources import locate_images, sources_from
from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import images_sum

A, B, C = "a" * 32, "b" * 32, "c" * 32
WANTED = [A, B, C]


def folder(path: Path, **files: bytes) -> ImageSource:
    """A folder with the given contents under the given stems."""
    path.mkdir(parents=True, exist_ok=True)
    for stem, content in files.items():
        (path / f"{stem}.jpg").write_bytes(content)
    return ImageSource(path, path.name)


def tar(path: Path, mode: str, members: list[tuple[tarfile.TarInfo, bytes]]) -> ImageSource:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return ImageSource(path, path.name)


def regular(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def zipped(path: Path, members: dict[str, bytes]) -> ImageSource:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return ImageSource(path, path.name)


def contents(sources: list[ImageSource], tmp_path: Path) -> dict[str, list[bytes]]:
    found = locate_images(sources, names_of_ids(WANTED), tmp_path / "spool")
    return {image_id: [read_bytes(place) for place in places] for image_id, places in found.items()}


def test_sources_are_tried_in_the_order_of_the_list(tmp_path: Path) -> None:
    first = folder(tmp_path / "z", **{A: b"z"})
    second = folder(tmp_path / "a", **{A: b"a", B: b"b"})
    assert contents([first, second], tmp_path) == {A: [b"z", b"a"], B: [b"b"]}
    assert contents([second, first], tmp_path) == {A: [b"a", b"z"], B: [b"b"]}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_tar_gives_its_members_bytes(tmp_path: Path, mode: str) -> None:
    long_name = "x" * 120 + f"/{B}.JPEG"
    members = [regular("read.me", b"text"), regular(f"some/dir/{A}.jpg", b"1" * 5000), regular(long_name, b"22")]
    source = tar(tmp_path / "images.tar", mode, members)
    assert contents([source], tmp_path) == {A: [b"1" * 5000], B: [b"22"]}


def test_a_zip_gives_its_members_bytes(tmp_path: Path) -> None:
    source = zipped(tmp_path / "i.zip", {f"images/{A}.jpg": b"1" * 5000, f"{B}.png": b"22", "d.txt": b"", "dir/": b""})
    assert contents([source], tmp_path) == {A: [b"1" * 5000], B: [b"22"]}


def test_folders_are_searched_to_the_bottom_and_capitals_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "f" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "f" / "deep" / "er" / f"{A.upper()}.JPG").write_bytes(b"x")
    assert contents([ImageSource(tmp_path / "f", "f")], tmp_path) == {A: [b"x"]}


@pytest.mark.parametrize("name", [f"../{A}.jpg", f"/tmp/{A}.jpg", f"x/../../{A}.jpg", f"..\\{A}.jpg", f"C:/{A}.jpg"])
def test_members_that_leave_the_folder_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    sources = [
        zipped(tmp_path / "i.zip", {name: b"evil"}),
        tar(tmp_path / "i.tar", "w", [regular(name, b"evil")]),
        tar(tmp_path / "i.tgz", "w:gz", [regular(name, b"evil")]),
    ]
    places = locate_images(sources, names_of_ids(WANTED), tmp_path / "spool")[A]
    assert len(places) == 3
    for place in places:
        with pytest.raises(UnreadableError, match="leads out of the folder") as caught:
            read_bytes(place)
        assert caught.value.status == "refused"
    assert not list(tmp_path.rglob("*.jpg"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes, mode: str) -> None:
    link = tarfile.TarInfo(f"{A}.jpg")
    link.type, link.linkname = kind, "/etc/passwd"
    source = tar(tmp_path / "i.tar", mode, [(link, b""), regular(f"{B}.jpg", b"fine")])
    found = locate_images([source], names_of_ids(WANTED), tmp_path / "spool")
    with pytest.raises(UnreadableError, match="link, device"):
        read_bytes(found[A][0])
    assert read_bytes(found[B][0]) == b"fine"


def test_a_zip_bomb_is_stopped_at_the_limit_whatever_size_it_announces(tmp_path: Path) -> None:
    source = zipped(tmp_path / "i.zip", {f"{A}.jpg": b"\0" * 100_000})
    (place,) = locate_images([source], names_of_ids(WANTED), tmp_path)[A]
    with pytest.raises(UnreadableError, match="100000 bytes; the limit is 1000") as caught:
        read_bytes(place, limit=1000)
    assert caught.value.status == "too-large"
    with pytest.raises(UnreadableError, match="more than 1000 bytes, although 10 were announced"):
        read_bytes(place._replace(size=10), limit=1000)


def test_a_damaged_or_encrypted_member_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "i.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{A}.jpg", os.urandom(5000))
        archive.writestr(f"{B}.jpg", b"fine")
        archive.writestr(f"{C}.jpg", b"secret")
    data = bytearray(path.read_bytes())
    data[200:260] = b"\xff" * 60  # inside A's bytes
    directory = data.rfind(b"PK\x01\x02")
    data[directory + 8] |= 1  # C's flag for encryption, in the directory
    local = data.rfind(b"PK\x03\x04")
    data[local + 6] |= 1
    path.write_bytes(data)
    found = locate_images([ImageSource(path, "zip")], names_of_ids(WANTED), tmp_path)
    assert read_bytes(found[B][0]) == b"fine"
    for image_id, reason in [(A, "BadZipFile|error"), (C, "encrypted|password")]:
        with pytest.raises(UnreadableError, match=reason):
            read_bytes(found[image_id][0])


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_breaks_off_gives_what_it_holds_and_says_so(tmp_path: Path, mode: str) -> None:
    source = tar(
        tmp_path / "i.tar", mode, [regular(f"{A}.jpg", os.urandom(20_000)), regular(f"{B}.jpg", os.urandom(20_000))]
    )
    whole = locate_images([source], names_of_ids(WANTED), tmp_path / "spool")
    expected = read_bytes(whole[A][0])
    data = source.path.read_bytes()
    source.path.write_bytes(data[: len(data) // 2 + 2000])
    with pytest.warns(UserWarning, match=r"i.tar: breaks off"):
        found = locate_images([source], names_of_ids(WANTED), tmp_path / "spool")
    assert read_bytes(found[A][0]) == expected
    if B in found:  # its name was read, its bytes are not all there
        with pytest.raises(UnreadableError, match="breaks off"):
            read_bytes(found[B][0])


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_tar_whose_header_would_fill_the_memory_breaks_off_there(tmp_path: Path, kind: bytes, mode: str) -> None:
    huge = tarfile.TarInfo("huge")
    huge.type = kind
    source = tar(tmp_path / "i.tar", mode, [regular(f"{A}.jpg", b"fine"), (huge, bytes(3 * 1024**2))])
    with pytest.warns(UserWarning, match=r"i.tar: breaks off after 1 members \(a header of 3145728 bytes\)"):
        assert contents([source], tmp_path) == {A: [b"fine"]}
    with pytest.raises(UserError, match="found another kind of file"):
        contents([tar(tmp_path / "j.tar", mode, [(huge, bytes(3 * 1024**2))])], tmp_path)


def test_compressed_tars_of_one_name_are_told_apart_and_read_once(tmp_path: Path) -> None:
    sources = []
    for name, content in [("one", b"1"), ("two", b"22")]:
        (tmp_path / name).mkdir()
        sources.append(tar(tmp_path / name / "images.tar.gz", "w:gz", [regular(f"{A}.jpg", content)]))
    assert contents(sources, tmp_path) == {A: [b"1", b"22"]}
    copies = {path: path.stat().st_mtime_ns for path in (tmp_path / "spool").iterdir()}
    again = [ImageSource(source.path, "other", verify=False) for source in sources]
    assert contents(again, tmp_path) == {A: [b"1", b"22"]}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "spool").iterdir()} == copies
    found = locate_images(again, names_of_ids(WANTED), tmp_path / "spool")[A]
    assert [(place.source, place.verify) for place in found] == [("other", False)] * 2
    tar(sources[0].path, "w:gz", [regular(f"{A}.jpg", b"333")])  # another archive in its place
    assert contents(sources, tmp_path) == {A: [b"333", b"22"]}


@pytest.mark.parametrize("name", ["i.zip", "i.tar", "i.tar.gz", "notes.txt"])
def test_a_file_that_is_no_archive_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK not really" * 100)
    with pytest.raises(UserError, match=rf"{name}: expected a folder, or a zip or tar archive"):
        locate_images([ImageSource(tmp_path / name, name)], names_of_ids(WANTED), tmp_path)


def test_a_truncated_zip_is_refused_with_the_likely_cause(tmp_path: Path) -> None:
    source = zipped(tmp_path / "i.zip", {f"{A}.jpg": os.urandom(9000)})
    source.path.write_bytes(source.path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"i.zip: expected .*complete"):
        locate_images([source], names_of_ids(WANTED), tmp_path)


def test_a_source_without_any_wanted_image_is_a_mistake_to_report(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"It holds holiday\.jpg \.\.\. The table asks for a{32}, b{32}"):
        locate_images([ImageSource(tmp_path / "f", "f")], names_of_ids(WANTED), tmp_path)
    with pytest.raises(UserError, match="nothing is there"):
        locate_images([ImageSource(tmp_path / "g", "g")], names_of_ids(WANTED), tmp_path)


def test_the_folder_of_downloads_may_be_empty_or_absent(tmp_path: Path) -> None:
    sources = sources_from([{"urls": True}], tmp_path / "downloads")
    assert locate_images(sources, names_of_ids(WANTED), tmp_path) == {}
    (tmp_path / "downloads").mkdir()
    assert locate_images(sources, names_of_ids(WANTED), tmp_path) == {}


def test_verification_is_the_default_and_can_be_declared_away() -> None:
    entries = [{"folder": "x"}, {"archive": "y", "verify": False}, {"urls": True}]
    sources = sources_from(entries, Path("d"))
    assert [(source.name, source.verify) for source in sources] == [("x", True), ("y", False), ("urls", True)]


def test_the_checksum_is_that_of_the_bytes() -> None:
    md5 = "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, appendix A.5
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert mismatch(b"abc", md5) == mismatch(b"abc", sha256) == ""
    assert mismatch(b"abcd", md5) == f"the MD5 of its 4 bytes is not {md5}"
    assert mismatch(b"abcd", sha256) == f"the SHA-256 of its 4 bytes is not {sha256}"
    assert mismatch(b"abc", "") == "the table has no checksum for its 3 bytes"


def test_the_sum_of_a_folder_follows_names_and_bytes_and_nothing_else(tmp_path: Path) -> None:
    images, memory = tmp_path / "f", tmp_path / "memory.json"
    folder(images, **{A: b"1", B: b"2"})
    sums = [images_sum(images, memory)]
    os.utime(images / f"{A}.jpg", (1, 1))
    (images / "notes.txt").write_bytes(b"x")
    assert images_sum(images, memory) == sums[0]
    assert images_sum(images, tmp_path / "none") == sums[0]
    (images / f"{C}.jpg").write_bytes(b"3")
    sums.append(images_sum(images, memory))
    (images / f"{A}.jpg").write_bytes(b"4")  # as long as before: only the bytes and the date differ
    sums.append(images_sum(images, memory))
    (images / f"{B}.jpg").rename(images / f"{B}.jpeg")
    sums.append(images_sum(images, memory))
    assert len(set(sums)) == 4


def test_what_cannot_be_read_has_a_name_and_no_bytes(tmp_path: Path) -> None:
    images, memory = tmp_path / "f", tmp_path / "memory.json"
    folder(images, **{A: b"1"})
    (images / f"{B}.jpg").symlink_to("nowhere")
    os.mkfifo(images / f"{C}.jpg")  # to read it would wait for ever
    before = images_sum(images, memory)
    assert images_sum(images, memory) == before
    (images / f"{B}.jpg").unlink()
    (images / f"{B}.jpg").write_bytes(b"2")
    assert images_sum(images, memory) != before


def test_folders_behind_links_are_searched(tmp_path: Path) -> None:
    folder(tmp_path / "f", **{A: b"a"})
    folder(tmp_path / "disk" / "deep", **{B: b"b"})
    (tmp_path / "f" / "link").symlink_to("../disk")
    assert contents([ImageSource(tmp_path / "f", "f")], tmp_path) == {A: [b"a"], B: [b"b"]}
    before = images_sum(tmp_path / "f", tmp_path / "memory.json")
    folder(tmp_path / "disk", **{C: b"c"})
    assert images_sum(tmp_path / "f", tmp_path / "memory.json") != before


def test_no_link_leads_round_in_a_circle_and_each_image_is_met_once(tmp_path: Path) -> None:
    folder(tmp_path / "f" / "b", **{A: b"a"})
    folder(tmp_path / "disk" / "sub", **{B: b"b"})
    folder(tmp_path, **{C: b"beside the folder, not in it"})
    links = {
        *(("a", "b"), ("b/itself", "../b"), ("b/top", "../../f"), ("b/there", "../../disk/sub")),
        *(("c", "../disk"), ("d", "../disk/sub"), ("self", "self"), ("e", "f"), ("f", "e")),
    }
    for name, target in links:
        (tmp_path / "f" / name).symlink_to(target)
    (tmp_path / "disk" / "back").symlink_to("../f")
    with pytest.warns(UserWarning, match="is a link to nothing") as warned:
        found = sorted(image_files(tmp_path / "f"))
    # By its own name where it has one, else by the first of its links.
    assert found == [f"{tmp_path}/f/b/{A}.jpg", f"{tmp_path}/f/b/there/{B}.jpg"]
    assert {str(warning.message).split()[0] for warning in warned} == {
        f"{tmp_path}/f/{name}" for name in ("self", "e", "f")
    }
    (tmp_path / "f" / "up").symlink_to("../..")
    with pytest.warns(UserWarning, match="is a link to nothing|up leads back to a folder that holds") as warned:
        assert sorted(image_files(tmp_path / "f")) == found
    assert [str(warning.message) for warning in warned if "leads back" in str(warning.message)]
