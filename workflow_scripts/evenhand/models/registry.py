"""Which model families there are and what each says of itself, read without importing it.

A family is a class: that of `evenhand/models/NAME.py`, or `FILE.py:CLASS` of the user. What it is it says in literals
(`evenhand.models.family.Family`). The rule files import this, and PyTorch would delay every plan.
"""

import ast
import re
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
    trained: whether the workflow trains it; a frozen family has neither loss nor terms.
    """

    path: Path
    name: str
    own: bool
    title: str
    loss: str
    terms: tuple[str, ...]
    gives: frozenset[str]
    trained: bool

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
    place = Path(path) if colon else Path(__file__).with_name(f"{family}.py")
    if not (colon or family in family_names()):
        raise UserError(f"model.family: expected {', '.join(family_names())} or FILE.py:CLASS; found {family}")
    try:
        classes = _declarations(place)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"model.family: cannot read the class {name} from {path}: {error}") from None
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
    return Declared(place, name, bool(colon), title, loss, tuple(terms), frozenset(gives), trained)


def check_family(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise a `UserError` unless the family of a valid configuration is there and what it does not use is not set.

    `defaults` are those of config.yaml, which what does not concern a frozen family has to keep.
    """
    name, loss = config["model"]["family"], config["loss"]
    family = declared(name)
    if "path" in config["model"]["options"] and not Path(config["model"]["options"]["path"]).exists():
        raise UserError(f"model.options.path: nothing is at {config['model']['options']['path']}")
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
    """The `LITERALS`, and `TRAINED`, of each class at `path` that has all of them, or `OF_FROZEN` if it is frozen."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            given = {
                ast.unparse(line.targets[0]): ast.literal_eval(line.value)
                for line in node.body
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) in (*LITERALS, "TRAINED")
            }
            if set(LITERALS if given.get("TRAINED", True) else OF_FROZEN) <= set(given):
                found[node.name] = given
    return found
