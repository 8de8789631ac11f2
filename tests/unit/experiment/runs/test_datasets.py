"""Files that declare a dataset, and those that seem to."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.runs.datasets import open_dataset
from tests.support.toy_folder import dataset_file, experiment_file, write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_folder(tmp_path, count=2)
    return tmp_path


def test_declarations_and_experiments_are_opened(root: Path) -> None:
    file = dataset_file(root)
    for place in (file, experiment_file(root, file)):
        assert [task.name for task in open_dataset(place).tasks] == ["seg", "depth"]


@pytest.mark.parametrize("wrong", ["image", "imgs", "imges", "pictures"])
def test_a_misspelt_key_of_a_declaration_is_named(root: Path, wrong: str) -> None:
    file = dataset_file(root)
    file.write_text(file.read_text().replace("images:", f"{wrong}:"))
    with pytest.raises(UserError, match=rf"dataset[.]yaml: unknown key: '{wrong}': expected one of .*images") as caught:
        open_dataset(file)
    assert ("Did you mean 'images'?" in str(caught.value)) == (wrong != "pictures")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("dta: {name: rooms}", "; did you mean 'data' by 'dta'?"),
        ("rot: .\nimges: a\nsplit: b", "; did you mean 'root' by 'rot'?"),
        ("name: x", "'images' and 'tasks'"),
    ],
)
def test_a_file_without_a_dataset_is_told_so(tmp_path: Path, text: str, hint: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match="declares no dataset") as caught:
        open_dataset(file)
    assert str(caught.value).endswith(hint)
