"""The options of the benchmarks of training: a study and its sizes."""

import argparse
import os
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def read_study(path: str | None) -> dict[str, Any]:
    """config.yaml with the overlay at `path`."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    return overlaid(config, yaml.safe_load(Path(path).read_text())) if path else config


def overlaid(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`config` with the keys of `changes`, block by block."""
    inside = {key: overlaid(config[key] or {}, value) for key, value in changes.items() if isinstance(value, dict)}
    return config | changes | inside


def study_parser(text: str | None) -> argparse.ArgumentParser:
    """The options that choose a study and its sizes."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", help="an overlay of config.yaml, such as studies/pilot.yaml")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--side", type=int, help="pixels; else the study's")
    parser.add_argument("--batch", type=int, help="images a step; else the study's")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser


def parse_study(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, with the study's configuration and what it sets where no option does."""
    args = parser.parse_args()
    args.config = read_study(args.study)
    args.side = args.side or args.config["data"]["image_size"]
    args.batch = args.batch or args.config["train"]["batch_size"]
    return args
