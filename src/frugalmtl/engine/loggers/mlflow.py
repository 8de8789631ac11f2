"""MLflow: runs on a tracking server, in a database, or in the folder of the run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from frugalmtl.engine.loggers.base import LogPlace, RunLogger

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

EXTRA = "mlflow"


class MLflow(RunLogger):
    """A run of MLflow (https://mlflow.org).

    A run that goes on is the same one there, by its identifier. Names of figures have a dot where MLflow takes no such
    character (``segmentation@initial`` is ``segmentation.initial``).

    Args:
        tracking_uri: of a server, a database or a folder; if not stated ``$MLFLOW_TRACKING_URI``, else the database
            ``loggers/mlflow.db`` in the folder of the run.
        experiment: that the run belongs to.
        name: of the run; that of its folder if not stated.
        tags: of the run.
    """

    needs: ClassVar[Mapping[str, str]] = {"mlflow": EXTRA, "pytorch_lightning": EXTRA}

    def __init__(
        self,
        *,
        tracking_uri: str | None = None,
        experiment: str = "frugalmtl",
        name: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        self.tracking_uri, self.experiment, self.name, self.tags = tracking_uri, experiment, name, dict(tags or {})

    def open(self, place: LogPlace) -> Logger:
        """Lightning's logger of a run."""
        from pytorch_lightning.loggers import MLFlowLogger

        place.files.mkdir(parents=True, exist_ok=True)
        here = f"sqlite:///{(place.files / 'mlflow.db').absolute()}"
        identifier = place.identifier("mlflow")
        logger: Any = MLFlowLogger(
            experiment_name=self.experiment,
            run_name=self.name or place.folder.name,
            tracking_uri=self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or here,
            tags=self.tags,
            run_id=identifier,
        )
        if identifier is None:
            place.remember("mlflow", logger.run_id)
            logger.log_hyperparams(dict(place.facts))
        opened: Logger = logger
        return opened

    def name_of(self, figure: str) -> str:
        """The name of a figure, of letters, digits and ``_/. -`` alone."""
        return re.sub(r"[^\w/. -]", ".", figure, flags=re.ASCII)
