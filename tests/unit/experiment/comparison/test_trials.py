"""Values of a sweep: each once, the same ones after an interruption, whatever was killed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.locks import Locks
from frugalmtl.experiment.comparison.trials import JOURNAL, Trials
from frugalmtl.experiment.config.axis import Axis, Place

optuna = pytest.importorskip("optuna")

GRID = Axis(key="encoder.budget", values=["0.4x", "0.6x", "0.8x"])
PAIRS = Axis(grid={"encoder.own": [0.5, 0.9], "encoder.text": ["a", None]})
RANGE = Axis(key="encoder.own", low=0.1, high=0.9, trials=6, seed=3)


def trials(axis: Axis, folder: Path) -> Trials:
    return Trials(axis, folder, Locks(folder / "claims"))


def score(value: Place) -> tuple[float, float]:
    number = float(str(value).rstrip("x"))
    return -((number - 0.5) ** 2), number


def run(axis: Axis, folder: Path, count: int) -> list[Place]:
    for _ in range(count):
        search = trials(axis, folder)
        search.tell(score)
        search.draw()
    return trials(axis, folder).values()


def test_a_list_is_drawn_whole_each_value_once(tmp_path: Path) -> None:
    for number in range(1, 4):
        assert trials(GRID, tmp_path).draw()
        assert len(trials(GRID, tmp_path).values()) == number
    assert not trials(GRID, tmp_path).draw()
    assert trials(GRID, tmp_path).values() == GRID.values


def test_a_grid_is_drawn_whole_each_combination_once(tmp_path: Path) -> None:
    scored: list[Place] = []

    def note(place: Place) -> tuple[float, float]:
        scored.append(place)
        return 1.0, 2.0

    for number in range(1, 5):
        search = trials(PAIRS, tmp_path)
        search.tell(note)
        assert search.draw()
        assert len(search.values()) == number
    assert not trials(PAIRS, tmp_path).draw()
    assert trials(PAIRS, tmp_path).values() == PAIRS.places == [(0.5, "a"), (0.5, None), (0.9, "a"), (0.9, None)]
    assert len(set(scored)) == len(scored) == 3


def test_a_range_is_searched_with_a_fixed_seed(tmp_path: Path) -> None:
    values = run(RANGE, tmp_path / "one", 6)
    assert len(set(values)) == 6
    assert all(0.1 <= float(str(value)) <= 0.9 for value in values)
    assert run(RANGE, tmp_path / "two", 6) == values, "made anew for every draw, as after an interruption"
    assert run(Axis(key="encoder.own", low=0.1, high=0.9, trials=6, seed=4), tmp_path / "three", 6) != values
    assert not trials(RANGE, tmp_path / "one").draw()


def test_a_range_is_searched_by_tpe_with_both_objectives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samplers: list[dict[str, Any]] = []

    class Recorded(optuna.samplers.TPESampler):  # type: ignore[misc,name-defined]
        def __init__(self, **arguments: Any) -> None:
            samplers.extend([arguments] if arguments else [])  # a study makes one of its own
            super().__init__(**arguments)

    monkeypatch.setattr(optuna.samplers, "TPESampler", Recorded)
    run(RANGE, tmp_path, 4)
    assert len({arguments["seed"] for arguments in samplers}) == 4, "no two draws share their random numbers"
    assert {arguments["n_startup_trials"] for arguments in samplers} == {2}
    with trials(RANGE, tmp_path)._study() as study:
        assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
        finished = [trial for trial in study.trials if trial.state.is_finished()]
        assert len(finished) == 3
        assert tuple(finished[0].values) == score(finished[0].params["encoder.own"])


def test_whole_numbers_are_drawn_from_a_range_of_them(tmp_path: Path) -> None:
    values = run(Axis(key="decoder.width", low=2, high=4, trials=5), tmp_path, 5)
    assert values
    assert all(isinstance(value, int) for value in values)
    assert len(set(values)) == len(values), "a value that is drawn twice is one point"


@pytest.mark.parametrize("axis", [GRID, RANGE, PAIRS], ids=["list", "range", "grid"])
@pytest.mark.parametrize("moment", ["before the sampler", "before the value"])
def test_a_process_killed_while_drawing_costs_no_value(
    axis: Axis, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials(axis, tmp_path).draw()

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "before the sampler":
            patch.setattr(optuna.samplers.GridSampler, "before_trial", killed)
            patch.setattr(optuna.samplers.TPESampler, "before_trial", killed)
        else:
            patch.setattr(optuna.trial.Trial, "suggest_categorical", killed)
            patch.setattr(optuna.trial.Trial, "suggest_float", killed)
        with pytest.raises(KeyboardInterrupt):
            trials(axis, tmp_path).draw()
    for _ in range(axis.count - 1):
        trials(axis, tmp_path).draw()
    values = trials(axis, tmp_path).values()
    assert len(values) == axis.count
    assert not trials(axis, tmp_path).draw()
    assert axis.places is None or values == axis.places


def test_half_a_line_and_a_left_lock_are_mended(tmp_path: Path) -> None:
    trials(GRID, tmp_path).draw()
    before = trials(GRID, tmp_path).values()
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"op_code":4,"worker')
    (tmp_path / f"{JOURNAL}.lock").touch()
    assert trials(GRID, tmp_path).values() == before
    assert trials(GRID, tmp_path).draw()


def test_a_longer_list_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    run(GRID, tmp_path, 3)
    longer = Axis(key=GRID.key, values=[*(GRID.values or []), "1.0x"])
    assert run(longer, tmp_path, 4) == longer.values


def test_no_gain_is_no_lesson(tmp_path: Path) -> None:
    search = trials(RANGE, tmp_path)
    search.draw()
    search.tell(lambda value: (math.nan, 1.0))
    assert len(search.values()) == 1
    with search._study() as study:
        assert study.trials[0].state.name == "FAIL"


def test_looking_does_not_grow_the_journal(tmp_path: Path) -> None:
    trials(GRID, tmp_path).draw()
    size = (tmp_path / JOURNAL).stat().st_size
    trials(GRID, tmp_path).values()
    trials(GRID, tmp_path).tell(lambda value: None)
    assert (tmp_path / JOURNAL).stat().st_size == size


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"param_value_internal":0.', '"param_value_internal":7.'),
        ('"param_value_internal":0.', '"param_value_internal":[0.'),
        ('"state":1,"values":[', '"state":1,"values":["x",'),
        ('"op_code":5', '"op_code":4'),
        ('"op_code":6', '"op_code":'),
    ],
)
def test_a_journal_that_was_edited_is_one_line_whatever_is_done_with_it(old: str, new: str, tmp_path: Path) -> None:
    run(RANGE, tmp_path, 2)
    trials(RANGE, tmp_path).tell(score)
    journal = tmp_path / JOURNAL
    before = journal.read_text()
    assert old in before
    journal.write_text(before.replace(old, new, 1))
    if '":[0.' in new:
        journal.write_text(journal.read_text().replace(',"distribution"', '],"distribution"', 1))
    with pytest.raises(UserError, match=r"sweep\.journal cannot be read \(.*\): delete it"):
        run(RANGE, tmp_path, 1)


def test_a_folder_in_place_of_the_journal_is_one_line(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        trials(GRID, tmp_path).values()


def test_scores_are_taken_while_others_may_draw(tmp_path: Path) -> None:
    search = trials(GRID, tmp_path)
    search.draw()

    def look(value: Place) -> tuple[float, float]:
        assert trials(GRID, tmp_path).draw()
        return score(value)

    search.tell(look)
    assert len(search.values()) == 2
