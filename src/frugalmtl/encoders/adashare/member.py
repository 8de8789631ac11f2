"""Config section of AdaShare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from frugalmtl.backbones import Backbone
from frugalmtl.encoders.adashare.encoder import AdaShare
from frugalmtl.encoders.adashare.options import PenaltyOptions, PolicyOptions, SearchOptions, TurnOptions


def adashare(
    backbone: Backbone,
    tasks: Sequence[str],
    *,
    policy: Literal["learned", "random", "cost_order", "given"] = PolicyOptions.policy,
    choose: Literal["best", "argmax", "sampled"] = PolicyOptions.choose,
    candidates: int = PolicyOptions.candidates,
    budget: str | float | None = PolicyOptions.budget,
    initial: Literal["equal", "random", "all_run"] = PolicyOptions.initial,
    sparsity_weight: float = PenaltyOptions.sparsity_weight,
    sharing_weight: float = PenaltyOptions.sharing_weight,
    sparsity: Literal["code", "code_deep", "paper"] = PenaltyOptions.sparsity,
    sharing: Literal["code", "paper", "prefix"] = PenaltyOptions.sharing,
    warmup_share: float = SearchOptions.warmup_share,
    search_share: float = SearchOptions.search_share,
    curriculum_speed: float = SearchOptions.curriculum_speed,
    hard: bool = SearchOptions.hard,
    policy_lr: float = SearchOptions.policy_lr,
    search_optimizer: dict[str, Any] | None = SearchOptions.optimizer,
    weights_epochs: float = TurnOptions.weights_epochs,
    policy_epochs: float = TurnOptions.policy_epochs,
    weights_steps: int | None = TurnOptions.weights_steps,
    policy_steps: int | None = TurnOptions.policy_steps,
    weights_data: float = TurnOptions.weights_data,
    policy_data: float = TurnOptions.policy_data,
    holdout_data: float = TurnOptions.holdout_data,
) -> AdaShare:
    r"""AdaShare: one backbone for all tasks, and for each a learned choice of the blocks that it runs.

    Every block with a shortcut is *gated*: with ``r = shortcut(x)`` and a task's draw p, one for the whole mini-batch,

        x <- p after(r + branch(x)) + (1 - p) r,     p = softmax((logits + Gumbel noise) / tau)[run]

    A skipped block leaves the shortcut alone: a projection always runs, and the activation after the sum does not.
    Blocks without a shortcut always run. The choice does not depend on the image, so that a deployed network is a
    **prefix tree**: blocks that several tasks run on the same features run once, and blocks no task uses are not held.

    The training has three stages. *warmup*: all blocks run for all tasks, in one pass. *search*: turns of weights and
    of logits on disjoint parts of the training split; tau is 5 x 0.965^cycle, a cycle being both turns; a curriculum
    opens the choice of the last block first, and of one more towards the image every ``curriculum_speed`` cycles, while
    the blocks before it run for all tasks, once. The turn of the logits adds two penalties to the tasks' losses:
    ``sparsity_weight`` times
    :func:`~frugalmtl.encoders.adashare.penalties.sparsity_penalty`, and ``sharing_weight`` times
    :func:`~frugalmtl.encoders.adashare.penalties.sharing_penalty`. At its end discrete policies are compared on
    held-out samples of the training split, and one is kept. *retrain*: the network begins anew from the weights that
    the run began with, and trains with that policy alone.

    Published settings (the reference code): the penalties' weights (sparsity, sharing) are 0.05 and 0.05 for NYU v2
    with 2 tasks, 0.001 and 0.05 with 3, 0.01 and 0.1 for Cityscapes, 0.001 and 0.005 for Tiny-Taskonomy;
    ``curriculum_speed`` 3 (Taskonomy 1); of 40 000 steps 4 000 warm-up, 16 000 search, 20 000 retraining
    (Taskonomy 20 000, 80 000, 30 000);
    turns of one epoch each (Taskonomy 400 and 100 steps); the search's weights by SGD with momentum 0.9 and weight
    decay 1e-4, logits by Adam at 0.01 with weight decay 5e-4, both at constant rates; soft draws.

    Source: Sun, Panda, Feris, Saenko, "AdaShare: Learning What To Share For Efficient Deep Multi-Task Learning"
    (NeurIPS 2020), and the code of its authors. Where the two differ both forms are options, and the names
    say which is which;
    the paper's are as recalled. Choices of ours, where neither says or both cannot be followed:

    - A policy is selected on held-out samples of the training split; the code selects on the split that it reports.
    - The best of the most likely policy and ``candidates`` draws is retrained; the code retrains eight draws and
      reports the best. For the same here, give ``policy: given`` and ``choose: sampled`` runs with several seeds.
    - Normalisation in the turn of the logits uses running statistics and does not move them, since its weights do not
      train then; the code lets every task's pass move them.
    - Weights' momenta live on from cycle to cycle; the search begins them anew, as the code does.
    - The logits' Adam has torch's default momenta.
    - In the code the sparsity penalty is the mean over the open blocks, summed over tasks; so it is here.
    - The curriculum needs one cycle with all blocks open, or the run is refused; the code then keeps no policy.
    - ``curriculum_speed`` may be a fraction, to open several blocks in a cycle.
    - The form ``"prefix"`` of the sharing penalty, ``budget``, ``random`` and ``cost_order``.

    The cut holds the levels of all pyramids, each tensor once. In a search tasks meet there only in levels that lie
    before the first open block; balancers that compare gradients at the representation refuse, or take the parameters.

    Args:
        backbone: copied once; its blocks must be known to :mod:`frugalmtl.backbones.views`.
        tasks: names of the tasks.
        policy: ``"learned"`` in a search; or, as baselines that train like the last stage and have no search,
            ``"random"`` (every block by a coin, by the run's seed, then brought to the budget) and ``"cost_order"``
            (the most expensive blocks are skipped first, until the budget is met, for all tasks alike where
            that can be);
            or ``"given"``: that of another run, by ``init_from: {run: FOLDER, take: [structure]}``.
        choose: which of the policies that run probabilities stand for is kept: ``"best"`` of the most likely one and
            draws, by held-out scores; ``"argmax"``, the most likely one; ``"sampled"``, a draw by this run's seed. Of a
            policy that is given, ``"best"`` is the one its run chose.
        candidates: draws that ``"best"`` compares with the most likely policy.
        budget: of the deployed model per image: ``"0.6x"`` the multiply-adds of the single-task networks, multiply-adds
            (``"1.2G"``), or milliseconds on this machine's processor (``"35ms"`` in eager PyTorch,
            ``"35ms@onnxruntime"`` of its ONNX file); a bare number is a share; None keeps
            none. The chosen policy is the most likely one within 2 %.
        initial: first logits: ``"equal"`` (0.5 each), ``"random"`` (normal, 0.001 wide), or ``"all_run"``.
        sparsity_weight: weight of the sparsity penalty; 0 for none.
        sharing_weight: weight of the sharing penalty; 0 for none.
        sparsity: form of the sparsity penalty: ``"code"`` (cross-entropy towards skipping), ``"code_deep"`` (deeper
            blocks weigh more), or ``"paper"`` (the sum of log P(run), which has no lower bound: what is skipped once is
            pushed on for ever).
        sharing: form of the sharing penalty: ``"code"`` (raw logits, late blocks weigh more), ``"paper"``
            (probabilities, early blocks weigh more), or ``"prefix"`` (what two tasks both run after they parted, in
            multiply-adds: what costs time in the deployed tree).
        warmup_share: share of the epochs in which all tasks run all blocks; 0 for none.
        search_share: share of the epochs of the search; the rest retrains the chosen policy, and may be 0.
        curriculum_speed: cycles from one more open block to the next; 0 opens all at once.
        hard: discrete draws with the gradient of soft ones. The turn of the weights then runs the tree of a draw.
        policy_lr: learning rate of the logits.
        search_optimizer: optimiser section of the weights in the search; None for the run's.
        weights_epochs: length of the turn of the weights, in passes over its samples.
        policy_epochs: length of the turn of the logits, in passes over its samples.
        weights_steps: length of the turn of the weights in steps instead; then no curriculum is checked beforehand.
        policy_steps: length of the turn of the logits in steps instead.
        weights_data: share of the training split whose samples train weights in the search.
        policy_data: share whose samples train logits; disjoint.
        holdout_data: share that the search never trains on, to choose a policy by; the other stages read it.

    Raises:
        UserError: a value out of its range, or a backbone with blocks whose shortcut is not known or without any.
    """
    turns = TurnOptions(
        weights_epochs, policy_epochs, weights_steps, policy_steps, weights_data, policy_data, holdout_data
    )
    return AdaShare(
        backbone,
        tasks,
        policy=PolicyOptions(policy, choose, candidates, budget, initial),
        penalties=PenaltyOptions(sparsity_weight, sharing_weight, sparsity, sharing),
        search=SearchOptions(
            warmup_share, search_share, curriculum_speed, hard, policy_lr, turns=turns, optimizer=search_optimizer
        ),
    )
