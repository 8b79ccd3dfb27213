"""Seeds belong to a purpose: they differ between purposes and do not move when a purpose is added."""

from evenhand.workflow.seeds import derive_seed, generator


def test_equal_purposes_share_a_seed_and_others_do_not() -> None:
    purposes = [("train", "A", 0), ("train", "A", 1), ("train", "B", 0), ("test", "A", 0), ("train", "A0"), ("train",)]
    seeds = {derive_seed(1, *purpose) for purpose in purposes} | {derive_seed(2, "train", "A", 0)}
    assert len(seeds) == len(purposes) + 1
    assert derive_seed(1, "train", "A", 0) == derive_seed(1, "train", "A", 0)


def test_parts_of_a_purpose_are_kept_apart() -> None:
    assert derive_seed(1, "run", 1, 23) != derive_seed(1, "run", 12, 3)


def test_seeds_fit_pytorch() -> None:
    # torch.manual_seed takes 64 bits with sign.
    assert all(0 <= derive_seed(0, "purpose", index) < 2**63 for index in range(100))


def test_the_stream_is_the_same_on_every_machine_and_numpy() -> None:
    # A promise, not a closed form: if these move, every published manifest does.
    assert derive_seed(20240217, "test", "light", 0) == 2309898694065101153
    assert generator(20240217, "test", "light", 0).random(2).tolist() == [0.14862809546892952, 0.9793481617532878]
