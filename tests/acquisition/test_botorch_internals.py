import types

import botorch
import pytest

from bostruct.acquisition.botorch_internals import check_botorch_internal
from bostruct.errors import InputError


def test_what_is_there_is_accepted():
    check_botorch_internal(botorch, "__version__")


def test_what_a_version_lacks_is_named():
    module = types.ModuleType("botorch.acquisition.logei")
    condition = r"`botorch` must have `botorch\.acquisition\.logei\._flag`, got version"
    with pytest.raises(InputError, match=rf"{condition} {botorch.__version__}\. Install a tested"):
        check_botorch_internal(module, "_flag")
