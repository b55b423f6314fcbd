"""What every store of results must do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isocenter.jobs import Result
from isocenter.ports.results import Results
from isocenter.testing.records import new_moment
from isocenter.testing.threads import together


def _result(**changes: str | bytes) -> Result:
    made = Result("image", "job", "step", "findings", b'{"findings":[]}', new_moment())
    return replace(made, **changes)  # type: ignore[arg-type]  # the names come from the tests below


class ResultsContract:
    """Subclass this, and override the fixture `results` with an empty one."""

    @pytest.fixture
    def results(self) -> Results:
        raise NotImplementedError("override the fixture `results`")

    def test_nothing_is_known_of_others(self, results: Results) -> None:
        results.put([])
        results.put([_result()])
        assert list(results.of_image("other")) == []
        assert list(results.of_job("other")) == []
        assert list(results.of_job("job", images=["other"])) == []

    def test_results_come_back_by_image_and_by_job(self, results: Results) -> None:
        given = [
            _result(document=bytes(range(256)) * 4096),
            _result(step="other", kind="evidence"),
            _result(image="second"),
            _result(job="later"),
        ]
        results.put(given[:2])
        results.put(given[2:])
        assert list(results.of_image("image")) == [given[0], given[1], given[3]]
        assert list(results.of_job("job")) == given[:3]
        assert list(results.of_job("job", images=["second", "third"])) == [given[2]]

    def test_what_is_said_again_takes_the_place_of_that_before(self, results: Results) -> None:
        first, second, again = _result(), _result(image="second"), _result(kind="evidence", document=b"{}")
        results.put([first, second])
        results.put([again])
        assert list(results.of_job("job")) == [again, second]

    def test_many_may_say_the_same_at_once(self, results: Results) -> None:
        together(lambda _: results.put([_result()]), range(16))
        assert len(results.of_job("job")) == 1
