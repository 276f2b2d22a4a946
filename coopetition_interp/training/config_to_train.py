"""What is asked of a config that a run is to be made of, whatever its fields say."""

from __future__ import annotations

from coopetition_interp.config_class import ConfigError, shortened
from coopetition_interp.training.run_config import RunConfig


def require_config(config: object) -> None:
    """Refuses what is no config of a run.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(config, RunConfig):
        raise TypeError(
            f"a run's config is a RunConfig, such as preset('tiny') gives; got {shortened(config)}"
        )


def require_own_task(config: RunConfig) -> None:
    """Refuses a config whose saved form would be read back as another class.

    Raises:
        ConfigError: Its class takes its task's name from another.
    """
    task, cls = getattr(config, "task", None), type(config)
    if RunConfig.classes_of_tasks.get(task) is not cls:  # type: ignore[arg-type]
        raise ConfigError(
            f"{cls.__qualname__} has no task name of its own (it has {task!r}), so its runs could "
            'not be loaded: give the class a field `task: Literal["its_name"] = "its_name"`; if it '
            "was defined anew since, make the config again"
        )
