"""Near-duplicates: against all pairs by brute force, on known copies, and from other people's lists."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from evenhand.data.duplicate_tables import (
    cluster_table,
    compare_thresholds,
    describe_clusters,
    gather_links,
    links_along,
    read_image_lists,
    summarise_clusters,
)
from evenhand.data.duplicates import (
    Links,
    clusters,
    cosine_links,
    hash_links,
    join,
    perceptual_hashes,
    read_embeddings,
)
from evenhand.workflow.errors import UserError


def by_brute_force(codes: np.ndarray, radius: int) -> list[int]:
    """Clusters from all pairs, by repeated merging."""
    cluster = list(range(len(codes)))
    for i in range(len(codes)):
        for j in range(i):
            if min(int(a ^ b).bit_count() for a in codes[i].tolist() for b in codes[j].tolist()) <= radius:
                old, new = cluster[i], cluster[j]
                cluster = [new if c == old else c for c in cluster]
    return pd.factorize(np.array(cluster))[0].tolist()


@st.composite
def code_tables(draw: st.DrawFn) -> np.ndarray:
    """Hashes with equal and near ones among them: random ones would hardly ever be close."""
    seeds = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6))
    columns = draw(st.integers(1, 2))
    n = draw(st.integers(1, 25))
    rows = []
    for _ in range(n * columns):
        code = draw(st.sampled_from(seeds))
        for bit in draw(st.lists(st.integers(0, 63), max_size=7)):
            code ^= 1 << bit
        rows.append(code)
    return np.array(rows, np.uint64).reshape(n, columns)


@settings(max_examples=150, deadline=None)
@given(codes=code_tables(), radius=st.integers(0, 12), smaller=st.integers(0, 12))
def test_clusters_are_those_of_all_pairs_at_every_radius_up_to_the_searched_one(
    codes: np.ndarray, radius: int, smaller: int
) -> None:
    smaller = min(smaller, radius)
    links = hash_links(codes, radius)
    assert clusters(len(codes), [links]).tolist() == by_brute_force(codes, radius)
    assert clusters(len(codes), [links.within(smaller)]).tolist() == by_brute_force(codes, smaller)
    assert (links.first < links.second).all()


@pytest.mark.parametrize("shared", [1, 2, 3, 4])
def test_nothing_is_missed_however_many_blocks_have_to_agree(monkeypatch: pytest.MonkeyPatch, shared: int) -> None:
    monkeypatch.setattr("evenhand.data.duplicates._shared_blocks", lambda *_: shared)
    rng = np.random.default_rng(shared)
    codes = rng.integers(0, 2**64, (60, 1), np.uint64)
    codes = np.concatenate([codes, codes])
    for row in range(60, 120):
        for bit in rng.choice(64, rng.integers(0, 12), replace=False):
            codes[row] ^= np.uint64(1 << int(bit))
    for radius in (0, 1, 6, 10):
        assert clusters(120, [hash_links(codes, radius)]).tolist() == by_brute_force(codes, radius)


def test_a_thousand_equal_hashes_are_a_thousand_links() -> None:
    codes = np.full((1000, 1), 12345, np.uint64)
    links = hash_links(codes, 6)
    assert len(links.first) == 999
    assert clusters(1000, [links]).max() == 0


def scene(seed: int, size: int = 128) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size, 3))
    smooth = gaussian_filter(noise, (size / 16, size / 16, 0))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def recompressed(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((96, 96)).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer).resize((128, 128)))


def test_copies_are_found_and_strangers_are_not() -> None:
    originals = [scene(seed) for seed in range(40)]
    brighter = [np.clip(pixels * 0.8 + 40, 0, 255).astype(np.uint8) for pixels in originals[:10]]
    images = np.stack([*originals, *map(recompressed, originals[:10]), *brighter])
    found = clusters(len(images), [hash_links(perceptual_hashes(images, False), 6)])
    expected = [*range(40), *range(10), *range(10)]
    assert found.tolist() == expected


def test_mirrored_copies_are_copies_only_where_asked_for() -> None:
    images = np.stack([*(scene(seed) for seed in range(20)), *(scene(seed)[:, ::-1] for seed in range(20))])
    assert clusters(40, [hash_links(perceptual_hashes(images, True), 6)]).tolist() == [*range(20), *range(20)]
    assert clusters(40, [hash_links(perceptual_hashes(images, False), 6)]).tolist() == list(range(40))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 40), block=st.integers(1, 50))
def test_cosine_links_are_those_of_all_pairs_whatever_the_block(seed: int, n: int, block: int) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    embeddings[0] = 0  # resembles nothing, not even itself
    links = cosine_links(embeddings, 0.9, block)
    expected = set()
    for i in range(1, n):
        for j in range(i + 1, n):
            a, b = embeddings[i].astype(float), embeddings[j].astype(float)
            if a @ b / np.sqrt((a @ a) * (b @ b)) >= 0.9:
                expected.add((i, j))
    assert set(zip(links.first.tolist(), links.second.tolist(), strict=True)) == expected


def test_clusters_join_links_of_every_kind_and_are_named_whatever_the_order() -> None:
    hashes = [f"{i:032x}" for i in (5, 3, 9, 1, 7)]
    one = Links(np.array([0]), np.array([1]), np.zeros(1))
    two = Links(np.array([1, 3]), np.array([2, 4]), np.zeros(2))
    table = cluster_table(hashes, clusters(5, [one, two]))
    names = dict(zip(table["id"], table["cluster"], strict=True))
    assert names == {h: hashes[1] if h in hashes[:3] else hashes[3] for h in hashes}
    assert table["size"].tolist() == [3, 3, 3, 2, 2]


HASHES = [f"{i:08x}" + "0" * 24 for i in range(1, 7)]


def listed(tmp_path: Path, text: str) -> tuple[list[int], int]:
    path = tmp_path / "list.txt"
    path.write_text(text)
    lines, absent = read_image_lists(path, HASHES, "data.duplicates.list")
    return clusters(len(HASHES), [links_along(lines)]).tolist(), absent


@pytest.mark.parametrize(
    "text",
    [
        f"{HASHES[0]},{HASHES[2]},{HASHES[4]}\n{HASHES[1]} {HASHES[3]}\n",
        "00000001;00000003\n00000003;00000005\n\n00000002\t00000004",
        "first,second,third\n00000001,00000003,00000005\n00000002,00000004,\n",
        "['na-co_f2_39_00000001', 'x_f0_1_00000003', 'a_b_00000005']\n['y_00000004', 'z_00000002']\n",
        "00000001.jpg 00000003.JPG 00000005.jpeg\n00000002 00000004 99999999\n",
        "cluster,md5hash\n0,00000001\n0,00000003\n1,00000002\n0,00000005\n1,00000004\n",
    ],
    ids=["full", "prefixes", "header", "python", "files", "a row an image"],
)
def test_lists_of_pairs_and_clusters_are_merged(tmp_path: Path, text: str) -> None:
    found, absent = listed(tmp_path, text)
    assert found == [0, 1, 0, 1, 0, 2]
    assert absent == text.count("99999999")


def test_a_list_with_anything_else_in_it_is_refused_by_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"list\.txt, line 2: .*found 'Different'"):
        listed(tmp_path, "00000001 00000002\n00000003,00000004,Different\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_image_lists(tmp_path / "none.txt", HASHES, "data.duplicates.list")
    (tmp_path / "list.txt").write_text("00000001 00000002\n")
    with pytest.raises(UserError, match="begins the hashes of 2 images"):
        read_image_lists(tmp_path / "list.txt", [*HASHES, "00000001" + "f" * 24], "data.duplicates.list")


def test_embeddings_are_put_in_the_order_of_the_images(tmp_path: Path) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez(tmp_path / "e.npz", id=np.array(HASHES[:3], "S32"), group=np.array(["x"] * 3), mu=matrix)
    found = read_embeddings(tmp_path / "e.npz", [HASHES[2], HASHES[5], HASHES[0]])
    assert found.tolist() == [[4, 5], [0, 0], [0, 1]]
    np.savez(tmp_path / "two.npz", id=np.array(HASHES[:3], "S32"), mu=matrix, sigma=matrix)
    with pytest.raises(UserError, match="found 2 such arrays for 3 ids"):
        read_embeddings(tmp_path / "two.npz", HASHES)
    with pytest.raises(UserError, match=r"expected an \.npz file"):
        read_embeddings(tmp_path / "none.npz", HASHES)


def table_of_images() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": HASHES,
            "group": ["light", "dark", "light", "light", "", "dark"],
            "source": ["x", "y", "x", "x", "x", "x"],
            "condition": ["acne", "acne", "eczema", "acne", "acne", "lupus"],
            "condition_3": ["benign", "benign", "benign", "malignant", "benign", "benign"],
        }
    )


def test_clusters_tell_what_they_mix() -> None:
    images = table_of_images().assign(cluster=["a", "a", "b", "b", "c", "d"])
    described = describe_clusters(images).set_index("cluster")
    assert described.index.tolist() == ["a", "b"]
    assert described.loc["a", "groups"] == "dark 1, light 1"
    assert described["across_groups"].tolist() == [True, False]
    assert described["conflicting_labels"].tolist() == [False, True]
    assert described["conflicting_three"].tolist() == [False, True]
    assert described["across_sources"].tolist() == [True, False]
    assert described.loc["b", "labels"] == "acne | eczema"
    summary = summarise_clusters(described.reset_index(), 6).iloc[0]
    assert summary[["clusters", "images_in_clusters", "superfluous_images", "across_groups"]].tolist() == [2, 4, 2, 1]


def test_without_any_duplicates_the_tables_are_empty_not_broken() -> None:
    images = table_of_images().assign(cluster=list("abcdef"))
    described = describe_clusters(images)
    assert len(described) == 0
    assert summarise_clusters(described, 6).iloc[0]["clusters"] == 0


def test_estimated_truth_is_the_excess_of_equal_labels_over_chance() -> None:
    """Half of the links join copies (equal labels), half join strangers (equal with the chance of two labels)."""
    rng = np.random.default_rng(0)
    n = 4000
    label = rng.choice(["a", "b"], 2 * n)
    true = np.arange(n) % 2 == 0
    label[n:] = np.where(true, label[:n], rng.choice(["a", "b"], n))
    images = pd.DataFrame({"id": [f"{i:032x}" for i in range(2 * n)], "condition": label})
    images["condition_3"] = images["source"] = images["group"] = "x"
    links = Links(np.arange(n), np.arange(n, 2 * n), np.where(true, 2.0, 6.0))
    table = compare_thresholds(images, links, [0, 2, 6], 6).set_index("threshold")
    assert table["links"].tolist() == [0, n // 2, n]
    assert table.loc[6, "estimated_true"] == pytest.approx(0.5, abs=0.05)
    assert table.loc[6, "new_estimated_true"] == pytest.approx(0, abs=0.05)
    assert table.loc[2, "estimated_true"] == 1
    assert np.isnan(table.loc[0, "estimated_true"])
    assert table["chosen"].tolist() == [False, False, True]


def joined(links: list[tuple[int, int, float]], apart: list[list[int]] | None = None) -> tuple[list[int], list[str]]:
    cluster, fates = join(8, pd.DataFrame(links, columns=["first", "second", "looseness"]), apart or [])
    return cluster.tolist(), fates


def test_close_links_join_whatever_the_chain() -> None:
    assert joined([(i, i + 1, 0.4) for i in range(7)]) == ([0] * 8, ["joined"] * 7)


def test_a_cluster_does_not_grow_through_lone_weak_links_alone() -> None:
    chain = [(0, 1, 0.6), (1, 2, 0.7), (2, 3, 0.8)]
    assert joined(chain) == ([0, 0, 1, 1, 2, 3, 4, 5], ["joined", "weak chain", "joined"])
    # A second link between the two halves, although it is found later, makes both count.
    assert joined([*chain, (0, 3, 0.9)]) == ([0, 0, 0, 0, 1, 2, 3, 4], ["joined"] * 4)
    # A weak link to a series that hangs together closely is believed once.
    series = [(0, 1, 0.1), (1, 2, 0.2), (4, 5, 0.1)]
    assert joined([*series, (2, 3, 0.9)])[1][-1] == "joined"
    assert joined([*series, (2, 3, 0.8), (3, 4, 0.9)])[1] == ["joined"] * 4 + ["weak chain"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_kept_apart_is_apart_and_the_order_of_links_means_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(8) for j in range(i + 1, 8)]
    chosen = [pairs[k] for k in rng.choice(len(pairs), 12, replace=False)]
    links = [(*pair, float(loose)) for pair, loose in zip(chosen, rng.permutation(12) / 11, strict=True)]
    cluster, fates = joined(links, [[0, 1, 2], [6, 7]])
    assert len({cluster[0], cluster[1], cluster[2]}) == 3
    assert cluster[6] != cluster[7]
    assert all(
        cluster[one] == cluster[two] for (one, two, _), fate in zip(links, fates, strict=True) if fate == "joined"
    )
    assert all(
        cluster[one] != cluster[two] for (one, two, _), fate in zip(links, fates, strict=True) if fate != "joined"
    )
    order = rng.permutation(12)
    again, others = joined([links[k] for k in order], [[7, 6], [2, 0, 1]])
    assert again == cluster
    assert others == [fates[k] for k in order]


def test_a_pair_is_one_row_with_everything_that_found_it() -> None:
    rank = np.array([2, 0, 1])  # of the ids: the order of the rows means nothing
    by_hash = pd.DataFrame({"first": [0, 0], "second": [1, 2], "looseness": [0.5, 1.5], "hash_bits": [3.0, 9.0]})
    features = pd.DataFrame({"first": [1], "second": [0], "looseness": [0.2], "inliers": [50], "mirrored": [True]})
    table = gather_links({"features": features, "hash": by_hash}, rank)
    assert table[["first", "second", "found_by", "fate"]].to_numpy().tolist() == [
        [1, 0, "features, hash", "joined"],
        [2, 0, "", "too loose"],
    ]
    assert table.loc[0, ["looseness", "hash_bits", "inliers", "mirrored"]].tolist() == [0.2, 3.0, 50, True]
