"""Sentences on contradictions of forces and energies."""

from bostruct.surrogates.force_consistency import ForceConsistency


def test_sentences():
    def sentence(misfit, z, factor, spread=1.0):
        return ForceConsistency(misfit, z, factor, 0.0, spread).sentence()

    assert sentence(0.1, 99.0, 0.9) == ""
    assert sentence(0.9, 1.0, 0.9) == ""
    assert sentence(0.9, 5.0, 9.9, spread=0.05) == "" != sentence(0.9, 50.0, 9.9, spread=0.05)
    assert "25 % of their own spread" in sentence(0.25, 9.0, 1.3)
    assert "Rydberg/Bohr" in sentence(1.0, 9.0, 25.7)
    assert "Hartree/Bohr, and gradients" in sentence(1.0, 9.0, -51.5)
