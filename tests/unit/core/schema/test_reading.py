"""Reading by signatures: what is accepted, what is refused, and the line that says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.core.schema import parameters, read


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise UserError(f"x must be 0 or more, but got {self.x!r}")


@dataclass
class Drawing:
    """Every kind of type that configs and report files use."""

    name: str
    points: list[Point] = field(default_factory=list)
    by_name: dict[str, Point] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    style: dict[str, float] | Literal["thin", "thick"] | None = "thin"
    limit: int | float | None = None
    rates: Sequence[float] = ()
    free: Any = None


def test_values_become_what_the_types_say() -> None:
    content = {
        "name": "d",
        "points": [{"x": 1}, {"x": 2.5, "y": 1}],
        "by_name": {"a": {"x": 0}},
        "size": [3, 4],
        "style": {"a": 1},
        "limit": 3,
        "rates": [1, 2.0],
        "free": {"class_path": "os.system"},
    }
    drawing = read(Drawing, content, "drawing")
    assert drawing == Drawing(
        "d",
        [Point(1.0), Point(2.5, 1.0)],
        {"a": Point(0.0)},
        (3, 4),
        {"a": 1.0},
        3,
        [1.0, 2.0],
        {"class_path": "os.system"},
    )
    assert isinstance(drawing.limit, int)
    assert isinstance(drawing.points[0].x, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nam": "x"}, "unknown key in file: 'nam'.* Did you mean 'name'"),
        ({"name": None}, "^file: name must be a text, but got null$"),
        ({"limit": "\udce9"}, r"^file: limit must be a number or null, but got '\\udce9'$"),
        ({"style": {"\udce9": "x"}}, r"^file: style"),
        ({"\udce9": 1}, "unknown key in file"),
        ({"name": 3}, r"^file: name must be a text, but got 3: quote it \('3'\)$"),
        ({"name": True}, "^file: name must be a text, but got true, as YAML reads yes, on and true: quote the word"),
        ({"points": {}}, r"^file: points must be a list, but got \{\}$"),
        ({"points": [{"x": 1}, {"x": "far"}]}, r"^file: points\[1\].x must be a number, but got 'far'$"),
        ({"points": [{"x": True}]}, r"points\[0\].x must be a number, but got true"),
        ({"points": [{"y": 1.0}]}, r"^file: points\[0\] lacks x: add it$"),
        ({"points": [{"x": -1}]}, r"^file: points\[0\]: x must be 0 or more, but got -1.0$"),
        ({"by_name": {"a": {"x": 1, "z": 1}}}, "unknown key in file: by_name.a: 'z'"),
        ({"size": [1, 2, 3]}, r"^file: size must be a list of 2 whole numbers, but got \[1, 2, 3\]$"),
        ({"size": [1, 2.5]}, r"size\[1\] must be a whole number, but got 2.5"),
        ({"size": 3}, "^file: size must be a list of 2 whole numbers or null, but got 3$"),
        ({"style": "thik"}, "^file: style must be a mapping, 'thin', 'thick' or null, but got 'thik'$"),
        ({"style": {"a": "b"}}, "^file: style.a must be a number, but got 'b'$"),
        ({"rates": 1.0}, "rates must be a list, but got 1.0"),
        ({"limit": "x" * 99}, r"^file: limit must be a number or null, but got 'x{55}\.\.\.'$"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(Drawing, {"name": "d", **change}, "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, "x", [], [{"name": "d"}]])
def test_a_dataclass_is_read_from_a_mapping_alone(value: object) -> None:
    with pytest.raises(UserError, match=r"^file must be a mapping, but got "):
        read(Drawing, value, "file")


def test_a_type_can_have_a_reader_of_its_own() -> None:
    def number(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise ValueError
        return math.nan if value is None else value

    readers = {float: number}
    assert math.isnan(read(Point, {"x": 1, "y": None}, "file", readers=readers).y)
    assert isinstance(read(Point, {"x": 1}, "file", readers=readers).x, int)
    assert read(list[float], [3, 0.5], "file", readers=readers) == [3, 0.5]
    with pytest.raises(UserError, match=r"^file: \[0\] must be a number, but got true"):
        read(list[float], [True], "file", readers=readers)


class Base:
    def __init__(self, tasks: tuple[str, ...], *, weight: float = 1.0, mode: Literal["a", "b"] = "a") -> None:
        self.tasks, self.weight, self.mode = tasks, weight, mode


class Handing(Base):
    def __init__(self, tasks: tuple[str, ...], *, own: Point, mode: Literal["b"] = "b", **options: Any) -> None:
        super().__init__(tasks, mode=mode, **options)
        self.own = own


class Keeping(Base):
    def __init__(self, tasks: tuple[str, ...], *, own: float = 1.0) -> None:
        super().__init__(tasks)
        self.own = own


def test_options_of_a_base_count_where_they_are_handed_on() -> None:
    assert {name: item.default for name, item in parameters(Handing).items()} == {
        "own": parameters(Handing)["own"].empty,
        "mode": "b",
        "weight": 1.0,
    }
    assert parameters(Handing)["own"].annotation is Point
    assert parameters(Handing)["mode"].annotation == Literal["b"], "the member's own annotation counts"
    assert list(parameters(Keeping)) == ["own"]
    assert list(parameters(Base)) == ["weight", "mode"]


def test_fields_of_a_dataclass_are_its_parameters_with_what_factories_make() -> None:
    accepted = parameters(Drawing, positional=True)
    assert list(accepted)[:3] == ["name", "points", "by_name"]
    assert accepted["points"].default == []
    assert accepted["name"].default is accepted["name"].empty
