"""Which model families there are and what each says of itself, read without importing it.

A family is a class: that of `evenhand/models/NAME.py`, or `FILE.py:CLASS` of the user. What it is it says in literals
(`evenhand.models.family.Family`). The rule files import this, and PyTorch would delay every plan.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
}
# Terms of a loss that have a weight in the block `loss` of a configuration.
WEIGHTS = {"kl": "kl_scale", "perceptual": "feature_scale"}
LITERALS = ("TITLE", "LOSS", "TERMS", "GIVES")


class Declared(NamedTuple):
    """A family as its file declares it.

    own: whether it is the user's; title: what it is, in words; loss: what is minimised but for the perceptual loss, in
    words, with the keys of the block `loss` as fields; terms: of it, the first is the whole; gives: keys of `GIVEN`.
    """

    path: Path
    name: str
    own: bool
    title: str
    loss: str
    terms: tuple[str, ...]
    gives: frozenset[str]

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
    title, loss, terms, gives = (classes[name][literal] for literal in LITERALS)
    if not terms or terms[0] != "loss":
        raise UserError(f"model.family: {family}: TERMS: expected `loss` as the first; found {', '.join(terms)}")
    strange = [word for word in gives if word not in GIVEN]
    if strange:
        raise UserError(f"model.family: {family}: GIVES: expected some of {', '.join(GIVEN)}; found {strange[0]}")
    return Declared(place, name, bool(colon), title, loss, tuple(terms), frozenset(gives))


def check_family(config: Mapping[str, Any]) -> None:
    """Raise a `UserError` unless the family of a valid configuration is there and what it does not use is not set."""
    name, loss = config["model"]["family"], config["loss"]
    family = declared(name)
    for term, key in WEIGHTS.items():
        if term not in family.terms and loss[key]:
            raise UserError(f"loss.{key}: has no effect on {name}, whose loss has no such term; expected 0")
    if config["evaluate"]["slug"] and "weights" not in family.gives:
        raise UserError(f"evaluate.slug: there is no SLUG of {name}; expected 0")
    probed = any(source["kind"] == "vae" for source in config["probe"]["sources"])
    if config["report"]["probes"] and probed and "latents" not in family.gives:
        raise UserError(f"report.probes: {name} gives no latents to probe; expected false, or sources of other kinds")


def _declarations(path: Path) -> dict[str, dict[str, Any]]:
    """The `LITERALS` of each class at `path` that has all of them."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            given = {
                ast.unparse(line.targets[0]): ast.literal_eval(line.value)
                for line in node.body
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) in LITERALS
            }
            if len(given) == len(LITERALS):
                found[node.name] = given
    return found
