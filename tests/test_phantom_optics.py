"""The optics of the phantom's skin: melanin, blood and colour."""

import numpy as np

from evenhand.data.synthetic.conditions import ita, melanin_for_ita, reflectance, srgb


def test_more_melanin_lowers_ita_and_darkens_every_band() -> None:
    melanin = np.linspace(0.005, 0.5, 60)
    for blood in (0.003, 0.012):
        colour = reflectance(melanin, np.full(60, blood))
        assert (np.diff(colour, axis=0) < 0).all()
        assert (np.diff(ita(srgb(colour))) < 0).all()


def test_blood_absorbs_green_most_and_red_least() -> None:
    change = reflectance(0.03, 0.004) - reflectance(0.03, 0.02)
    assert change[1] > change[2] > change[0] > 0


def test_melanin_for_ita_inverts_the_optics() -> None:
    target = np.linspace(-70, 70, 29)
    blood, saturation = np.full(29, 0.007), np.full(29, 0.7)
    melanin = melanin_for_ita(target, blood, saturation)
    np.testing.assert_allclose(ita(srgb(reflectance(melanin, blood, saturation))), target, atol=1e-4)


def test_srgb_known_values() -> None:
    # IEC 61966-2-1: the two branches meet at 0.0031308, and 18 % grey is 0.4614.
    np.testing.assert_allclose(
        srgb(np.array([-1.0, 0.0, 0.0031308, 0.18, 1.0])), [0, 0, 0.04045, 0.46136, 1], atol=1e-5
    )
