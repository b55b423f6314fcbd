"""What any Sandbox must do, as tests to inherit, and the tasks they run: here, where a worker process finds them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from isocenter.errors import BackendUnavailable, LimitExceeded, Malformed, Unsupported
from isocenter.ports.sandbox import Sandbox

SECRET = "Doe^Jane"


def double(number: int) -> int:
    return 2 * number


def reverse(data: bytes) -> bytes:
    return data[::-1]


def raise_malformed(_: int) -> int:
    raise Malformed("Rows is missing", code="no-rows")


def raise_value_error(_: int) -> int:
    raise ValueError(SECRET)


def raise_memory_error(_: int) -> int:
    raise MemoryError


def kill_itself(_: int) -> int:
    """For sandboxes of processes alone."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def loop_forever(_: int) -> int:
    """For sandboxes of processes alone."""
    while True:
        pass


def allocate(count: int) -> int:
    """Take `count` bytes; for sandboxes of processes alone."""
    return len(bytearray(count))


def process_id(_: int) -> int:
    return os.getpid()


def visible_environment(_: int) -> list[str]:
    return sorted(os.environ)


class SandboxContract:
    """Subclass it with `make_sandbox`."""

    def make_sandbox(self) -> Sandbox:
        raise NotImplementedError

    @pytest.fixture
    def sandbox(self) -> Iterator[Sandbox]:
        made = self.make_sandbox()
        yield made
        made.close()

    def test_it_returns_what_the_task_returns(self, sandbox: Sandbox) -> None:
        assert sandbox.run(double, 21, seconds=30) == 42

    def test_it_carries_megabytes_both_ways(self, sandbox: Sandbox) -> None:
        data = bytes(range(256)) * 2**14
        assert sandbox.run(reverse, data, seconds=30) == data[::-1]

    def test_a_rejection_comes_back_as_itself(self, sandbox: Sandbox) -> None:
        with pytest.raises(Malformed) as caught:
            sandbox.run(raise_malformed, 0, seconds=30)
        assert (caught.value.code, caught.value.detail) == ("no-rows", "Rows is missing")

    def test_any_other_exception_is_unsupported_and_names_only_its_type(self, sandbox: Sandbox) -> None:
        with pytest.raises(Unsupported) as caught:
            sandbox.run(raise_value_error, 0, seconds=30)
        assert caught.value.code == "decode-failed"
        assert "ValueError" in caught.value.detail
        assert SECRET not in str(caught.value)

    def test_running_out_of_memory_is_a_limit(self, sandbox: Sandbox) -> None:
        with pytest.raises(LimitExceeded) as caught:
            sandbox.run(raise_memory_error, 0, seconds=30)
        assert caught.value.code == "decode-out-of-memory"

    def test_it_works_on_after_a_failure(self, sandbox: Sandbox) -> None:
        for task in (raise_malformed, raise_value_error, raise_memory_error):
            with pytest.raises((Malformed, Unsupported, LimitExceeded)):
                sandbox.run(task, 0, seconds=30)
            assert sandbox.run(double, 2, seconds=30) == 4

    def test_many_threads_each_get_their_own_answer(self, sandbox: Sandbox) -> None:
        answers: dict[int, int] = {}

        def ask(number: int) -> None:
            answers[number] = sandbox.run(double, number, seconds=60)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {number: 2 * number for number in range(24)}

    def test_closed_it_is_unavailable_and_may_be_closed_again(self, sandbox: Sandbox) -> None:
        sandbox.run(double, 1, seconds=30)
        sandbox.close()
        sandbox.close()
        with pytest.raises(BackendUnavailable):
            sandbox.run(double, 1, seconds=30)
