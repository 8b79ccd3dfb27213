"""Which model families there are and what each says of itself, read without importing it.

A family is a class: that of `evenhand/models/NAME.py`, or `FILE.py:CLASS` of the user. What it is it says in literals
(`evenhand.models.family.Family`). The rule files import this, and PyTorch would delay every plan.
"""

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from evenhand.splits.groups import FROZEN
from evenhand.workflow.errors import UserError

# What a family may give, and what is not applicable without it.
GIVEN = {
    "latents": "distance to the training latents, error of re-encoding, probes of the latents",
    "posterior": "latent standard deviation, KL divergence",
    "bound": "evidence lower bound, distance from the typical set, likelihood ratio, WAIC",
    "samples": "error and variance of sampled decodings",
    "prior": "pictures generated from the prior: their tone, how they compare with held-out images",
    "last layer": "Laplace variance of the last layer",
    "weights": "SLUG",
    "codes": "",  # asked of no other family
    "bits": "",  # likewise
}
# Terms of a loss that have a weight in the block `loss` of a configuration.
WEIGHTS = {"kl": "kl_scale", "perceptual": "feature_scale"}
LITERALS = ("TITLE", "LOSS", "TERMS", "GIVES")
OF_FROZEN = ("TITLE", "GIVES")  # of those, what a class with the literal TRAINED = False has to say
OPTIONAL = ("TRAINED", "PACKAGES")  # further literals, which not every class has
# Keys of whole blocks that decide on a training alone, but for these.
OF_TRAINING = {
    "model": ("family", "options"),
    "train": ("threads",),
    "loss": ("perceptual_weights", "perceptual_normalize"),
}
SIZES = ("train_size", "min_train_size", "replacement", "starts")  # likewise, of `splits`


class Declared(NamedTuple):
    """A family as its file declares it.

    own: whether it is the user's; title: what it is, in words; loss: what is minimised but for the perceptual loss, in
    words, with the keys of the block `loss` as fields; terms: of it, the first is the whole; gives: keys of `GIVEN`;
    trained: whether the workflow trains it; a frozen family has neither loss nor terms; packages: what it imports and
    the workflow does not need.
    """

    path: Path
    name: str
    own: bool
    title: str
    loss: str
    terms: tuple[str, ...]
    gives: frozenset[str]
    trained: bool
    packages: tuple[str, ...]

    @property
    def plain_title(self) -> str:
        """Without what it cites."""
        return re.sub(r" \[\w+\]", "", self.title)

    @property
    def lacks(self) -> list[str]:
        """What is not applicable to the family, in words."""
        return [what for given, what in GIVEN.items() if what and given not in self.gives]


def family_names() -> list[str]:
    """The families of this library, the paper's first."""
    names = [path.stem for path in sorted(Path(__file__).parent.glob("*.py")) if _declarations(path)]
    return sorted(names, key=lambda name: (name != "vae", name))


def declared(family: str) -> Declared:
    """The family that `model.family` of a configuration names.

    Raises:
        UserError: there is none by that name; its file is not there, is no Python or has no such class; the class
            does not say what it gives, or not in words that are known.
    """
    path, colon, name = family.rpartition(":")
    place = Path(path) if colon else Path(__file__).parent / f"{family}.py"
    # Of the library the one file, as each job asks: to read all of them takes a tenth of a second.
    there = colon or (place.name == f"{family}.py" and place.is_file())
    try:
        classes = _declarations(place) if there else {}
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"model.family: cannot read the class {name} from {path}: {error}") from None
    if not (colon or classes):
        raise UserError(f"model.family: expected {', '.join(family_names())} or FILE.py:CLASS; found {family}")
    name = name if colon else next(iter(classes))
    if name not in classes:
        found = ", ".join(classes) or "none"
        raise UserError(
            f"model.family: expected in {path} a class {name} with the literals {', '.join(LITERALS)}; classes that "
            f"have them: {found}"
        )
    trained = classes[name].get("TRAINED", True)
    title, loss, terms, gives = (classes[name].get(literal, "") for literal in LITERALS)
    if trained and (not terms or terms[0] != "loss"):
        raise UserError(f"model.family: {family}: TERMS: expected `loss` as the first; found {', '.join(terms)}")
    strange = [word for word in gives if word not in GIVEN]
    if strange:
        raise UserError(f"model.family: {family}: GIVES: expected some of {', '.join(GIVEN)}; found {strange[0]}")
    packages = tuple(classes[name].get("PACKAGES", ()))
    return Declared(place, name, bool(colon), title, loss, tuple(terms), frozenset(gives), trained, packages)


def check_packages(family: str) -> None:
    """Raise a `UserError` unless this Python has the packages of the family that `model.family` names."""
    for package in declared(family).packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"model.family: {family} needs the package {package}, which {sys.executable} does not find; "
                f"install it (pip install {package})"
            )


def check_family(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise a `UserError` unless the family of a valid configuration is there and what it does not use is not set.

    `defaults` are those of config.yaml, which what does not concern a frozen family has to keep.
    """
    name, loss = config["model"]["family"], config["loss"]
    family = declared(name)
    if "path" in config["model"]["options"] and not Path(config["model"]["options"]["path"]).exists():
        raise UserError(f"model.options.path: nothing is at {config['model']['options']['path']}")
    if name == "autoencoder-kl":
        check_halvings(saved_autoencoder(config["model"]["options"]["path"])[0], config["data"]["image_size"])
    sets = [entry["name"] for entry in config["splits"]["train_sets"]]
    if family.trained and (not sets or FROZEN in sets):
        raise UserError(
            f"splits.train_sets: expected one at least, as {name} is trained, and none called {FROZEN}; found "
            f"{', '.join(sets) or 'none'}"
        )
    if not family.trained:
        _check_frozen(config, defaults)
    for term, key in WEIGHTS.items():
        if family.trained and term not in family.terms and loss[key]:
            raise UserError(f"loss.{key}: has no effect on {name}, whose loss has no such term; expected 0")
    if config["evaluate"]["slug"] and "weights" not in family.gives:
        raise UserError(f"evaluate.slug: there is no SLUG of {name}; expected 0")
    if config["evaluate"]["extractor"] != defaults["evaluate"]["extractor"] and "prior" not in family.gives:
        raise UserError(
            f"evaluate.extractor: has no effect on {name}, which generates no pictures; expected "
            f"{defaults['evaluate']['extractor']}, as in config.yaml"
        )
    probed = any(source["kind"] == "vae" for source in config["probe"]["sources"])
    if config["report"]["probes"] and probed and "latents" not in family.gives:
        raise UserError(f"report.probes: {name} gives no latents to probe; expected false, or sources of other kinds")


def saved_autoencoder(path: str) -> tuple[dict[str, Any], Path]:
    """What config.json says of an `AutoencoderKL` that diffusers has saved, and the file with its weights.

    Args:
        path: the folder, or a file of weights in it.

    Raises:
        UserError: these are not there, or of something else, or the pictures are not RGB.
    """
    place = Path(path)
    file = place / "diffusion_pytorch_model.safetensors" if place.is_dir() else place
    of_config = file.with_name("config.json")
    key = f"model.options.path: {of_config}"
    try:
        saved = json.loads(of_config.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{key}: expected what diffusers saves of an AutoencoderKL (in the folder of a whole pipeline: vae); found "
            f"{error}"
        ) from None
    kind = saved.get("_class_name") if isinstance(saved, dict) else saved
    if kind != "AutoencoderKL":
        raise UserError(f"{key}: expected _class_name AutoencoderKL; found {kind}")
    for end in ("in_channels", "out_channels"):
        if saved.get(end, 3) != 3:
            raise UserError(f"{key}: expected {end} 3, those of RGB; found {saved[end]}")
    blocks = saved.get("block_out_channels", [])
    if not isinstance(blocks, list):
        raise UserError(f"{key}: expected block_out_channels as a list; found {blocks}")
    if file.suffix != ".safetensors" or not file.is_file():
        raise UserError(f"model.options.path: expected weights as a file .safetensors; found none at {file}")
    return saved, file


def halvings(saved: Mapping[str, Any]) -> int:
    """How often a saved autoencoder halves the side of a picture: each block but the last one does."""
    return len(saved.get("block_out_channels", (64,))) - 1


def check_halvings(saved: Mapping[str, Any], side: int) -> None:
    """Raise a `UserError` unless a saved autoencoder takes pictures of `side` pixels."""
    unit = 2 ** halvings(saved)
    if side % unit:
        raise UserError(
            f"data.image_size: expected a multiple of {unit}, as the model at model.options.path halves "
            f"the side {halvings(saved)} times; found {side}"
        )


def _check_frozen(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    name, splits = config["model"]["family"], config["splits"]
    no_effect = f"has no effect on {name}, which is not trained; expected"
    if splits["train_sets"]:
        raise UserError(f"splits.train_sets: {no_effect} []")
    for block, used in (*OF_TRAINING.items(), ("splits", tuple(splits.keys() - set(SIZES)))):
        for key, value in config[block].items():
            if key not in used and value != defaults[block][key]:
                raise UserError(f"{block}.{key}: {no_effect} {defaults[block][key]}, as in config.yaml")


def without_training(config: dict[str, Any]) -> None:
    """Give the study of a frozen family the one training set that it has: of no image."""
    config["splits"] |= {"train_sets": [{"name": FROZEN, "mix": {}}], **dict.fromkeys(SIZES[:2], 0)}


def _declarations(path: Path) -> dict[str, dict[str, Any]]:
    """The literals of each class at `path` that has all of `LITERALS`, or of `OF_FROZEN` if it is frozen."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            given = {
                ast.unparse(line.targets[0]): ast.literal_eval(line.value)
                for line in node.body
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) in (*LITERALS, *OPTIONAL)
            }
            if set(LITERALS if given.get("TRAINED", True) else OF_FROZEN) <= set(given):
                found[node.name] = given
    return found
