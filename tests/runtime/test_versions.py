from bostruct.runtime import versions


def test_versions(monkeypatch):
    found = versions.versions()
    assert found["torch"]
    assert set(versions.PACKAGES) < set(found)
    monkeypatch.setattr(versions, "PACKAGES", ("absent-package",))
    assert versions.versions()["absent-package"] == "not installed"
