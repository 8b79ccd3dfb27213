"""Per-image measures are what their formulas say, and depend on nothing but the image and the model."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.covariance import LedoitWolf
from test_lpips import weights
from torch.func import functional_call, jacrev

from evenhand.evaluation.laplace import Curvature, sampled
from evenhand.evaluation.measures import MEASURES, Measure, decoding_var, mse_over_var, mse_sampled, ssim
from evenhand.evaluation.reconstructions import (
    choose_examples,
    decode,
    images_at_a_time,
    measured,
    measured_skin,
    noise_of,
    of_training,
    pooled_features,
    reconstruct,
)
from evenhand.evaluation.scores import Training, complexity
from evenhand.models.architecture import Architecture
from evenhand.models.family import Reconstruction, load_weights, save_weights
from evenhand.models.lpips import NETWORKS, Lpips
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vae import VAE, kl_divergence
from evenhand.models.vgg19 import random_weights
from evenhand.report.page import read_dictionary
from evenhand.splits.manifests import ids_of, read_draw, read_images, read_names, rows_of, write_draw
from evenhand.workflow.errors import UserError
from evenhand.workflow.tables import read_table

CPU = torch.device("cpu")
PERCEPTUAL = PerceptualLoss(random_weights(0), normalize=False)
LPIPS = Lpips(NETWORKS[1], weights(NETWORKS[1]))
SMALL = Architecture(width=16, multipliers=(1, 1, 1, 1), latent_channels=3, deep=False)


@pytest.fixture(scope="module")
def model() -> VAE:
    torch.manual_seed(0)
    model = VAE(SMALL)
    model.train()
    with torch.no_grad():  # running statistics away from their start, as after training
        model(torch.randn(16, 3, 32, 32), torch.randn(16, 3, 2, 2))
    return model.eval()


def photographs(n: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def known(model: VAE) -> Training:
    return of_training(model, photographs(9)[3:], 12, seed=1, batch_size=4, device=CPU)


def measure(model: VAE, images: np.ndarray, batch_size: int = 4) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    names = [hashlib.md5(image.tobytes()).hexdigest() for image in images]
    settings = {"samples": 2, "seed": 1, "batch_size": batch_size, "device": CPU, "workers": 1}
    decoded = decode(model, images, names, PERCEPTUAL, known(model), **settings, lpips=LPIPS)
    on_skin = measured_skin(images, decoded.reconstructions, workers=1)
    return pd.DataFrame(decoded.columns | on_skin), decoded.latents, decoded.reconstructions


def test_what_is_declared_is_measured(model: VAE) -> None:
    images = photographs(2)
    table = measure(model, images)[0]
    of_several = ("sets", "models", "bounds of models", "weights", "codes", "bits")
    assert {*table} == {name for name, entry in MEASURES.items() if entry.needs not in of_several}
    # What a study without skin has: each measure on its own side, none on both.
    of_skin = measured_skin(images, images, workers=1)
    assert list(of_skin) == [name for name in table if MEASURES[name].needs == "skin"]
    settings = {"samples": 2, "seed": 1, "batch_size": 4, "device": CPU, "workers": 1}
    decoded = decode(model, images, ["a", "b"], PERCEPTUAL, known(model), **settings)
    # Without a file of the user there is no LPIPS.
    assert list(decoded.columns) == [name for name in table if MEASURES[name].needs not in ("lpips", "skin")]
    # What the features of these images are compared with by others, who take them by themselves.
    np.testing.assert_allclose(decoded.pooled, pooled_features(PERCEPTUAL, images, CPU), rtol=1e-5, atol=1e-6)
    # A model that was not trained here has no training images to be held against.
    frozen = decode(model, images, ["a", "b"], PERCEPTUAL, Training(), **settings)
    missing = [name for name in decoded.columns if MEASURES[name].needs in ("typicality", "training", "last layer")]
    assert [name for name in decoded.columns if name not in frozen.columns] == missing


def test_one_entry_makes_a_measure(model: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    def error(target: torch.Tensor, reconstruction: torch.Tensor) -> torch.Tensor:
        return (reconstruction - target).abs().amax(dim=(1, 2, 3))

    monkeypatch.setitem(MEASURES, "largest", Measure(error, "images", "t", "l", "Of all pixels.", better="lower"))
    images = photographs(2)
    table, _, reconstructions = measure(model, images)
    largest = np.abs(reconstructions.astype(float) - images).max(axis=(1, 2, 3)) / 127.5
    np.testing.assert_allclose(table["largest"], largest, atol=0.51 / 127.5)
    dictionary = read_dictionary(Path(__file__).parents[1] / "schemas" / "tables.yaml")
    assert dictionary["runs"]["largest"] == "Of all pixels. Lower is better."
    assert list(dictionary["runs"])[-1] == "largest"


def test_every_measure_is_described() -> None:
    for name, entry in MEASURES.items():
        assert entry.about.endswith("."), name
        assert min(len(entry.title), len(entry.label)) > 1, name
        # What is drawn with the gaps, and followed from the runs to the sweep, has to be in both tables.
        assert not entry.principal or (entry.table == "runs" and entry.gap), name
        # A `Skin` is that of one image.
        assert entry.each or entry.needs != "skin", name


def test_who_reads_the_declarations_does_not_wait_for_pytorch() -> None:
    code = "import sys; import evenhand.evaluation.measures, check_run; print({'torch', 'skimage'} & {*sys.modules})"
    path = str(Path(__file__).parents[1] / "workflow_scripts")
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_measures_of_one_image_by_hand(model: VAE) -> None:
    images = photographs(3)
    table, means, reconstructions = measure(model, images, batch_size=2)
    for row in range(3):
        x = torch.from_numpy(images[row].astype(np.float32) / 255 * 2 - 1).permute(2, 0, 1)[None]
        with torch.no_grad():
            mu, logvar = (part[0].double().numpy() for part in model.encoder(x))
            decoded = model.decoder(torch.from_numpy(mu).float()[None])
            y, x_ = decoded[0].double().numpy(), x[0].double().numpy()
            layers = zip(PERCEPTUAL.features(decoded), PERCEPTUAL.features(x), strict=True)
            distance = np.mean([((a - b) ** 2).mean().item() for a, b in layers])
        mse = np.mean((y - x_) ** 2)
        around_mean_colour = np.mean((x_ - x_.mean(axis=(1, 2), keepdims=True)) ** 2)
        assert table["mse"][row] == pytest.approx(mse, rel=1e-4)
        assert table["mse_unit"][row] == pytest.approx(np.mean(((y + 1) / 2 - (x_ + 1) / 2) ** 2), rel=1e-4)
        assert table["psnr"][row] == pytest.approx(peak_signal_noise_ratio(x_, y, data_range=2), rel=1e-4)
        assert table["mse_over_var"][row] == pytest.approx(mse / around_mean_colour, rel=1e-4)
        assert table["perceptual"][row] == pytest.approx(distance, rel=1e-3)
        with torch.no_grad():
            assert table["lpips"][row] == pytest.approx(LPIPS.distances(x, LPIPS.features(decoded)).item(), rel=1e-3)
        assert table["latent_std"][row] == pytest.approx(np.mean(np.sqrt(np.exp(logvar))), rel=1e-5)
        bound = means[row].size * mse + table["kl"][row]
        assert table["bound"][row] == pytest.approx(bound, rel=1e-4)
        assert table["typicality"][row] == pytest.approx(abs(bound - known(model).bound), rel=1e-2)
        with torch.no_grad():
            again = model.encoder(decoded)[0][0].double().numpy()
        assert table["reencoding"][row] == pytest.approx(np.mean((again - mu) ** 2), rel=1e-3)
        assert table["luma"][row] == pytest.approx(images[row].mean(axis=(0, 1)) @ [0.2126, 0.7152, 0.0722] / 255)
        assert table["kl"][row] == pytest.approx(np.sum((mu**2 + np.exp(logvar) - 1 - logvar) / 2), rel=1e-4)
        assert means[row] == pytest.approx(mu, rel=1e-4, abs=1e-6)
        np.testing.assert_allclose(reconstructions[row], (y.transpose(1, 2, 0) + 1) * 127.5, atol=0.51)


def test_laplace_of_the_last_layer_is_that_of_automatic_differentiation(model: VAE) -> None:
    """The Jacobian of the sampled values with respect to all weights of the last layer, colours together."""
    layer = known(model).last_layer
    rows, columns = layer.places
    weights = {name: value.double() for name, value in model.decoder.conv_out.named_parameters()}

    def jacobian(images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            features = model.decoder.features(model.encoder(x)[0]).double()

        def values(of: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.tanh(functional_call(model.decoder.conv_out, of, (features,)))[:, :, rows, columns].flatten()

        parts = jacrev(values)(weights)
        matrix = torch.cat([parts[name].flatten(1) for name in weights], dim=1)
        return matrix, torch.tanh(functional_call(model.decoder.conv_out, weights, (features,))), x

    trained, reconstruction, x = jacobian(photographs(9)[3:])
    variance = (reconstruction - x).square().mean()
    scale = 12 * 32**2 / (6 * len(rows))  # the sampled pixels stand for all of twelve images
    precision = torch.eye(trained.shape[1]).double() + scale / variance * trained.T @ trained
    tested, _, _ = jacobian(photographs(2))
    expected = (tested @ torch.linalg.inv(precision) * tested).sum(dim=1).reshape(2, -1).mean(dim=1)
    np.testing.assert_allclose(measure(model, photographs(2))[0]["laplace_var"], expected.detach(), rtol=1e-3)


def test_laplace_holds_where_training_pixels_say_almost_all_of_some_directions_and_nothing_of_others() -> None:
    """Features of large sums, fewer pixels than weights; expected from singular values, which square nothing."""
    random = torch.Generator().manual_seed(2)
    layer, places = torch.nn.Conv2d(8, 3, 5), torch.tensor([[2, 5, 9], [7, 1, 4]])
    features = 10 + torch.rand(8, 8, 12, 12, generator=random)
    images = 0.1 * torch.randn(8, 3, 12, 12, generator=random)
    curvature = Curvature(places)
    curvature.add(layer, features[:4], images[:4], images[:4] + 0.03)
    found = curvature.last_layer(2000, 12).variance(layer, features[4:], images[4:])
    inputs, slopes = (part.numpy() for part in sampled(layer, features, images, places))
    scale = 2000 * 12**2 / (4 * 3) / 0.03**2
    expected = np.zeros(4)
    for colour in range(3):
        rows = inputs[:4].reshape(12, -1) * np.sqrt(scale * slopes[:4, :, colour].reshape(12, 1))
        _, values, directions = np.linalg.svd(rows)
        values = np.concatenate([values, np.zeros(len(directions) - len(values))])
        along = (inputs[4:] @ directions.T) ** 2 / (1 + values**2)
        expected += (along.sum(axis=2) * slopes[4:, :, colour]).mean(axis=1) / 3
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_distance_to_the_training_latents_is_mahalanobis(model: VAE) -> None:
    """Of what the training images are, pooled over space; scikit-learn's own distance beside it."""
    images = photographs(9)
    _, means, _ = measure(model, images)
    pooled = means.astype(float).mean(axis=(2, 3))
    fit = LedoitWolf().fit(pooled[3:])
    expected = np.sqrt(fit.mahalanobis(pooled))
    np.testing.assert_allclose(known(model).distance(torch.from_numpy(means)), expected, rtol=1e-3)
    constant = np.full((32, 32, 3), 90, np.uint8)
    assert complexity(constant) < complexity(images[0])


def test_batches_and_order_do_not_matter(model: VAE) -> None:
    images = photographs(7)
    table, means, _ = measure(model, images, batch_size=7)
    in_twos, _, _ = measure(model, images, batch_size=2)
    pd.testing.assert_frame_equal(table, in_twos, rtol=1e-3)
    backwards, means_backwards, _ = measure(model, images[::-1].copy(), batch_size=7)
    pd.testing.assert_frame_equal(table[::-1].reset_index(drop=True), backwards, rtol=1e-3)
    np.testing.assert_allclose(means, means_backwards[::-1], rtol=1e-3, atol=1e-5)


def test_batches_of_larger_images_take_no_more_memory() -> None:
    sizes = [images_at_a_time(64, side) for side in (32, 64, 128, 144, 256)]
    assert sizes == [64, 64, 64, 50, 16]  # beyond 128 px, as many values as 64 images of 128 px at most
    assert images_at_a_time(3, 256) == 1  # and never none


def test_a_perfect_reconstruction() -> None:
    x = torch.from_numpy(photographs(2)).permute(0, 3, 1, 2).double() / 127.5 - 1
    with ThreadPoolExecutor(2) as pool:
        table = measured({"images": (x, x)}, pool)
    assert table["mse"].tolist() == table["mse_over_var"].tolist() == [0.0, 0.0]
    assert table["psnr"].tolist() == pytest.approx([10 * np.log10(48 * 255**2 / 4)] * 2)
    assert table["ssim"].tolist() == pytest.approx([1.0, 1.0])


def test_structural_similarity_is_that_of_scikit_image() -> None:
    x, y = (
        torch.from_numpy(each).permute(0, 3, 1, 2).float() / 127.5 - 1 for each in (photographs(3), photographs(6)[3:])
    )
    y[0] = 0.8 * x[0] + 0.2 * y[0]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2.0}
    expected = [
        structural_similarity(*pair, channel_axis=0, **settings) for pair in zip(x.numpy(), y.numpy(), strict=True)
    ]
    assert ssim(x, y).tolist() == pytest.approx(expected, abs=1e-5)


def test_error_relative_to_a_constant_image() -> None:
    x = torch.from_numpy(photographs(2)).permute(0, 3, 1, 2).double() / 127.5 - 1
    mean_colour = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    assert mse_over_var(x, mean_colour).tolist() == pytest.approx([1.0, 1.0])
    # An image of one colour has no variance of its own: it counts as rounded to 256 levels, not as infinitely hard.
    assert torch.isfinite(mse_over_var(mean_colour, x)).all()


def test_variance_of_decodings_follows_the_posterior() -> None:
    mu = torch.zeros(2, 3, 8, 8)
    logvar = torch.log(torch.tensor([0.04, 0.25]))[:, None, None, None].expand_as(mu)
    noise = noise_of(["a", "b"], 400, (3, 8, 8), seed=1)
    vae = VAE(SMALL)
    vae.decoder = torch.nn.Identity()  # type: ignore[assignment] # shows the latent: decoding variance is posterior's
    found = Reconstruction(mu, posterior=(mu, logvar, kl_divergence(mu, logvar)))
    decodings = torch.stack([vae.sample(found, mu, draw) for draw in noise])
    assert decoding_var(torch.ones_like(mu), decodings).tolist() == pytest.approx([0.04, 0.25], rel=0.03)
    assert mse_sampled(torch.ones_like(mu), decodings).tolist() == pytest.approx([1.04, 1.25], rel=0.03)
    # Noise belongs to the image, not to its place in a batch.
    torch.testing.assert_close(noise_of(["b"], 400, (3, 8, 8), seed=1)[:, 0], noise[:, 1])


def test_examples_are_the_measured_reconstructions(model: VAE) -> None:
    images = photographs(3)
    np.testing.assert_array_equal(reconstruct(model, images, CPU)[0], measure(model, images)[2])


def test_examples_sit_at_even_quantiles_of_their_group_median_and_quartiles_among_them() -> None:
    errors = pd.DataFrame(
        {
            "id": [f"{index:03d}" for index in range(100)] * 2,
            "group": (["light"] * 50 + ["dark"] * 50) * 2,
            # Two training sets whose errors add up to the rank within the group.
            "mse": [index % 50 for index in range(100)] + [0.0] * 100,
        }
    )
    chosen = choose_examples(errors.sample(frac=1, random_state=0), 3)
    assert chosen["group"].tolist() == ["light"] * 3 + ["dark"] * 3
    assert chosen["quantile"].tolist() == pytest.approx([0.25, 0.5, 0.75] * 2)
    assert chosen["id"].tolist() == ["012", "025", "037", "062", "075", "087"]


def test_more_examples_than_images() -> None:
    errors = pd.DataFrame({"id": list("abcd"), "group": ["light", "dark"] * 2, "mse": [1.0, 2.0, 3.0, 4.0]})
    assert choose_examples(errors, 6)["id"].tolist() == ["a", "c", "b", "d"]


def test_weights_survive_the_disk(model: VAE, tmp_path: Path) -> None:
    save_weights(tmp_path / "model.safetensors", model)
    loaded = load_weights(tmp_path / "model.safetensors")
    assert loaded.architecture == SMALL
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", "truncated"])
def test_damaged_weights_are_refused(model: VAE, tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, model)
    path.write_bytes(path.read_bytes()[:5000] if isinstance(content, str) else content)
    with pytest.raises(UserError, match="does not hold the weights of a trained model"):
        load_weights(path)


def test_images_follow_the_manifest(tmp_path: Path) -> None:
    packed = photographs(4)
    np.save(tmp_path / "images.npy", packed)
    (tmp_path / "images.csv").write_text("row,id\n0,00\n1,1e5\n2,22\n3,33\n")
    write_draw({"light": ["33", "1e5"], "dark": []}, 0, None, tmp_path / "test.csv")
    names, index = ids_of(read_draw(tmp_path / "test.csv", 0, None)), read_names(tmp_path / "images.csv")
    assert read_table(tmp_path / "images.csv")["id"].tolist() == index
    rows = rows_of(names, index)
    assert rows.tolist() == [3, 1]  # and the hash 1e5 is not read as a number
    np.testing.assert_array_equal(read_images(tmp_path / "images.npy", rows), packed[[3, 1]])
    with pytest.raises(
        UserError, match=r"1 images of the manifest are not among the 3 packed ones \(the first is 33\)"
    ):
        rows_of(names, index[:3])
