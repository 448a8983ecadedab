"""Training: recipes, the loop, and what shows that it learns. Needs torch; recipes and settings alone do not."""

from occlusionformer.training.config import CodecConfig, RunConfig
from occlusionformer.training.overrides import SettingsError, config_of_json, override
from occlusionformer.training.recipes import RECIPES, recipe

__all__ = ["RECIPES", "CodecConfig", "RunConfig", "SettingsError", "config_of_json", "override", "recipe"]
