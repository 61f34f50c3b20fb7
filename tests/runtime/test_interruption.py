import signal
import threading

import pytest

from bostruct.runtime.interruption import (
    TerminationError,
    interruptible,
    is_interruption,
    raise_if_interrupted,
)


@pytest.fixture(autouse=True)
def _default_handlers():
    """As on a terminal: a shell starts what runs in its background without."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminationError)]
)
def test_a_signal_interrupts_and_is_told_again_to_those_who_caught_it(number, kind):
    with interruptible():
        raise_if_interrupted()
        with pytest.raises(kind):
            signal.raise_signal(number)
        assert is_interruption(ValueError("which followed from it"))
        with pytest.raises(kind):
            raise_if_interrupted()
    raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with interruptible():
        raise_if_interrupted()


def test_a_repeated_interrupt_of_foreign_code_is_none():
    with interruptible():
        assert is_interruption(KeyboardInterrupt()), "a signal that C code has turned into it"
        assert not is_interruption(KeyboardInterrupt(), is_repeated=True)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert is_interruption(KeyboardInterrupt(), is_repeated=True)


def test_outside_of_a_run_any_keyboard_interrupt_may_be_one():
    assert is_interruption(KeyboardInterrupt())
    assert not is_interruption(ValueError())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert not is_interruption(KeyboardInterrupt()), "a worker, which ignores Ctrl-C"


def test_a_thread_is_never_interrupted():
    seen = []

    def run():
        with interruptible():
            seen.append(signal.getsignal(signal.SIGINT))
            seen.append(is_interruption(KeyboardInterrupt()))
            raise_if_interrupted()

    with interruptible():
        inside = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert seen == [inside, False]


def test_handlers_of_the_program_stay():
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append("its own"))
    with interruptible():
        signal.raise_signal(signal.SIGTERM)
        raise_if_interrupted()
    assert seen == ["its own"]


def test_runs_inside_of_runs():
    with interruptible():
        with interruptible(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
