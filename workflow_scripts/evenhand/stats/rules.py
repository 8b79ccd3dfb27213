"""The rules of the verdicts, as declared in the configuration before the data."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rules:
    """What was declared before the data.

    alpha: level of the verdicts; min_runs: fewest runs for a test; latent_std_margin: equivalence margin of C6
    as a fraction of the light mean; slight: how much higher is still "slightly higher" (C4), as a fraction;
    max_mse: the bound of C10, pixels in [-1, 1]; noticeable: smallest shift of a colour coordinate that a viewer
    notices (C9), CIELAB units; vanishing: largest adjusted gap that counts as none (C11), as a fraction of the light
    mean.
    """

    alpha: float
    min_runs: int
    latent_std_margin: float
    slight: float
    max_mse: float
    noticeable: float
    vanishing: float

    def all_steps(self, count: int) -> str:
        """The rule of a claim with several directional steps, as printed."""
        return (
            f"supported: each of the {count} steps goes the claimed way, Holm-adjusted p of the weakest at most "
            f"{self.alpha:g}; contradicted: a step goes the other way, Bonferroni- and Holm-adjusted p at most "
            f"{self.alpha:g}; else inconclusive"
        )

    def one_step(self) -> str:
        """The rule of a claim with one directional step, as printed."""
        return (
            f"supported: Holm-adjusted p at most {self.alpha:g} and the sign as claimed; contradicted: p likewise and "
            "the opposite sign; else inconclusive"
        )


def rules_from(stats: dict[str, Any]) -> Rules:
    """The rules that the `stats` block of a configuration declares."""
    claims = {key: stats["claims"][key] for key in ("slight", "max_mse", "noticeable", "vanishing")}
    return Rules(stats["alpha"], stats["min_runs"], stats["margins"]["latent_std"], **claims)
