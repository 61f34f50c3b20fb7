"""Campaign file: a Python file that defines exactly one campaign."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import cloudpickle

from bostruct.campaign.campaign import Campaign
from bostruct.errors import BostructError, InputError, error_message

MODULE_NAME = "bostruct_campaign_file"
"""Name of the module, so that `if __name__ == "__main__"` does not hold in it."""


def load_campaign(path: Path) -> Campaign:
    """Return the one campaign at module level of a Python file.

    Raises:
        InputError: there is no such file, it fails, or it defines no campaign or several.
    """
    module = load_module(path)
    campaigns = {
        id(value): name for name, value in vars(module).items() if isinstance(value, Campaign)
    }
    if len(campaigns) != 1:
        names = ", ".join(campaigns.values()) or "none"
        condition = "make exactly one Campaign at module level"
        hint = "Write `campaign = bostruct.Campaign(space=..., evaluator=...)`."
        raise InputError(error_message(path.name, condition, names, hint))
    campaign = vars(module)[next(iter(campaigns.values()))]
    assert isinstance(campaign, Campaign)
    return campaign


def load_module(path: Path, kind: str = "campaign file") -> ModuleType:
    """Return a Python file as a module whose functions and classes travel to workers.

    Args:
        path: Python file; its `if __name__ == "__main__"` block is not run.
        kind: Name of such files in messages.

    Raises:
        InputError: there is no such file, or it fails.
    """
    if not path.is_file():
        raise InputError(error_message("file", "exist", str(path), f"It is a Python {kind}."))
    spec = importlib.util.spec_from_file_location(MODULE_NAME, path.absolute())
    if spec is None or spec.loader is None:
        hint = "Its name must end in .py."
        raise InputError(error_message("file", "be a Python file", str(path), hint))
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    # As with `python FILE`, modules in the folder of the file can be imported.
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except BostructError as error:
        raise InputError(f"{path}, line {_error_line(error, path)}: {error}") from error
    except (Exception, SystemExit) as error:
        text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        line = _error_line(error, path)
        raise InputError(f"{path}, line {line}: the {kind} failed: {text}") from error
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it
    return module


def _error_line(error: BaseException, path: Path) -> int | str:
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).absolute() == path.absolute()]
    return (lines[-1] if lines else None) or "?"
