"""A campaign file: Python in which exactly one campaign is made."""

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
"""The name of the module; so what is under `if __name__ == "__main__"` is not run."""


def load_campaign(path: Path) -> Campaign:
    """Return the one campaign at module level of a Python file.

    Raises:
        InputError: there is no such file, it fails, or it has no campaign or several.
    """
    module = load_module(path)
    found = {id(value): name for name, value in vars(module).items() if isinstance(value, Campaign)}
    if len(found) != 1:
        names = ", ".join(found.values()) or "none"
        way_out = "Write `campaign = bostruct.Campaign(space=..., evaluator=...)`."
        condition = "make exactly one Campaign at module level"
        raise InputError(error_message(path.name, condition, names, way_out))
    campaign = vars(module)[next(iter(found.values()))]
    assert isinstance(campaign, Campaign)
    return campaign


def load_module(path: Path, kind: str = "campaign file") -> ModuleType:
    """Return a Python file as a module whose functions and classes travel to workers.

    Args:
        path: Of the file; what is under `if __name__ == "__main__"` is not run.
        kind: What it is called if it fails.

    Raises:
        InputError: there is no such file, or it fails.
    """
    if not path.is_file():
        raise InputError(error_message("file", "exist", str(path), f"It is a Python {kind}."))
    spec = importlib.util.spec_from_file_location(MODULE_NAME, path)
    if spec is None or spec.loader is None:
        way_out = "Its name must end in .py."
        raise InputError(error_message("file", "be a Python file", str(path), way_out))
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    # As `python FILE` would: what lies beside the file can be imported.
    beside = str(path.absolute().parent)
    if beside not in sys.path:
        sys.path.insert(0, beside)
    try:
        spec.loader.exec_module(module)
    except BostructError as error:
        raise InputError(f"{path}, line {_error_line(error, path)}: {error}") from error
    except (Exception, SystemExit) as error:
        what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        where = f"{path}, line {_error_line(error, path)}"
        raise InputError(f"{where}: the {kind} failed: {what}") from error
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it
    return module


def _error_line(error: BaseException, path: Path) -> int | str:
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    here = path.absolute()
    lines = [f.lineno for f in frames if Path(f.filename).absolute() == here]
    return (lines[-1] if lines else None) or "?"
