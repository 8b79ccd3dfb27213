"""Regular expressions for the wildcards of the rule files."""


def numbers_below(count: int) -> str:
    """A regular expression for 0, 1, ... `count` - 1, as long as the number and not as the list.

    Snakemake writes constraints into the name of every output: with a thousand names in them, planning is slow.
    """
    top = str(count - 1)
    patterns = ["[1-9]" * (length > 1) + "[0-9]" * (length - (length > 1)) for length in range(1, len(top))]
    for place, digit in enumerate(top):
        first = 1 if place == 0 and len(top) > 1 else 0
        if int(digit) > first:
            rest = "[0-9]" * (len(top) - place - 1)
            patterns.append(f"{top[:place]}[{first}-{int(digit) - 1}]{rest}")
    return "|".join([*patterns, top])
