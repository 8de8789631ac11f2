"""Weights & Biases: runs on a server or, offline, in the folder of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from frugalmtl.engine.loggers.base import LogPlace, RunLogger, new_identifier

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

EXTRA = "wandb"


class Wandb(RunLogger):
    """A run of Weights & Biases (https://wandb.ai), beneath ``loggers/wandb`` in the folder of the run.

    A run that goes on is the same one there, by its identifier.

    Args:
        project: that the run belongs to.
        name: of the run; that of its folder if not stated.
        entity: user or team; the default of the account if not stated.
        group: of runs that are shown together.
        tags: of the run.
        offline: nothing is sent; ``wandb sync`` does so later.
    """

    needs: ClassVar[Mapping[str, str]] = {"wandb": EXTRA, "pytorch_lightning": EXTRA}

    def __init__(
        self,
        *,
        project: str = "frugalmtl",
        name: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        tags: tuple[str, ...] = (),
        offline: bool = False,
    ) -> None:
        self.project, self.name, self.offline = project, name, offline
        self.options = {"entity": entity, "group": group, "tags": list(tags)}

    def open(self, place: LogPlace) -> Logger:
        """Lightning's logger of a run."""
        from pytorch_lightning.loggers import WandbLogger

        place.files.mkdir(parents=True, exist_ok=True)
        identifier = place.identifier("wandb") or place.remember("wandb", new_identifier())
        logger: Any = WandbLogger(
            name=self.name or place.folder.name,
            save_dir=place.files,
            version=identifier,
            offline=self.offline,
            project=self.project,
            **self.options,
        )
        logger.log_hyperparams(dict(place.facts))
        opened: Logger = logger
        return opened

    def close(self, logger: Logger, *, complete: bool) -> None:
        """Write what is left, and end the run, so that the next one in this process is another."""
        super().close(logger, complete=complete)
        experiment: Any = getattr(logger, "experiment")  # noqa: B009 (of Lightning's own kind of logger)
        experiment.finish(exit_code=0 if complete else 1)
