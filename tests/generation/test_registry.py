"""Picture makers are found by name, with real entry points of a package on the path."""

from __future__ import annotations

import subprocess
import sys

import pytest

from occlusionformer.generation import (
    Generator,
    UnknownGeneratorError,
    check_generator,
    generator_names,
    load_generator,
)

PACKAGE = """
class Echo:
    def __init__(self, argument):
        self.argument = argument

    def generate(self, requests, *, on_step=None):
        return []


def load_echo(argument):
    return Echo(argument)


def load_precise(argument, *, precision="auto"):
    return Echo(precision)


def load_nothing(argument):
    return None
"""

METADATA = "Metadata-Version: 2.1\nName: echo-maker\nVersion: 1.0\n"

ENTRY_POINTS = """
[occlusionformer.generators]
echo = echo_maker:load_echo
precise = echo_maker:load_precise
twice = echo_maker:load_echo
nothing = echo_maker:load_nothing
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that offers generators, found before any other."""
    folder = tmp_path / "site"
    (folder / "echo_maker-1.0.dist-info").mkdir(parents=True)
    (folder / "echo_maker.py").write_text(PACKAGE)
    (folder / "echo_maker-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: echo-maker\nVersion: 1.0\n"
    )
    (folder / "echo_maker-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "echo_maker", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def test_name_alone(installed):
    generator = load_generator("echo")
    assert isinstance(generator, Generator)
    assert generator.argument is None


def test_name_with_argument_keeps_further_colons(installed):
    assert load_generator("echo:C:/models/branch").argument == "C:/models/branch"


@pytest.mark.parametrize("name", ["plain", "my:model", "./echo"])
def test_existing_folder_goes_to_the_pipeline_loader(installed, tmp_path, name):
    """An empty one, which that loader refuses by name."""
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=rf"expected a folder with a model_index\.json, got '{name}'"):
        load_generator(name)


def test_name_wins_over_a_folder_of_that_name(installed, tmp_path):
    (tmp_path / "echo").mkdir()
    assert load_generator("echo").argument is None


def test_name_offered_by_two_packages_is_refused(installed):
    other = installed / "other_maker-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text(METADATA.replace("echo", "other"))
    (other / "entry_points.txt").write_text("[occlusionformer.generators]\ntwice = other_maker:load\n")
    with pytest.raises(ValueError, match="expected one package to offer 'twice', got echo_maker:load_echo, other"):
        load_generator("twice")


@pytest.mark.parametrize("spec", ["eccho", "eccho:argument", "./missing", ""])
def test_unknown_name_lists_what_exists(installed, spec):
    with pytest.raises(UnknownGeneratorError) as caught:
        load_generator(spec)
    assert str(caught.value).startswith("model: expected a local folder or one of (")
    assert str(caught.value).endswith(f"got {spec!r}")
    assert all(name in str(caught.value) for name in generator_names())
    assert {"echo", "nothing", "pipeline", "flux-dev"} <= set(generator_names())


def test_colon_needs_something_after_it(installed):
    with pytest.raises(ValueError, match="model: expected something after the colon, got 'echo:'"):
        load_generator("echo:")


def test_entry_point_that_makes_no_generator_is_named(installed):
    with pytest.raises(TypeError, match=r"entry point 'nothing' .* returned NoneType"):
        load_generator("nothing")


def test_importing_loads_no_torch_and_no_numpy():
    heavy = ("torch", "numpy", "diffusers", "transformers")
    code = f"import sys, occlusionformer.generation; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_checking_a_name_loads_nothing(installed):
    check_generator("echo:anything")
    assert "echo_maker" not in sys.modules
    with pytest.raises(UnknownGeneratorError, match="got 'ecko'"):
        check_generator("ecko")


def test_a_precision_reaches_loaders_that_take_one(installed):
    assert load_generator("precise").argument == "auto"
    assert load_generator("precise", precision="fp32").argument == "fp32"
    with pytest.raises(ValueError, match=r"^precision: expected none for a model that does not let it be chosen, got"):
        load_generator("echo", precision="bf16")
