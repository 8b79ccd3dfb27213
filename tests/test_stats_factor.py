"""n_test / n_train in the variance of a mean over runs: that of one group's test set, and never too small."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from simulated import GROUPS, NO_IMAGES, PAIR

from evenhand.splits.design import Design, TrainSet, feasible_train_size
from evenhand.stats.gaps import run_table


@given(st.integers(1, 500), st.integers(1, 2000), st.integers(1, 9000), st.integers(1, 9000))
def test_no_training_set_is_larger_than_what_the_test_set_leaves_of_a_group(
    test_size: int, train_size: int, spare_light: int, spare_dark: int
) -> None:
    """So n_test / n_train is at least rho / (1 - rho), with rho the part that two test sets of a group share."""
    design = Design(0, GROUPS, test_size, train_size, 1, False, (TrainSet("B", {"light": 0.5, "dark": 0.5}),))
    pools = {"light": test_size + spare_light, "dark": test_size + spare_dark}
    factor = test_size / feasible_train_size(design, pools)
    for pool in pools.values():
        shared = test_size / pool
        assert factor >= shared / (1 - shared) * (1 - 1e-12)


def test_images_without_skin_do_not_shorten_the_intervals_of_colours() -> None:
    runs = pd.DataFrame(
        [
            {"train_set": "B", "compared_share": 0.5, "run": run, "group": group, "n_images": 40, "dl": float(run)}
            for run in range(3)
            for group in PAIR
        ]
    )
    design = pd.DataFrame({"train_set": ["B"], "reference_share": [0.5], "distinct": [200.0], "shared": [0.5]})
    assert run_table(runs, NO_IMAGES, design.assign(test_size=100), PAIR, ["dl"]).test_train_ratio("B") == 0.5
