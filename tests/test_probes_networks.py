"""Batched networks against single ones, dropped columns, scikit-learn, and LEACE against its defining property."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.probes import batched_mlp
from evenhand.probes.batched_mlp import fit_networks
from evenhand.probes.jobs import fit_leace, kept_after, rank_features, removed_count
from evenhand.probes.networks import Network, network_inputs, network_logits, parameter_count, predict
from evenhand.probes.settings import MLPSettings
from evenhand.probes.targets import Labels

SETTINGS = MLPSettings(hidden=(16, 8), learning_rate=1e-2, batch_size=32, max_epochs=8, patience=2)


def data(n: int = 160, d: int = 10, outputs: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = (x[:, :outputs] + 0.5 * rng.normal(size=(n, outputs)) > 0).astype(np.float32)
    return x, y


def network(d: int, seed: int = 0, kept: np.ndarray | None = None, labels: int = 0) -> Network:
    kept = np.arange(d) if kept is None else kept
    center, scale = np.zeros(d, np.float32), np.ones(d, np.float32)
    return Network(np.arange(100), np.arange(100, 130), labels, center, scale, kept, seed)


def masked_reference(
    x: torch.Tensor, y: torch.Tensor, kept: np.ndarray, net: Network, loss: str, epochs: int
) -> list[torch.Tensor]:
    """One network by autograd on all columns, the removed ones set to zero; the same draws as the batched code."""
    draws = torch.Generator().manual_seed(net.seed)
    inputs, weights, biases = torch.zeros_like(x), [], []
    inputs[:, kept] = x[:, kept]
    for inside, outside in ((len(kept), 16), (16, 8), (8, y.shape[1])):
        bound = (6 / (inside + outside)) ** 0.5
        weights.append(torch.empty(inside, outside).uniform_(-bound, bound, generator=draws))
        biases.append(torch.zeros(outside))
    weights[0] = torch.zeros(x.shape[1], 16).index_copy_(0, torch.from_numpy(kept), weights[0])
    parameters = [parameter.requires_grad_() for parameter in (*weights, *biases)]
    optimiser = torch.optim.AdamW(parameters, lr=SETTINGS.learning_rate, weight_decay=SETTINGS.weight_decay)
    for _ in range(epochs):
        for rows in torch.from_numpy(net.train)[torch.randperm(len(net.train), generator=draws)].split(32):
            hidden = torch.relu(inputs[rows] @ weights[0] + biases[0])
            logits = torch.relu(hidden @ weights[1] + biases[1]) @ weights[2] + biases[2]
            known = ~y[rows].isnan()
            if loss == "softmax":
                known = known[:, 0]
                mean = torch.nn.functional.cross_entropy(logits[known], y[rows][known])
            else:
                mean = torch.nn.functional.binary_cross_entropy_with_logits(logits[known], y[rows][known])
            optimiser.zero_grad()
            mean.backward()
            optimiser.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_dropped_columns_are_the_same_as_masked_ones(loss: str) -> None:
    x, y = data(outputs=3)
    y = y if loss == "sigmoid" else np.eye(3, dtype=np.float32)[x[:, 1:4].argmax(1)]
    y[7:30] = np.nan
    y[30:40, 1] = np.nan if loss == "sigmoid" else y[30:40, 1]
    kept = kept_after([0, 4, 7], 10)
    nets = [network(10, 5, kept), network(10, 6, kept)]
    for net, dropped in zip(
        nets, fit_networks(torch.from_numpy(x), [Labels(y, loss)], nets, SETTINGS), strict=True  # type: ignore[arg-type]
    ):  # fmt: skip
        assert dropped.best_epoch > 1
        masked = masked_reference(torch.from_numpy(x), torch.from_numpy(y), kept, net, loss, dropped.best_epoch)
        assert (masked[0][[0, 4, 7]] == 0).all()
        torch.testing.assert_close(dropped.weights[0], masked[0][torch.from_numpy(kept)], rtol=1e-3, atol=1e-5)
        for ours, theirs in zip([*dropped.weights[1:], *dropped.biases], masked[1:], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_rounded_arithmetic_learns_as_well() -> None:
    from sklearn.metrics import roc_auc_score

    x, y = data(900, 20)
    net = replace(network(20, 1), train=np.arange(500), valid=np.arange(500, 600))
    rows, aucs = np.arange(600, 900), []
    for precision in ("fp32", "bf16"):
        (fitted,) = fit_networks(
            torch.from_numpy(x), [Labels(y, "sigmoid")], [net], replace(SETTINGS, precision=precision)
        )
        aucs.append(roc_auc_score(y[rows, 0], predict(torch.from_numpy(x), net, fitted, rows)[:, 0]))
    assert aucs[0] > 0.85
    assert aucs[1] == pytest.approx(aucs[0], abs=0.02)


def test_what_a_network_learns_does_not_depend_on_its_batch() -> None:
    x, y = data()
    labels = [Labels(y, "sigmoid"), Labels(1 - y[::-1].copy(), "sigmoid")]
    networks = [network(10, seed, labels=seed % 2) for seed in range(7)]
    together = fit_networks(torch.from_numpy(x), labels, networks, replace(SETTINGS, networks_per_batch=7))
    for size in (1, 3):
        apart = fit_networks(torch.from_numpy(x), labels, networks, replace(SETTINGS, networks_per_batch=size))
        for a, b in zip(together, apart, strict=True):
            assert (a.epochs, a.best_epoch) == (b.epochs, b.best_epoch)
            torch.testing.assert_close(a.weights[1], b.weights[1], rtol=1e-4, atol=1e-5)
    assert len({result.epochs for result in together}) > 1  # some stopped before others


def test_a_stopped_network_keeps_its_best_epoch() -> None:
    x, _ = data()
    y = np.random.default_rng(3).integers(0, 2, (160, 1)).astype(np.float32)  # nothing to learn: it overfits at once
    labels, settings = [Labels(y, "sigmoid")], replace(SETTINGS, max_epochs=60, patience=4)
    (stopped,) = fit_networks(torch.from_numpy(x), labels, [network(10)], settings)
    assert stopped.epochs < 60
    logits = predict(torch.from_numpy(x), network(10), stopped, np.arange(100, 130))[:, 0]
    loss = np.mean(np.logaddexp(0, logits) - y[100:130, 0] * logits)
    assert loss == pytest.approx(-stopped.best_score, rel=1e-4)
    (short,) = fit_networks(
        torch.from_numpy(x), labels, [network(10)], replace(settings, max_epochs=stopped.best_epoch)
    )
    torch.testing.assert_close(short.weights[0], stopped.weights[0])


def test_unknown_labels_have_no_influence() -> None:
    x, y = data(outputs=2)
    y[:40, 1] = np.nan
    (first,) = fit_networks(torch.from_numpy(x), [Labels(y, "sigmoid")], [network(10)], SETTINGS)
    assert all(torch.isfinite(weight).all() for weight in first.weights)
    only_known = replace(network(10), train=np.arange(40))
    blank = np.column_stack([y[:, 0], np.full(160, np.nan)]).astype(np.float32)
    (none,) = fit_networks(torch.from_numpy(x), [Labels(blank, "sigmoid")], [only_known], SETTINGS)
    assert (none.biases[-1][1] == 0).item()  # a label known nowhere never moved its output


def test_rows_that_fill_up_a_batch_may_lack_a_label() -> None:
    x, _ = data()
    codes = np.random.default_rng(1).integers(0, 3, 160)
    y = np.eye(3, dtype=np.float32)[codes]
    y[0] = np.nan  # row 0 stands in where a batch is not full
    net = replace(network(10), train=np.arange(1, 100), valid=np.arange(100, 130))
    shorter = replace(net, train=np.arange(1, 90), valid=np.arange(100, 120))
    for fitted in fit_networks(torch.from_numpy(x), [Labels(y, "softmax")], [net, shorter], SETTINGS):
        assert np.isfinite(fitted.best_score)


def test_as_good_as_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score
    from sklearn.neural_network import MLPClassifier

    x, y = data(3900, 20)
    settings = MLPSettings(
        hidden=(32,), weight_decay=0.0, batch_size=64, max_epochs=40, patience=10, monitor="accuracy"
    )
    ours_net = replace(network(20, 1), train=np.arange(3000), valid=np.arange(3000, 3300))
    (ours,) = fit_networks(torch.from_numpy(x), [Labels(y, "sigmoid")], [ours_net], settings)
    theirs = MLPClassifier((32,), alpha=0, batch_size=64, max_iter=40, early_stopping=True, random_state=0)
    theirs.fit(x[:3300], y[:3300, 0])
    rows = np.arange(3300, 3900)
    ours_auc = roc_auc_score(y[rows, 0], predict(torch.from_numpy(x), ours_net, ours, rows)[:, 0])
    assert ours_auc == pytest.approx(roc_auc_score(y[rows, 0], theirs.predict_proba(x[rows])[:, 1]), abs=0.015)
    assert ours_auc > 0.85


def test_parameter_count_of_the_published_probe() -> None:
    assert parameter_count(1376, (768, 256), 1) == 1376 * 768 + 768 + 768 * 256 + 256 + 256 + 1


def test_ranking_of_a_linear_probe_is_by_absolute_weight() -> None:
    x, y = data()
    net = network(10)
    (fitted,) = fit_networks(torch.from_numpy(x), [Labels(y, "sigmoid")], [net], replace(SETTINGS, hidden=()))
    expected = np.argsort(-fitted.weights[0][:, 0].abs().numpy(), kind="stable")
    np.testing.assert_array_equal(rank_features(torch.from_numpy(x), net, fitted, np.arange(100)), expected)


def test_gradient_ranking_agrees_with_finite_differences() -> None:
    x, y = data()
    net = network(10)
    (fitted,) = fit_networks(torch.from_numpy(x), [Labels(y, "sigmoid")], [net], SETTINGS)
    inputs, step, sums = network_inputs(torch.from_numpy(x), net, np.arange(100)), 1e-3, []
    for feature in range(10):
        shifted = inputs.clone()
        shifted[:, feature] += step
        sums.append(float((network_logits(fitted, shifted) - network_logits(fitted, inputs)).abs().sum()))
    ranked = rank_features(torch.from_numpy(x), net, fitted, np.arange(100))
    assert ranked[0] == int(np.argmax(sums))
    assert ranked[-1] == int(np.argmin(sums))


@pytest.mark.parametrize(
    ("features", "counts"), [(64, (1, 3, 6, 13, 32)), (512, (5, 26, 51, 102, 256)), (1376, (14, 69, 138, 275, 688))]
)
def test_removed_counts_of_the_published_sizes(features: int, counts: tuple[int, ...]) -> None:
    assert tuple(removed_count(fraction, features) for fraction in (0.01, 0.05, 0.1, 0.2, 0.5)) == counts


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(30, 120), d=st.integers(2, 12), classes=st.integers(2, 4), flat=st.booleans(), seed=st.integers(0, 99)
)
def test_leace_leaves_no_covariance_and_erasing_twice_changes_nothing(
    n: int, d: int, classes: int, flat: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    z = np.eye(classes)[rng.permutation(np.arange(n) % classes)]
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 2 * z @ rng.normal(size=(classes, d))
    if flat:
        x[:, -1] = x[:, 0]  # a covariance that has no inverse
    left, right = fit_leace(x, z)
    assert left.shape[1] <= classes - 1
    centred = x - x.mean(0)
    erased = centred - centred @ left @ right
    cross = erased.T @ (z - z.mean(0)) / n
    assert np.abs(cross).max() < 1e-6 * max(1.0, np.abs(centred).max() ** 2)
    np.testing.assert_allclose(erased - erased @ left @ right, erased, atol=1e-6 * np.abs(centred).max())


def test_leace_changes_less_than_projecting_the_class_means_away() -> None:
    """Among erasures it is the one of least mean squared change; the orthogonal projection is another."""
    rng = np.random.default_rng(0)
    z = (np.arange(400) % 2)[:, None].astype(float)
    x = rng.normal(size=(400, 6)) @ np.diag([5, 3, 1, 1, 0.5, 0.2]) + z * rng.normal(size=6)
    centred, left_right = x - x.mean(0), fit_leace(x, z)
    change = centred @ left_right[0] @ left_right[1]
    direction = centred.T @ (z - z.mean())
    direction /= np.linalg.norm(direction)
    whitening_free = centred @ direction @ direction.T
    assert (change**2).sum() < (whitening_free**2).sum()


@pytest.mark.parametrize(("n", "d"), [(300, 12), (40, 60)])
def test_leace_agrees_with_the_package_of_its_authors(n: int, d: int) -> None:
    concept_erasure = pytest.importorskip("concept_erasure", reason="concept-erasure is optional and not installed")
    rng = np.random.default_rng(4)
    z = np.eye(3)[rng.integers(0, 3, n)]
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 2 * z @ rng.normal(size=(3, d))
    left, right = fit_leace(x, z)
    ours = x - (x - x.mean(0)) @ left @ right
    # Its defaults shrink the covariance and skip weak directions: then the erasure is not that of the theorem.
    exact = {"shrinkage": False, "svd_tol": 1e-6, "constrain_cov_trace": False}
    theirs = concept_erasure.LeaceEraser.fit(torch.from_numpy(x), torch.from_numpy(z), **exact)
    np.testing.assert_allclose(ours, theirs(torch.from_numpy(x)).numpy(), atol=1e-6 * np.abs(x).max())


def batch(count: int, alignment: int, precision: str, monkeypatch: pytest.MonkeyPatch) -> batched_mlp._Batch:
    """Networks of 9 of 10 features, as a device with this alignment holds them."""
    monkeypatch.setattr(batched_mlp, "alignment_on", lambda device: alignment)
    x, y = data(outputs=3)
    networks = [network(10, seed, kept_after([4], 10)) for seed in range(count)]
    settings = replace(SETTINGS, hidden=(17, 5), precision=precision)  # type: ignore[arg-type]
    return batched_mlp._Batch(torch.from_numpy(x), [Labels(y, "sigmoid")], networks, settings)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_aligned_networks_learn_the_same(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, aligned = (batch(3, alignment, precision, monkeypatch) for alignment in (1, 8))
    for layers in (aligned.used, aligned.gradients):
        assert layers.table.stride(0) % 8 == 0
        assert all(part.storage_offset() % 8 == 0 for part in (*layers.weights, *layers.biases))
    assert aligned.train.inputs.shape[2] == 16
    for found, expected in zip(aligned.fit(), plain.fit(), strict=True):
        assert found.epochs == expected.epochs
        assert [weight.shape for weight in found.weights] == [(9, 17), (17, 5), (5, 3)]
        for ours, theirs in zip([*found.weights, *found.biases], [*expected.weights, *expected.biases], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("alignment", [1, 8])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_memory_of_a_network_is_counted(precision: str, alignment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 4
    held = batch(count, alignment, precision, monkeypatch)
    rows = [part for table in (held.train, held.valid) for part in (table.inputs, table.labels, table.weights)]
    tables = [held.table, held.gradient, held.mean, held.square, held.used.table, held.gradients.table]
    sizes = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in (*rows, *tables)}
    counted = batched_mlp.network_bytes(9, 3, 130, held.settings, alignment)
    assert sum(sizes.values()) == count * counted


def test_a_small_gpu_trains_fewer_networks_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    device, settings = torch.device("cuda"), MLPSettings()
    found = {}
    for free in (2**20, 2**33, 2**36):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 2**37))
        found[free] = batched_mlp.batch_capacity(507, 1, 48_000, settings, device)
        needed = batched_mlp.network_bytes(507, 1, 48_000, settings, 8)
        assert found[free] == 1 or found[free] * needed <= free / 2
    assert found[2**20] == 1  # a network is trained whatever it needs
    assert 1 < found[2**33] < found[2**36]
