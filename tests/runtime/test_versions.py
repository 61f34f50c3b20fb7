from bostruct.runtime import versions


def test_versions(monkeypatch):
    found = versions.package_versions()
    assert found["torch"]
    assert set(versions.RECORDED_PACKAGES) < set(found)
    monkeypatch.setattr(versions, "RECORDED_PACKAGES", ("absent-package",))
    assert versions.package_versions()["absent-package"] == "not installed"
