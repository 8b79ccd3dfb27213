"""Whether a model family does what the workflow asks of it (`evenhand.models.family.Family`), in plain findings.

A small model of the family is trained for a moment on made-up pictures of coloured squares; no study is needed. A
frozen one is asked the rest; it is prepared for ten of these pictures, which are called 0 to 9.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand.models.family import Family, Frozen, build, load_weights, save_weights
from evenhand.models.fast import Adam
from evenhand.models.vae import VAE
from evenhand.training.checkpoints import load_checkpoint, save_checkpoint
from evenhand.training.loop import to_unit_range, train, train_step
from evenhand.training.recipe import Recipe

SIDE = 16  # pixels
# Small enough for seconds; two stages, which leave 4 x 4 latents.
SMALL = {"width": 16, "multipliers": [1, 1], "latent_channels": 4, "deep": False, "norm": "batch"}
RECIPE = Recipe(2, 4, 1e-3, 10.0, 0.5, kl_scale=1e-3, feature_scale=0.0)
STEPS, FALL = 150, 0.5  # of one batch: the loss ends below this part of what it was
History = list[dict[str, float]]


def check_model(family: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is asked of a family, and what was found wrong with it: empty where it is as it should be.

    Args:
        family: as `model.family` of a configuration.
        options: as `model.options`.

    Raises:
        UserError: there is no such family, or it does not take these options.
    """
    block = SMALL | {"family": family, "options": dict(options)}
    trains = new_model(block).TRAINED
    checks: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "reconstructions": _reconstructions,
        "what GIVES says": _given,
        "weights on disk": _weights,
    }
    if trains:
        checks |= {
            "terms of the loss": _terms,
            "gradient": _gradient,
            "one batch is learned": _overfit,
            "determinism": _determinism,
            "resuming": _resuming,
        }
    for what, check in checks.items():
        try:
            yield what, check(block)
        except Exception as error:  # whatever the class raises is a finding
            yield what, f"raised {type(error).__name__}: {error}"


def new_model(block: Mapping[str, Any]) -> Family:
    """The model of a `model` block, with ever the same weights."""
    torch.manual_seed(0)
    model = build(block)
    if isinstance(model, Frozen):
        model.prepare(pictures(10).numpy(), [str(number) for number in range(10)])
    return model


def pictures(n: int) -> Tensor:
    """Four coloured squares each, uint8 (n, SIDE, SIDE, 3)."""
    squares = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 2, 2, 3), dtype=np.uint8))
    return squares.repeat_interleave(SIDE // 2, dim=1).repeat_interleave(SIDE // 2, dim=2)


def noise_for(model: Family, n: int, step: int = 0) -> Tensor:
    """Noise for `n` pictures in a step of training."""
    return torch.randn(n, *model.noise_shape(SIDE), generator=torch.Generator().manual_seed(step))


def trained(model: Family, epochs: int, history: History, optimizer: Adam | None = None) -> Adam:
    """`model` trained in place from the end of `history` to `epochs`; its optimiser."""
    optimizer = optimizer or Adam(model.parameters(), RECIPE.learning_rate)
    recipe = Recipe(epochs, *list(vars(RECIPE).values())[1:])
    train(model, optimizer, None, pictures(10), recipe, 1, "fp32", history, lambda _: None, lambda _: None)
    return optimizer


def _terms(block: Mapping[str, Any]) -> str:
    model = new_model(block).train()
    terms = model.training_terms(to_unit_range(pictures(4)), noise_for(model, 4), None, RECIPE)
    if terms.shape != (len(model.TERMS),):
        return f"TERMS names {len(model.TERMS)} ({', '.join(model.TERMS)}); training_terms gave {tuple(terms.shape)}"
    if not torch.isfinite(terms).all():
        return f"training_terms gave {terms.tolist()}, which is not finite, at the first weights"
    return ""


def _reconstructions(block: Mapping[str, Any]) -> str:
    model, target = new_model(block).eval(), to_unit_range(pictures(3))
    with torch.no_grad():
        image, again = model.reconstruct(target).image, model.reconstruct(target).image
        alone = torch.cat([model.reconstruct(target[place : place + 1]).image for place in range(3)])
    if image.shape != target.shape:
        return f"reconstruct gave images {tuple(image.shape)} of images {tuple(target.shape)}"
    if image.abs().max() > 1 + 1e-6 or not torch.isfinite(image).all():
        return f"reconstruct gave pixels from {image.min():.3g} to {image.max():.3g}; expected numbers in [-1, 1]"
    if not torch.equal(image, again):
        return "reconstruct gave two images of one: it uses chance (that is what `sample` is for)"
    if (image - alone).abs().max() > 1e-3:
        return "the reconstruction of an image depends on the others of its batch"
    return ""


@torch.no_grad()
def _given(block: Mapping[str, Any]) -> str:
    return next(_ill_given(new_model(block).eval()), "")


def _ill_given(model: Family) -> Iterator[str]:
    if "weights" in model.GIVES and not isinstance(model, VAE):
        yield "GIVES names weights, which only subclasses of the VAE give"
    target, noise = to_unit_range(pictures(3)), noise_for(model, 3)
    found = model.reconstruct(target)
    fields = {"last layer": "last_layer", "codes": "code_distance", "bits": "bits"}
    for given in ("latents", "posterior", "bound", *fields):
        there = getattr(found, fields.get(given, given)) is not None
        if there != (given in model.GIVES):
            yield f"GIVES {'lacks' if there else 'names'} {given}; reconstruct gives {'it' if there else 'none'}"
    if found.latents is not None and found.latents.dim() != 4:
        yield f"latents are {tuple(found.latents.shape)}; expected (images, channels, rows, columns)"
    if found.latents is not None and not torch.allclose(model.encode(target), found.latents, atol=1e-5):
        yield "encode gives other latents than reconstruct"
    if found.bound is not None and found.bound.shape != (3,):
        yield f"bound is {tuple(found.bound.shape)}; expected a number for each of 3 images"
    made = {}
    if "samples" in model.GIVES:
        made["sample"] = model.sample(found, target, noise)
    if "prior" in model.GIVES:
        made["generate"] = model.generate(noise)
    for method, images in made.items():
        if images.shape != target.shape or not torch.isfinite(images).all():
            yield f"{method} gave {tuple(images.shape)}; expected finite images {tuple(target.shape)}"


def _gradient(block: Mapping[str, Any]) -> str:
    model = new_model(block).train()
    optimizer, target = Adam(model.parameters(), RECIPE.learning_rate), to_unit_range(pictures(4))
    # A bias before a batch norm, which takes it away again, needs none.
    without = {name for name, _ in model.named_parameters() if not name.endswith("bias")}
    for step in range(3):  # what starts at its optimum, as a codebook may, has none at first
        train_step(model, optimizer, None, target, noise_for(model, 4, step), RECIPE, "fp32")
        without -= {
            name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()
        }
    return (
        f"the loss does not reach {', '.join(sorted(without))}: they would stay as they were drawn" if without else ""
    )


def _overfit(block: Mapping[str, Any]) -> str:
    model = new_model(block).train()
    optimizer, target = Adam(model.parameters(), 1e-3), to_unit_range(pictures(4))

    def error() -> float:
        with torch.no_grad():
            return float((model.eval().reconstruct(target).image - target).square().mean())

    before = error()
    model.train()
    for step in range(STEPS):
        terms = train_step(model, optimizer, None, target, noise_for(model, 4, step), RECIPE, "fp32")
        if not torch.isfinite(terms).all():
            return f"the loss became {terms.tolist()} while one batch of 4 images was learned"
    after = error()
    if not after < FALL * before:
        return (
            f"after {STEPS} steps on one batch of 4 images the mean squared error of their reconstructions is "
            f"{after:.3g}, at first it was {before:.3g}; expected less than {FALL:g} times that"
        )
    return ""


def _determinism(block: Mapping[str, Any]) -> str:
    first, second = new_model(block), new_model(block)
    for model in (first, second):
        trained(model, 2, [])
    return _difference(first, second, "two trainings from the same weights, data and noise")


def _weights(block: Mapping[str, Any]) -> str:
    model = new_model(block)
    if model.TRAINED:
        trained(model, 1, [])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_weights(path, model, block["family"])
        loaded = load_weights(path)
    target = to_unit_range(pictures(3))
    with torch.no_grad():
        same = torch.equal(model.eval().reconstruct(target).image, loaded.reconstruct(target).image)
    if not same:
        return "weights written and read again make other images: something that decides is no parameter and no buffer"
    return _difference(model, loaded, "weights written and read again")


def _resuming(block: Mapping[str, Any]) -> str:
    whole, begun, resumed = (new_model(block) for _ in range(3))
    trained(whole, 2, [])
    history: History = []
    optimizer = trained(begun, 1, history)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        save_checkpoint(path, "key", begun, optimizer, history)
        fresh = Adam(resumed.parameters(), RECIPE.learning_rate)
        trained(resumed, 2, load_checkpoint(path, "key", resumed, fresh), fresh)
    return _difference(whole, resumed, "a training and the same one stopped after an epoch and resumed")


def _difference(first: Family, second: Family, what: str) -> str:
    states = first.state_dict(), second.state_dict()
    if list(states[0]) != list(states[1]):
        return f"{what} differ in what they hold"
    other = [name for name, tensor in states[0].items() if not torch.equal(tensor, states[1][name])]
    return f"{what} differ in {', '.join(other[:3])}{' and more' if len(other) > 3 else ''}" if other else ""
