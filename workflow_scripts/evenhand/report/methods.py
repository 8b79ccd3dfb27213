"""The methods of a study in a paragraph for a paper, made from its configuration and records, with what it cites."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from evenhand.figures.style import joined, percent, span
from evenhand.models.registry import declared
from evenhand.splits.groups import Group

REFERENCES = Path(__file__).with_name("references.bib")


def methods(
    config: Mapping[str, Any],
    synthetic: bool,
    groups: Sequence[Group],
    design: pd.DataFrame,
    records: Sequence[Mapping[str, Any]],
    versions: Mapping[str, str],
    origin: Mapping[str, str],
) -> str:
    """What was done, in sentences, each from a setting or a record; what it cites in brackets, as \\cite takes it.

    Args:
        config: the whole configuration.
        synthetic: whether the images come from the generator.
        groups: of the study.
        design: tables/design.csv.
        records: the run.json of every model, one at least.
        versions: of the libraries that trained, by name.
        origin: from `evenhand.workflow.provenance`; empty without a record.
    """
    data, splits, model, loss, train, stats = (config[k] for k in ("data", "splits", "model", "loss", "train", "stats"))
    if synthetic:
        source = "Synthetic images from a generator"
    elif data["dataset"] == "fitzpatrick17k":
        source = "Photographs of the Fitzpatrick17k data set [groh2021]"
    else:
        source = f"Photographs of the data set {data['dataset']}" if data["dataset"] else "Photographs"
    kept = {
        "none": "Training and test sets are disjoint by image; near-duplicates may be on both sides.",
        "duplicates": "Near-duplicates are kept on one side of training and test.",
        "patients": "Images of one patient are kept on one side of training and test.",
        "both": "Near-duplicates and images of one patient are kept on one side of training and test.",
        "auto": "Images of one patient, where the table names patients, are kept on one side of training and test.",
    }
    sets = zip(design["train_set"], design["compared_share"], strict=True)
    mixes = joined([f"{name} ({percent(share)} {groups[1].name})" for name, share in sets])
    lpips = config["evaluate"]["lpips"]
    runs, precision = splits["runs"], sorted({str(record.get("precision", "")) for record in records})
    family, perceptual = declared(model["family"]), ""
    latents = f", {model['latent_channels']} latent channels" if "latents" in family.gives else ""
    if loss["feature_scale"] > 0:
        weights = {"imagenet": "pretrained on ImageNet", "random": "with random weights"}
        perceptual = (
            f" and {loss['feature_scale']:g} times the mean squared distance of VGG19 features [simonyan2015] "
            f"({weights.get(loss['perceptual_weights'], 'with weights of a file')}, inputs "
            f"{'normalised as for ImageNet' if loss['perceptual_normalize'] else 'not normalised'})"
        )
    made_with = ", ".join(f"{name} {version}" for name, version in versions.items())
    code = f"; code {origin['code']}" if "code" in origin else ""
    drawn = (
        f"for testing and {len(design)} training sets of {span(design['drawn'].tolist())} images drawn "
        f"{'with' if splits['replacement'] else 'without'} replacement, which differ in the mix of groups: {mixes}. "
        f"{kept[splits['leakage']]}"
    )
    trained = (
        f"On each a {family.title} with {len(model['multipliers'])} stages{latents} and "
        f"{' / '.join(sorted({format(record['parameters'], ',') for record in records}))} parameters was trained for "
        f"{train['epochs']} epoch{'s' if train['epochs'] > 1 else ''} with Adam [kingma2015] (learning rate "
        f"{train['learning_rate']:g}, batches of {train['batch_size']}, gradient norm clipped at "
        f"{train['clip_norm']:g}, {' and '.join(precision)}), minimising "
        f"{family.loss.format(**loss)}{perceptual}."
    )
    if not family.trained:
        options = joined([f"{key} {value}" for key, value in model["options"].items() if key != "path"])
        drawn = "for testing; nothing was trained."
        trained = f"They were reconstructed by a {family.title}{f' ({options})' if options else ''}."
    sentences = [
        f"The design follows [lopezperez]. {source} were resized to {data['image_size']} px (shorter side, "
        f"centre crop) and grouped into {joined([group.title for group in groups])}.",
        f"In each of {runs} run{'s' if runs > 1 else ''}, {splits['test_size']} images of each group were set aside "
        f"{drawn}",
        trained,
        *(
            [
                f"Each was trained from {splits['starts']} starts (weights, order of batches); what a run says of an "
                "image is the mean over them."
            ]
            if splits["starts"] > 1
            else []
        ),
        "The error of a test image is its mean squared error on pixels in [-1, 1].",
        *([f"Beside it stands LPIPS [zhang2018], by the weights in {Path(lpips).name}."] if lpips else []),
        *([_generated(config, cited=bool(perceptual))] if "prior" in family.gives else []),
        "Inference is over images crossed with models: two-way clustered variances [cameron2011] with Satterthwaite's "
        "degrees of freedom [satterthwaite1946].",
        f"Each claim was judged at its own level of {percent(stats['alpha'])} by rules declared beforehand (claims of "
        "several steps as intersection-union tests [berger1982], no difference by two one-sided tests [schuirmann1987] "
        f"with margins of {percent(stats['margins']['mse'])} of the reference mean for the error and "
        f"{percent(stats['margins']['latent_std'])} for the latent standard deviation); whether a verdict survives "
        "Holm's method over all claims [holm1979] is reported beside it.",
        f"Every random draw derives from the seed {config['seed']}. Software: evenhand, {made_with}{code}.",
    ]
    return " ".join(sentences)


def _generated(config: Mapping[str, Any], *, cited: bool) -> str:
    """How pictures from the prior are judged; `cited`: whether VGG19 has been before."""
    extractor = config["evaluate"]["extractor"]
    vgg19 = "VGG19" if cited else "VGG19 [simonyan2015]"
    features = vgg19 if extractor == "vgg19" else f"the open_clip model {Path(extractor).name}"
    return (
        "Pictures generated from the prior of each model were compared with as many held-out ones of each group by the "
        "kernel distance [binkowski2018], precision and recall [kynkaanniemi2019], density and coverage [naeem2020] of "
        f"features of {features}."
    )


def cited(paragraph: str) -> str:
    """The BibTeX entries of what a paragraph names in brackets, in the order of `REFERENCES`."""
    entries = REFERENCES.read_text("utf-8").strip().split("\n\n")
    return "\n\n".join(entry for entry in entries if f"[{entry.partition('{')[2].partition(',')[0]}]" in paragraph)
