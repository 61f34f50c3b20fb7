import gpytorch.settings
import linear_operator.settings

from bostruct.runtime import botorch_import


def test_settings_include_those_that_botorch_changes():
    names = {f"{kind.__name__}.{name}" for kind, name in botorch_import.read_settings()}
    assert {
        "_fast_solves._default",
        "_fast_log_prob._default",
        "_fast_covar_root_decomposition._default",
        "cholesky_max_tries._global_value",
        "max_cholesky_size._global_value",
        "max_eager_kernel_size._global_value",
    } <= names


def test_restore():
    before = botorch_import.read_settings()
    try:
        linear_operator.settings.cholesky_max_tries._global_value = 17
        gpytorch.settings.max_eager_kernel_size._global_value = 18
        assert botorch_import.read_settings() != before
    finally:
        botorch_import.restore_settings(before)
    assert botorch_import.read_settings() == before
