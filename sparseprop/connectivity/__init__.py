"""Which neurons are connected, and with what values: rules, what they make, distributions."""

from .adjacency import MAX_NEURONS, Adjacency, ProceduralAdjacency
from .distributions import Distribution, distribution_from_dict, lognormal, normal, uniform
from .drawn import Drawn, all_of, extremes
from .random import Purpose, random_key
from .rules import (
    Rule,
    all_to_all,
    build,
    edges,
    fixed_indegree,
    fixed_outdegree,
    fixed_total_number,
    matrix,
    one_to_one,
    pairwise_bernoulli,
    rule_from_dict,
)
from .shares import AdjacencyShare, share_of_adjacency, whole_offsets

__all__ = [
    "MAX_NEURONS",
    "Adjacency",
    "AdjacencyShare",
    "Distribution",
    "Drawn",
    "ProceduralAdjacency",
    "Purpose",
    "Rule",
    "all_of",
    "all_to_all",
    "build",
    "distribution_from_dict",
    "edges",
    "extremes",
    "fixed_indegree",
    "fixed_outdegree",
    "fixed_total_number",
    "lognormal",
    "matrix",
    "normal",
    "one_to_one",
    "pairwise_bernoulli",
    "random_key",
    "rule_from_dict",
    "share_of_adjacency",
    "uniform",
    "whole_offsets",
]
