"""What stands in for classes and modules of libraries that are not loaded."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Union

import pytest

from occlusionformer.model.stand_ins import StandIn, is_loaded, stand_in, standing_in, when_loaded

NAMES = ("Tool", "measure")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package `heavy` with a class and a function in a module of it, and a package file that counts its runs."""
    folder = tmp_path / "heavy"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "import json\nfrom heavy.deep.tools import Tool\nruns = 1\n__version__ = '3.1'\n"
    )
    (folder / "deep" / "__init__.py").write_text("from heavy.deep.tools import Tool, measure\n")
    (folder / "deep" / "tools.py").write_text(
        "class Tool:\n    '''A tool.'''\n    size = 3\n    def __init__(self, name='tool'):\n        self.name = name\n"
        "class Hammer(Tool):\n    pass\n"
        "def measure(length, unit='m'):\n    return f'{length} {unit}'\n"
    )
    (folder / "other.py").write_text("value = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "heavy.deep.tools"
    for name in [name for name in sys.modules if name.partition(".")[0] == "heavy"]:
        del sys.modules[name]


def given(module: str) -> dict[str, dict[str, StandIn]]:
    return {module: {name: stand_in(module, name) for name in NAMES}}


def loaded() -> list[str]:
    return sorted(name for name in sys.modules if name.partition(".")[0] == "heavy")


def test_a_stand_in_loads_its_module_when_it_is_used(library):
    with standing_in(given(library)):
        from heavy.deep.tools import Tool, measure
    assert loaded() == []
    assert not isinstance(3, Tool)
    assert not issubclass(dict, Tool)
    assert inspect.isclass(Tool)
    assert Tool.__name__ == "Tool"
    assert {Tool | None, Union[Tool, int]} == {Union[Tool, None], Union[int, Tool]}  # noqa: UP007
    assert loaded() == []
    assert measure(3, unit="km") == "3 km"
    real = importlib.import_module(library)
    assert Tool.size == 3
    assert type(Tool("saw")) is real.Tool
    assert Tool("saw").name == "saw"
    assert isinstance(real.Hammer(), Tool)
    assert issubclass(real.Hammer, Tool)
    assert issubclass(Tool, Tool)
    with pytest.raises(AttributeError, match="weight"):
        _ = Tool.weight


def test_a_class_made_of_a_stand_in_is_one_of_the_real(library):
    made = stand_in(library, "Tool")

    class Saw(made):
        teeth = 9

    assert type(Saw) is type
    assert Saw.__mro__[1] is importlib.import_module(library).Tool
    assert Saw("fine").name == "fine"


def test_afterwards_the_real_module_is_imported(library):
    with standing_in(given(library)):
        import heavy.deep.tools

        assert isinstance(heavy.deep.tools.Tool if hasattr(heavy, "deep") else sys.modules[library].Tool, StandIn)
    from heavy.deep.tools import Tool

    assert type(Tool) is type


def test_the_version_of_a_library_is_the_real_ones(library):
    """Also where the import system asks the module for names that it has not."""
    with standing_in({"heavy": {"Tool": stand_in("heavy", "Tool")}}):
        import heavy

        with pytest.raises(AttributeError):
            _ = heavy.__file__
        assert loaded() == ["heavy"]
    assert loaded() == []
    assert heavy.__file__.endswith("__init__.py")
    assert heavy.__version__ == "3.1"
    assert heavy.runs == 1


def test_other_names_and_modules_below_load_the_real_one(library):
    with standing_in({"heavy": {"Tool": stand_in("heavy", "Tool")}, **given(library)}):
        import heavy

        assert loaded() == ["heavy", library]
        from heavy.other import value

        assert value == 5
        assert sys.modules["heavy"] is not heavy
        assert sys.modules["heavy"].other.value == 5
        from heavy.deep.tools import Tool

        assert type(Tool) is type
    assert heavy.runs == 1
    assert heavy.Tool is Tool
    assert type(sys.modules[library]) is ModuleType


def test_a_module_that_is_loaded_is_left_alone(library):
    real = importlib.import_module(library)
    with standing_in(given(library)):
        assert sys.modules[library] is real
    assert sys.modules[library] is real


def test_a_package_that_loads_its_parts_when_asked_gives_stand_ins_too(library, tmp_path):
    (tmp_path / "heavy" / "__init__.py").write_text(
        "import importlib\nkind = 'lazy'\n"
        "def __getattr__(name):\n"
        "    if name.startswith('_'):\n        raise AttributeError(name)\n"
        "    return getattr(importlib.import_module('heavy.deep.tools'), name)\n"
    )
    package = importlib.import_module("heavy")
    with standing_in(given("heavy")):
        from heavy import Tool, kind, measure
        from heavy.other import value

        assert loaded() == ["heavy", "heavy.other"]
    assert (kind, value) == ("lazy", 5)
    assert sys.modules["heavy"] is package
    assert measure(3) == "3 m"
    assert package.Tool is importlib.import_module(library).Tool
    assert type(Tool()) is package.Tool


def test_what_is_not_installed_stays_missing():
    with standing_in({"no_such_library": {"Tool": stand_in("no_such_library", "Tool")}}), pytest.raises(ImportError):
        importlib.import_module("no_such_library")


def test_an_unopened_package_runs_its_file_when_a_name_is_asked_of_it(library):
    with standing_in({}, unopened=("heavy",)):
        from heavy.deep.tools import Tool
    import heavy

    assert heavy.deep.tools.Tool is Tool
    assert "runs" not in vars(heavy)
    assert heavy.runs == 1
    assert type(heavy) is ModuleType
    assert inspect.getsource(heavy).startswith("import json")
    with pytest.raises(AttributeError, match="module 'heavy' has no attribute 'walks'"):
        _ = heavy.walks


def test_two_threads_do_not_take_out_each_others(library):
    inside, leave, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        with standing_in(given(library)):
            inside.set()
            leave.wait(10)
            seen.append(sys.modules[library].Tool)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with standing_in(given(library)):
        pass
    leave.set()
    thread.join()
    assert isinstance(seen[0], StandIn)
    assert library not in sys.modules


def test_an_action_waits_for_its_module(library):
    seen: list[ModuleType] = []
    with standing_in(given(library)):
        assert not is_loaded(library)
        when_loaded(library, seen.append)
        assert seen == []
        _ = sys.modules[library].Hammer
        assert is_loaded(library)
    assert seen == [sys.modules[library]]
    when_loaded(library, seen.append)
    assert len(seen) == 2
    assert not [
        finder for finder in sys.meta_path if type(finder).__name__ == "_AfterLoading" and finder.name == library
    ]


@pytest.mark.slow
def test_diffusers_is_imported_without_the_libraries_it_can_work_with():
    """In a process of its own; then peft, torch's compiler and the packages of models are there as ever."""
    script = """
import importlib.metadata, json, sys
import occlusionformer.model
from occlusionformer.model import LayoutFluxTransformer2DModel
heavy = (
    "gguf", "peft", "peft.config", "scipy.stats", "scipy.integrate", "torch._dynamo",
    "torch.distributed._functional_collectives", "transformers",
)
before = [name for name in heavy if name in sys.modules]
from diffusers.loaders import lora_base
from diffusers.pipelines.flux import pipeline_flux
from diffusers.hooks import layerwise_casting
from diffusers.pipelines import pipeline_loading_utils
from diffusers.quantizers import auto, pipe_quant_config
from diffusers.utils import import_utils
version = pipeline_loading_utils.transformers.__version__
import torch, peft, transformers, diffusers
from diffusers.models.autoencoders import AutoencoderTiny
torch.compiler.reset()  # loads it
allowed = sys.modules["torch._dynamo"].trace_rules._allowed_callable_ids
class LaterBlock: pass
maybe_allow_in_graph = sys.modules["diffusers.utils.torch_utils"].maybe_allow_in_graph
maybe_allow_in_graph(LaterBlock)
from diffusers.models.transformers.transformer_flux import FluxTransformerBlock
tuner = peft.tuners.lora.layer.Linear(torch.nn.Linear(2, 2), "default", config=peft.LoraConfig(), r=1)
print(json.dumps({
    "loaded before": before,
    "block known to the compiler": id(FluxTransformerBlock) in allowed(),
    "later block known to it": id(LaterBlock) in allowed(),
    "lora layer": isinstance(tuner, lora_base.BaseTunerLayer),
    "plain layer": isinstance(torch.nn.Linear(2, 2), lora_base.BaseTunerLayer),
    "model": issubclass(transformers.CLIPTextModel, lora_base.PreTrainedModel),
    "version": version == transformers.__version__ == pipeline_loading_utils.transformers.__version__,
    "file names": [
        pipeline_loading_utils.TRANSFORMERS_SAFE_WEIGHTS_NAME == transformers.utils.SAFE_WEIGHTS_NAME,
        pipeline_loading_utils.TRANSFORMERS_WEIGHTS_NAME == transformers.utils.WEIGHTS_NAME,
    ],
    "quantizer": auto.AUTO_QUANTIZER_MAPPING["gguf"].__name__,
    "list of what is installed": import_utils._package_map["torch"],
    "listing": importlib.metadata.packages_distributions() == dict(import_utils._package_map),
    "types": [kind.__name__ for kind in diffusers.FluxPipeline._get_signature_types()["text_encoder"]],
    "stand-ins left": [name for name, module in sys.modules.items() if type(module).__name__ == "_StandInModule"],
}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "loaded before": [],
        "block known to the compiler": True,
        "later block known to it": True,
        "lora layer": True,
        "plain layer": False,
        "model": True,
        "version": True,
        "file names": [True, True],
        "quantizer": "GGUFQuantizer",
        "list of what is installed": ["torch"],
        "listing": True,
        "types": ["CLIPTextModel"],
        "stand-ins left": [],
    }
