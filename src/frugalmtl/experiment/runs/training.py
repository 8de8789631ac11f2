"""One experiment from its config to a finished run, and a run's scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from frugalmtl.core.checks import UserError, known
from frugalmtl.core.disk.locks import refuse_held
from frugalmtl.core.terminal import output_console, progress_bar, visible, without_markup
from frugalmtl.core.types import Scores
from frugalmtl.data import Dataset, Loader
from frugalmtl.data.counting.settled import settled
from frugalmtl.data.coverage import require_labels
from frugalmtl.deployment import plan_encoder
from frugalmtl.engine import TrainJob, TrainLoop, make_fabric
from frugalmtl.engine.checkpoints.exclusive import exclusive
from frugalmtl.engine.dry_run import dry_run
from frugalmtl.engine.job import check_trainable
from frugalmtl.engine.step import DivergenceError
from frugalmtl.evaluation.evaluator import Evaluation, evaluate_with_remarks
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs import processes
from frugalmtl.experiment.runs.build import Built, build, build_dataset
from frugalmtl.experiment.runs.identity import identity, require_unchanged
from frugalmtl.experiment.runs.kept.images import FILE as IMAGES
from frugalmtl.experiment.runs.kept.images import example_images, keep_images
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.start import Start, gentler_command, start_of
from frugalmtl.experiment.runs.streams.clock import check_latency_file, clock_of
from frugalmtl.experiment.runs.streams.loaders import make_loader, training_loaders
from frugalmtl.experiment.runs.streams.measures import RunMeasures
from frugalmtl.experiment.runs.streams.parts import SPLIT, check_streams, held_out_fact, require_same_part, stream_parts


def train_run(
    config: Experiment,
    folder: Path,
    *,
    dataset: Dataset | None = None,
    start: Path | None = None,
    progress: bool = True,
    title: str = "",
    checked: bool = False,
    remedy: Callable[[Run], str] = gentler_command,
) -> Run:
    """Train an experiment, or continue it where it was interrupted; a finished run is returned as it is.

    Args:
        config: the experiment.
        folder: of the run.
        dataset: the experiment's, if it is open already.
        start: folder of the run that ``config.init_from`` stands for, if that is not a path itself.
        progress: show a progress bar; else a plain line per epoch.
        title: what the lines begin with.
        checked: a step of every stage has been tried for this experiment, with whatever seed.
        remedy: what to do after a divergence, in words or as a command.

    Raises:
        UserError: the config does not fit; the folder holds something else, or another process trains there; training
            failed. Everything that can be checked is checked before the folder is made.
    """
    refuse_held(folder)
    Run.check(folder, config)
    run = Run(folder, config)
    if run.finished:
        require_unchanged(config, run.weights)
        return Run.create(folder, config)
    dataset = dataset or build_dataset(config)
    checkpoint = run.checkpoint()
    built = build(config, dataset, tasks=None if checkpoint is None else run.network().tasks)
    source = start_of(config, start) if checkpoint is None else None
    if source is not None:
        source.restructure(built.model)
    if checkpoint is not None:
        require_same_part(built, checkpoint)
    notes = check_training(config, built, dataset, steps=not checked)
    if checkpoint is None and any(task.from_labels for task in built.tasks):
        dataset.prepare([SPLIT])
        built = build(config, dataset, tasks=settled(built.tasks, dataset, SPLIT, progress=progress))
        if source is not None:
            source.restructure(built.model)
    settings = (
        replace(config.train, progress="auto" if progress else "plain")
        if config.train.progress == "auto"
        else config.train
    )
    fabric = make_fabric(settings)
    with exclusive(folder, fabric):
        if fabric.is_global_zero and not title:
            print_notes(notes)
        try:
            _train(run, replace(config, train=settings), built, dataset, fabric, source, title)
        except DivergenceError as error:
            raise UserError(f"{error}, for example: {remedy(run)}") from error
    return run


def _train(
    run: Run,
    config: Experiment,
    built: Built,
    dataset: Dataset,
    fabric: Fabric,
    start: Start | None,
    title: str,
) -> None:
    """Train in the run's folder, which is held."""
    if fabric.is_global_zero:
        dataset.prepare([SPLIT, config.evaluate_split] if config.train.evaluate_every else [SPLIT])
    fabric.barrier()
    parts, place = stream_parts(built, dataset), (fabric.global_rank, fabric.world_size)
    job = TrainJob(
        built.model,
        built.balancer,
        config.train,
        training_loaders(built, parts, config, *place),
        run.folder,
        measures=RunMeasures(built, dataset, parts, config, *place),
        seed=config.seed,
        identity=identity(config) | held_out_fact(built),
    )
    if fabric.is_global_zero:
        Run.create(run.folder, run.config, built)
        if not (run.folder / IMAGES).exists():
            keep_images(run.folder, example_images(built, config, dataset))
    console = output_console(stderr=True)
    if title and fabric.is_global_zero:
        console.print(f"[bold]{without_markup(title)}[/bold] (seed {config.seed})")
    if start is not None:
        line = start.load(built.model)
        if fabric.is_global_zero:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    plan_encoder(
        built.model,
        built.image_size,
        clock_of(built) if fabric.world_size == 1 else None,
        machine=processes.machine(config.train),
        processes=fabric.world_size,
    )
    TrainLoop(job, fabric).run()


def check_training(config: Experiment, built: Built, dataset: Dataset, *, steps: bool = True) -> list[str]:
    """Refuse what would otherwise come up only when the training has begun; returns notes on the data.

    Args:
        config: the experiment.
        built: its objects; stay as they are.
        dataset: of the experiment.
        steps: measure a budget in milliseconds, and take a step of every stage; else leave out what takes time.

    Raises:
        UserError: a task without a label in a split that it is trained or scored on, an unknown split or augmentation,
            fewer epochs than stages need, a stream with fewer samples than a batch or without a label that it needs, a
            balancer or setting that reads scores on the split that is reported, no structure where the method needs
            one, rates for parameters that do not exist, a budget that cannot be kept, a logger that is not
            installed, or a step that a stage refuses.
    """
    known("split as evaluate_split:", config.evaluate_split, dataset.splits)
    known("split as test_split:", config.test_split, dataset.splits)
    during = [config.evaluate_split] if config.train.evaluate_every else []
    scored = [task.name for task in built.tasks if not task.auxiliary]
    notes = require_labels(dataset, [task.name for task in built.tasks], [SPLIT])
    notes += require_labels(dataset, scored, [*during, config.test_split])
    check_trainable(built.model, built.balancer, config.train)
    reader = f"the balancer {built.balancer.method}" if built.balancer.needs_scores else config.train.chosen_by_scores
    if reader and config.evaluate_split == config.test_split:
        raise UserError(
            f"{reader} reads the scores on evaluate_split while it trains, but {config.test_split!r} is also "
            "test_split, which is reported: name another split"
        )
    if built.model.encoder.needs_structure and (config.start is None or "structure" not in config.start.take):
        raise UserError(
            f"encoder {config.encoder['name']!r}, as it is set, trains a structure that another run has decided on: "
            "add init_from: {run: FOLDER, take: [structure]}"
        )
    parts = stream_parts(built, dataset)
    notes += check_streams(built, parts, config.train)
    training_loaders(built, parts, config, 0, config.train.devices)
    check_latency_file(built)
    timed = built.model.encoder.target_latency_ms is not None
    if timed and config.train.devices != 1:
        raise UserError(f"a budget in milliseconds needs one training process, but devices is {config.train.devices}")
    if not steps:
        return notes
    plan_encoder(
        built.model,
        built.image_size,
        clock_of(built) if timed else None,
        machine=processes.machine(config.train),
        processes=config.train.devices,
    )
    dry_run(built.model, built.balancer, config.train, built.image_size, device=processes.device(config.train))
    return notes


def print_notes(notes: Iterable[str]) -> None:
    """Print notes on the data, each once, where they do not mix with results."""
    for note in dict.fromkeys(notes):
        output_console(stderr=True, literal=True).print(f"note: {visible(note)}")


def evaluate_run(
    run: Run,
    split: str,
    *,
    dataset: Dataset | None = None,
    deployed: bool = True,
    progress: bool = True,
    quiet: bool = False,
    reuse: bool = False,
    point: str | None = None,
) -> Scores:
    """Score a finished run on a split; the scores are printed and kept in the run, those of each operating point apart.

    After a training on several processes each of them scores its share of the split, and the first one writes.

    Args:
        run: a finished run.
        split: of its dataset.
        dataset: the run's, if it is open already.
        deployed: score the deployed model (what a user runs) instead of the training model.
        progress: show a progress bar.
        quiet: do not print the scores.
        reuse: return the kept scores of an earlier call if there are any.
        point: an operating point (:meth:`Run.at`); None for that of the run.

    Raises:
        UserError: no such split or point, the training model at a point, or the run is not finished.
    """
    run = run if point is None else run.at(point)
    if run.point is not None and not deployed:
        raise UserError(f"a budget ({run.point}) is one of the deployed model: leave it out for the training model")
    kind = "" if deployed else "-training_model"
    name = f"{split}{kind}"
    kept = run.scores(name, missing_ok=True) if reuse else {}
    result = Evaluation(kept, run.remarks(name), run.confusions(name)) if kept else None
    if result is None:
        dataset = dataset or build_dataset(run.config)
        known("split:", split, dataset.splits)
        built, network = run.deployed() if deployed else (run.load(), None)
        rank, count = processes.place()
        if rank == 0:
            dataset.prepare([split])
        processes.wait()
        samples = dataset.split(split)
        loader = make_loader(built, samples, run.config, rank=rank, world_size=count, training=False)
        scored = (network or built.model).to(processes.device(run.config.train))
        result = _with_progress(scored, loader, built, -(-len(samples) // count), progress and rank == 0)
        if rank == 0:
            run.write_scores(name, result)
        processes.wait()
    if not quiet and processes.first():
        print(visible(f"{run.folder}{run.at_point}, split {split}"), *map(visible, result.lines()), sep="\n  ")
    return result.scores


def _with_progress(network: nn.Module, loader: Loader, built: Built, images: int, visible: bool) -> Evaluation:
    with progress_bar(shown=visible) as bar:
        job = bar.add_task("evaluating", total=images)
        advance = partial(bar.advance, job)
        return evaluate_with_remarks(network, loader.epoch(), built.tasks, progress=advance)
