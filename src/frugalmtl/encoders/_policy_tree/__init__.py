"""Prefix tree of policies: tasks that skip blocks of one backbone run together until they disagree."""

from frugalmtl.encoders._policy_tree.chain import ChainBlock, GatedChain, Policies
from frugalmtl.encoders._policy_tree.cost import TreeCost, tree_macs
from frugalmtl.encoders._policy_tree.plan import TreePlan, TreeStep, plan_tree
from frugalmtl.encoders._policy_tree.run import PolicyTree, run_tree

__all__ = [
    "ChainBlock",
    "GatedChain",
    "Policies",
    "PolicyTree",
    "TreeCost",
    "TreePlan",
    "TreeStep",
    "plan_tree",
    "run_tree",
    "tree_macs",
]
