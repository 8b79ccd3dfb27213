"""Ask osv.dev whether a locked version has a known vulnerability; fails on a finding, not on a missing network."""

import re
import sys
from pathlib import Path

import requests

SERVICE = "https://api.osv.dev"
LOCKS = [Path(__file__).with_name(name) for name in ("requirements.lock", "torch.lock")]
TIMEOUT = (5, 30)  # seconds to connect, and without a byte of the answer
# What concerns nobody here: the advisory and why.
ACCEPTED: dict[str, str] = {}


def locked() -> list[tuple[str, str]]:
    """Name and version of every package in the lock files."""
    text = "".join(path.read_text() for path in LOCKS)
    return re.findall(r"^([A-Za-z0-9._-]+)==([^ \n]+)", text, flags=re.MULTILINE)


def advisories(service: str, packages: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The advisories on each package that has any.

    Raises:
        OSError: no answer.
        ValueError, TypeError, KeyError: another answer than https://google.github.io/osv.dev/post-v1-querybatch says.
    """
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    answer = requests.post(f"{service}/v1/querybatch", json={"queries": queries}, timeout=TIMEOUT)
    answer.raise_for_status()
    found = {}
    for (name, version), result in zip(packages, answer.json()["results"], strict=True):
        names = [entry["id"] for entry in result.get("vulns", []) if entry["id"] not in ACCEPTED]
        if names:
            found[f"{name} {version}"] = names
    return found


def main(service: str = SERVICE) -> None:
    packages = locked()
    try:
        found = advisories(service, packages)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        print(f"vulnerabilities: NOT CHECKED, {service} gave no usable answer ({type(error).__name__})")
        return
    if found:
        listed = "\n".join(f"  {package}: {', '.join(names)}" for package, names in found.items())
        sys.exit(
            f"error: {len(found)} of {len(packages)} locked packages have a known vulnerability:\n{listed}\n"
            "Read https://osv.dev/vulnerability/ID, then raise the version in envs/ (make lock), or say in ACCEPTED of "
            f"envs/{Path(__file__).name} why it does not concern us."
        )
    print(f"vulnerabilities: none known to {service} in {len(packages)} locked packages")


if __name__ == "__main__":
    main(*sys.argv[1:])
