"""Config section of InterroGate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from frugalmtl.backbones import Backbone
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.encoders.interrogate.options import GateOptions, GateTraining, SavingOptions, SparsityOptions


def interrogate(
    backbone: Backbone,
    tasks: Sequence[str],
    *,
    lambda_s: float | None = SparsityOptions.lambda_s,
    penalty: Literal["hinge", "l1"] = SparsityOptions.penalty,
    weighting: Literal["layers", "macs"] = SparsityOptions.weighting,
    reduction: Literal["mean", "sum"] = SparsityOptions.reduction,
    tau: float | dict[str, float] = SparsityOptions.tau,
    budget: str | float | None = SavingOptions.budget,
    ramp: float = SavingOptions.ramp,
    multiple: int | Literal["auto"] = SavingOptions.multiple,
    price: Literal["macs", "time"] = SavingOptions.price,
    layer_times: str | None = SavingOptions.layer_times,
    gates: Literal["learned", "importance", "random", "cost"] = GateOptions.gates,
    attention: Literal["channels", "heads"] = GateOptions.attention,
    projection: bool = GateOptions.projection,
    tie: Literal["none", "residual"] = GateOptions.tie,
    initial: float = GateOptions.initial,
    gate_weights: dict[str, float] | None = GateOptions.gate_weights,
    gate_lr: float = GateTraining.gate_lr,
    gate_every: int = GateTraining.gate_every,
    price_every: int = GateTraining.price_every,
    pretrain_share: float = GateTraining.pretrain_share,
    shared_share: float = GateTraining.shared_share,
    frozen_share: float | None = GateTraining.frozen_share,
) -> InterroGate:
    r"""InterroGate: each task picks, channel by channel, its own features or shared ones; the rest is deleted.

    T + 1 copies of the backbone run in step. At every site (see :class:`~frugalmtl.channels.Graph`)

        phi'_t = G_t phi_t + (1 - G_t) psi               (2)   what task t goes on with; G_t in {0, 1} per channel
        psi'   = sum_t softmax_t(beta)_t phi'_t          (3)   what the shared branch goes on with

    The gates do not depend on the image, so a deployed network holds and computes only the filters whose channels
    somebody picked; if all gates are open it is T single-task networks, if all are closed one shared network.

    What drives gates to close is either the paper's sparsity loss (4), ``lambda_s / T sum_t max(0, mean_l mean_c
    sigmoid(alpha) - tau_t)`` (or a sum over c, ``reduction``), or a **budget** for the deployed model, which the paper
    cannot guarantee: then those tasks keep a channel of their own that maximise ``sum_t alpha_t - price * cost``, the
    cost being that of all copies of the channel, the shared one among them, and the price is set every few steps so
    that the whole cost falls from that of the single-task networks to the budget over the
    first ``ramp`` of the learning epochs and stays there. At the beginning of the last epochs (``frozen_share``) the
    gates are frozen: widths are rounded to multiples of ``multiple``, the exact cost is brought to the budget, and the
    network adapts with the gates as they are.

    Training starts with the single-task networks (``pretrain_share``, or ``init_from`` a single-task run and 0), from
    which the task branches go on; the shared branch starts from the backbone's weights, and may train alone first
    (``shared_share``). Gates and mixing weights are trained by SGD without momentum, weight decay or schedule.

    Source: Ehteshami Bejnordi et al., "InterroGate: Learning to Share, Specialize, and Prune Representations for
    Multi-task Learning" (2024), section 3, algorithm 1, appendices A and C. Choices of ours, where the paper is silent:
    the first alpha, a small positive constant (the first network equals the single-task ones); beta zero; the mean over
    channels in (4), under which the published rates move no gate, while under ``reduction: sum`` with ``initial: 0.1``
    lambda_s from 0.01 to 0.1 spans all from own to shared channels, and tau is a switch; the gradient of beta by the
    gates' optimiser; sites after residual additions and not before, also in transformers; depthwise convolutions follow
    the gate behind them; squeeze-and-excitation and normalisation over channels run whole in every branch that goes on;
    in Swin Transformers every branch has position biases of its own, so that attention is never shared between
    branches, and the copies of a channel that the merging of patches makes have its gate. Budgets, widths and whole
    heads are not in the paper.

    The cut holds the features of all levels; at levels that nothing but the heads read, before their gates, so that
    ``branch`` picks.

    Args:
        backbone: copied T + 1 times.
        tasks: names of the tasks.
        lambda_s: weight of the sparsity loss; None for 0.05, or 0 if there is a budget.
        penalty: ``"hinge"`` as in (4), or ``"l1"``, the same without targets.
        weighting: ``"layers"`` takes the mean over the channels of every layer, then over layers, as in (4);
            ``"macs"`` weighs every channel with the multiply-adds that it costs.
        reduction: over the channels of a layer: ``"mean"``, or ``"sum"``: all channels count alike, and the loss is the
            mean number of them that a layer keeps beyond the targets, so that the pull on a gate does not fall with the
            width of its layer.
        tau: share that a task may keep for itself without penalty: for all tasks, or by task; of the hinge only.
        budget: of the deployed model per image: ``"0.6x"`` the multiply-adds of the single-task networks, multiply-adds
            (``"1.2G"``), or milliseconds on this machine's processor (``"35ms"`` in eager PyTorch,
            ``"35ms@onnxruntime"`` of its ONNX file); a bare number is a share; None keeps
            none.
        ramp: share of the learning epochs over which the budget is approached.
        multiple: kept channels of every layer are rounded to multiples of this, since odd widths are slow; a layer
            whose width is no multiple is kept whole or not at all. ``"auto"``: what the machine likes that
            ``layer_times`` names, else the one that trains: 16 with AVX-512, 8 with another CPU, 64 on a GPU in half
            formats, 8 there in float32. It is kept with the weights.
        price: by what a budget closes gates first: the multiply-adds of a channel (``"macs"``), or the measured time
            that it takes in the layers before its site, times the same per multiply-add (``"time"``), at least a
            twentieth of its price in multiply-adds; layers that take hardly less time with half of their channels are
            then kept whole, or not at all. The budget counts what it counts in either case. Prices are kept with the
            weights.
        layer_times: file of a table of layer times, as ``frugalmtl times`` writes it, maybe of another machine; None
            measures layers on the machine that trains, when a training begins.
        gates: which gates close first at a budget: those that ``"learned"`` so (the paper: alphas trained by gradient
            descent); those of least ``"importance"``: the sum over steps of ``(dL/dG)^2``, the squared first-order
            change of the loss when a task's own channel is replaced by the shared one, relative to the mean of the
            task (Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8, for
            choices between channels); or, as baselines whose gates never learn, ``"random"`` ones, or those of the
            dearest channels (``"cost"``), for all tasks alike.
        attention: transformers: gates per channel of queries, keys and values (the paper), or ``"heads"``: one gate per
            head for all three, so that attention itself gets cheaper.
        projection: transformers: the shared branch reads the mix at the end of a block through a linear projection,
            which starts as the identity (the paper's appendix C; costs C^2 operations per position and block).
        tie: which sites share their gates beyond that: ``"residual"``: those whose channels are added to each other
            (the ends of all blocks of a ResNet's stage), so that a deployed skip path moves no channels; ``"none"``:
            each has its own (the paper).
        initial: first alpha, where gates are learned.
        gate_weights: how much every task's importances count, e.g. what sharing costs it; None for all alike.
        gate_lr: learning rate of the gates.
        gate_every: gates learn at every so many steps, with as many times the gradient; in between, only what they
            leave is computed, as in the epochs with frozen gates. More than 1 makes training cheaper (the paper's is
            1); writing what runs anew takes 0.2 s for ResNet-18 and more for deeper networks, so take 4 or more.
            Under explicit ``strategy: ddp`` this and ``frozen_share`` need ``ddp_find_unused_parameters_true``.
        price_every: the price is set at the first learning step of every so many steps, from the gates as they are;
            on a GPU the host then waits for it, and in no other step in which gates learn.
        pretrain_share: share of the epochs in which the single-task networks train alone.
        shared_share: share of the epochs behind them in which the shared branch trains alone, as one network for all
            tasks, before the heads that the single-task networks have and that stay as they are: what importances are
            measured against is then a network that the heads can read. With 1 less ``pretrain_share`` there is no joint
            training: other runs may start from this one.
        frozen_share: share of the remaining epochs, at their end, in which gates do not move; None for 0.25 where a
            budget or a ``multiple`` needs some, and 0 elsewhere.

    Raises:
        UserError: a value out of its range, or a backbone with operations whose effect on channels is not known.
    """
    return InterroGate(
        backbone,
        tasks,
        penalty=SparsityOptions(lambda_s, penalty, weighting, reduction, tau),
        budget=SavingOptions(budget, ramp, multiple, price, layer_times),
        gates=GateOptions(gates, attention, projection, tie, initial, gate_weights),
        training=GateTraining(gate_lr, gate_every, price_every, pretrain_share, shared_share, frozen_share),
    )
