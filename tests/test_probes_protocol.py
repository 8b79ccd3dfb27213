"""Known truths: embeddings built so that the answer of every probe is known beforehand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from evenhand.probes import jobs
from evenhand.probes.protocol import probe_attribute
from evenhand.probes.settings import MLPSettings, ProtocolSettings
from evenhand.probes.targets import Target, make_target
from evenhand.workflow.errors import UserError

MLP = MLPSettings(hidden=(24,), learning_rate=5e-3, batch_size=64, max_epochs=25, patience=4)
SETTINGS = ProtocolSettings(folds=5, fractions=(0.0, 0.01, 0.5), random_draws=3, seed=3, mlp=MLP)
N, D = 600, 64


def classes(count: int = 2, n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(n) % count)


def noise(n: int = N, d: int = D, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def binary(codes: np.ndarray, name: str = "tone") -> Target:
    return make_target(name, ["light", "dark"], codes)


def probe(
    matrix: np.ndarray,
    target: Target,
    settings: ProtocolSettings = SETTINGS,
    groups: np.ndarray | None = None,
    diseases: tuple[Target, ...] = (),
) -> pd.DataFrame:
    groups = np.arange(len(matrix)) if groups is None else groups
    return probe_attribute(matrix, groups, target, diseases, settings, torch.device("cpu"))


def auc(table: pd.DataFrame, removal: str, fraction: float = 0.0, probe: str = "mlp", target: str = "tone") -> float:
    chosen = table[
        (table.removal == removal) & (table.fraction == fraction) & (table.probe == probe) & (table.target == target)
    ]
    assert len(chosen) > 0
    return float(chosen.auc.mean())


def covers_chance(table: pd.DataFrame, removal: str, fraction: float = 0.0) -> bool:
    values = table[(table.removal == removal) & (table.fraction == fraction) & (table.probe == "mlp")].auc
    # Nadeau-Bengio: the folds share training rows; n_test / n_train = 1 / (folds - 1).
    half = 2.776 * values.std() * np.sqrt(1 / 5 + 1 / 4)
    return bool(abs(values.mean() - 0.5) < half)


def test_one_feature_collapses_after_one_percent() -> None:
    codes, matrix = classes(), noise()
    matrix[:, 17] += 10 * codes
    table = probe(matrix, binary(codes))
    assert auc(table, "none") > 0.95
    assert auc(table, "top", 0.01) < 0.6  # 1 % of 64 features is the one that holds it
    assert auc(table, "random", 0.01) > 0.9
    assert auc(table, "bottom", 0.5) > 0.95
    assert set(table[table.fraction == 0.01].removed) == {1}


def test_redundant_in_all_features_equals_the_random_curve() -> None:
    codes, matrix = classes(), noise()
    matrix += 0.5 * codes[:, None]
    table = probe(matrix, binary(codes))
    assert auc(table, "none") > 0.95
    assert auc(table, "top", 0.01) > auc(table, "none") - 0.01
    assert auc(table, "top", 0.5) > 0.9
    assert auc(table, "top", 0.5) == pytest.approx(auc(table, "random", 0.5), abs=0.03)


def test_linear_code_is_erased_by_leace_for_both_probes() -> None:
    codes = classes()
    direction = np.random.default_rng(5).normal(size=D)
    matrix = noise() + 2.5 * (codes - 0.5)[:, None] * direction / np.linalg.norm(direction)
    table = probe(matrix.astype(np.float32), binary(codes))
    assert auc(table, "none") > 0.85
    assert auc(table, "none", probe="logistic") > 0.85
    assert auc(table, "leace", probe="logistic") == pytest.approx(0.5, abs=0.06)
    assert auc(table, "leace") == pytest.approx(0.5, abs=0.06)


def test_nonlinear_code_survives_leace_and_hides_from_the_linear_probe() -> None:
    codes, matrix = classes(), noise()
    sign = np.sign(matrix[:, 3])
    matrix[:, 3] = sign * 2
    matrix[:, 4] = sign * (2 * codes - 1) * 2  # exclusive or of two columns, each balanced in both classes
    table = probe(matrix[:, :16], binary(codes))
    assert auc(table, "none") > 0.95
    assert auc(table, "leace") > 0.95
    assert auc(table, "none", probe="logistic") < 0.6


def test_nothing_coded_is_chance() -> None:
    table = probe(noise(), binary(classes()))
    assert covers_chance(table, "none")
    assert covers_chance(table, "shuffled")
    assert auc(table, "none", probe="majority") == 0.5


def test_shuffled_labels_are_at_chance_over_many_shuffles() -> None:
    """One shuffle of 200 labels is off 0.5 by about 0.04, as any AUC of 200 rows is; the mean over shuffles is not."""
    settings = ProtocolSettings(
        folds=5, fractions=(0.0,), leace=False, logistic=False,
        mlp=MLPSettings(hidden=(), learning_rate=0.05, batch_size=64, max_epochs=5),
    )  # fmt: skip
    means, covered = [], 0
    for seed in range(40):
        codes, matrix = classes(n=200, seed=seed), noise(200, 8, seed + 100)
        matrix[:, :2] += 2 * codes[:, None]  # what the labels before shuffling would show, if they leaked
        table = probe(matrix, binary(codes), replace(settings, seed=seed))
        means.append(auc(table, "shuffled"))
        covered += covers_chance(table, "shuffled")
    expected = np.sqrt(201 / (12 * 100 * 100))  # standard deviation of a chance AUC, 100 rows a class (Mann-Whitney)
    assert np.mean(means) == pytest.approx(0.5, abs=3 * expected / np.sqrt(40))
    assert np.std(means) == pytest.approx(expected, rel=0.4)
    assert covered >= 36


def test_patients_fingerprint_gives_chance_in_honest_folds_only() -> None:
    """Every patient has a random code of its own and a random label: nothing to learn that carries over."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 10)
    label = rng.permutation(np.arange(60) % 2)[patients]
    matrix = (3 * rng.normal(size=(60, 20))[patients] + 0.1 * rng.normal(size=(600, 20))).astype(np.float32)
    settings = ProtocolSettings(folds=5, fractions=(0.0,), leace=False, logistic=False, seed=1, mlp=MLP)
    honest = probe(matrix, binary(label), settings, patients)
    broken = probe(matrix, binary(label), settings)
    assert auc(honest, "none") == pytest.approx(0.5, abs=0.12)
    assert auc(honest, "shuffled") == pytest.approx(0.5, abs=0.12)
    assert auc(broken, "none") > 0.95


def test_ranking_and_everything_fitted_ignore_the_test_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trap: whatever is fitted is given the rows it may see; none of them is in the fold's test part."""
    from evenhand.probes import protocol

    seen: list[np.ndarray] = []
    original = protocol.rank_features

    def spy(matrix: torch.Tensor, network: object, fitted: object, rows: np.ndarray) -> np.ndarray:
        seen.append(rows)
        return original(matrix, network, fitted, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(protocol, "rank_features", spy)
    codes, matrix = classes(), noise(d=20)
    matrix[:, 0] += 2 * codes
    first = probe(matrix, binary(codes))
    folds = [set(range(N)) - set(rows.tolist()) for rows in seen]
    assert [len(test) for test in folds] == [N // 5] * 5
    assert set.union(*folds) == set(range(N))
    # Poison one fold's test rows: a column that is the label, in this fold alone. Where the fold is tested
    # nothing fitted may change, so its ranking, and with it the features dropped, stay as they were.
    poisoned = matrix.copy()
    test = sorted(folds[0])
    poisoned[test, 7] = 50.0 * codes[test]
    rankings: list[np.ndarray] = []

    def record(*args: object) -> np.ndarray:
        rankings.append(original(*args))  # type: ignore[arg-type]
        return rankings[-1]

    monkeypatch.setattr(protocol, "rank_features", record)
    probe(matrix, binary(codes))
    probe(poisoned, binary(codes))
    np.testing.assert_array_equal(rankings[0], rankings[5])
    assert any((rankings[fold] != rankings[5 + fold]).any() for fold in range(1, 5))
    assert len(first) > 0


def test_disease_is_measured_on_the_features_left() -> None:
    codes, disease, matrix = classes(), classes(3, seed=9), noise()
    matrix[:, 0] += 4 * codes
    matrix[:, 1] += 6 * (disease == 1)
    matrix[:, 2] += 6 * (disease == 2)
    target = make_target("disease", ["a", "b", "c"], disease)
    table = probe(matrix, binary(codes), diseases=(target,))
    assert auc(table, "none", target="disease") > 0.9
    assert auc(table, "top", 0.01, target="disease") == pytest.approx(auc(table, "none", target="disease"), abs=0.02)
    assert auc(table, "leace", target="disease") == pytest.approx(auc(table, "none", target="disease"), abs=0.02)


def test_missing_labels_leave_their_rows_out_and_are_counted() -> None:
    codes, disease = classes(), classes(seed=4)
    codes[:100], disease[90:150] = -1, -1
    table = probe(noise(d=16), binary(codes), diseases=(binary(disease, "disease"),))
    once = table[(table.probe == "majority")]
    assert once[once.target == "tone"].n_test.sum() == N - 100
    assert once[once.target == "disease"].n_test.sum() == N - 150


def test_reranking_finds_a_copy_that_one_shot_ranking_would_miss() -> None:
    """Reranked removal never keeps fewer of the informative features' rivals: it takes at least what is left."""
    codes, matrix = classes(), noise(d=20)
    matrix[:, :4] += np.array([4.0, 2.0, 2.0, 2.0]) * codes[:, None]
    settings = ProtocolSettings(folds=5, fractions=(0.0, 0.05, 0.1, 0.2), rerank=True, seed=3, mlp=MLP)
    table = probe(matrix, binary(codes), settings)
    assert set(table[(table.removal == "reranked")].fraction) == {0.05, 0.1, 0.2}
    assert auc(table, "reranked", 0.2) < 0.6  # four features held it, four are gone
    assert auc(table, "reranked", 0.1) > 0.7


def test_same_input_gives_the_same_table_whatever_the_batch() -> None:
    codes, matrix = classes(n=200), noise(200, 12)
    matrix[:, 0] += codes
    first, again = (probe(matrix, binary(codes)) for _ in range(2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    alone = probe(matrix, binary(codes), replace(SETTINGS, mlp=replace(MLP, networks_per_batch=1)))
    pd.testing.assert_frame_equal(first, alone, atol=0.02)
    assert (first.auc - alone.auc).abs().median() < 1e-3


def test_networks_dropped_once_scored_leave_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, matrix = classes(n=120), noise(120, 6)
    settings = replace(SETTINGS, folds=3, random_draws=1, mlp=replace(MLP, max_epochs=3, networks_per_batch=1))
    whole = probe(matrix, binary(codes), settings)
    monkeypatch.setattr(jobs, "HELD_PARAMETERS", 1)
    pd.testing.assert_frame_equal(whole, probe(matrix, binary(codes), settings), check_exact=True)


def test_too_rare_a_class_says_what_to_do() -> None:
    codes = np.r_[np.zeros(96, int), np.ones(4, int)]
    with pytest.raises(UserError, match=r"5 folds need 5 groups in every class.*has 4.*allow_fewer_folds"):
        probe(noise(100, 8), binary(codes))
    fewer = probe(noise(100, 8), binary(codes), replace(SETTINGS, allow_fewer_folds=True))
    assert set(fewer.folds) == {4}


def test_one_class_only_is_an_error() -> None:
    with pytest.raises(UserError, match="at least two classes"):
        probe(noise(100, 8), binary(np.zeros(100, int)))


def test_a_disease_with_one_class_only_says_what_to_do() -> None:
    disease = np.where(np.arange(100) < 50, 1, -1)  # known for half of the rows, of one class
    disease[3] = 0
    with pytest.raises(
        UserError, match=r"disease: among the rows where tone is known.*a training fold has one class of it only"
    ):
        probe(noise(100, 8), binary(classes(n=100)), diseases=(binary(disease, "disease"),))
