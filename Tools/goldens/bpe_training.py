"""Byte-pair training whose result depends on the text only: ties go to the pair that sorts first."""

from collections import Counter, defaultdict


def train_merges(words, count):
    """`count` merges for a mapping from words, as tuples of symbols, to how often they occur."""
    pieces, weights = [list(word) for word in words], list(words.values())
    totals, places = Counter(), defaultdict(set)
    for index, symbols in enumerate(pieces):
        for pair in zip(symbols, symbols[1:]):
            totals[pair] += weights[index]
            places[pair].add(index)
    merges = []
    while len(merges) < count:
        best = min(totals, key=lambda pair: (-totals[pair], pair))
        if totals[best] < 2:
            break
        merges.append(best)
        for index in places.pop(best):
            symbols, weight = pieces[index], weights[index]
            for pair in zip(symbols, symbols[1:]):
                totals[pair] -= weight
            pieces[index] = symbols = merge(symbols, best)
            for pair in zip(symbols, symbols[1:]):
                totals[pair] += weight
                places[pair].add(index)
        totals = +totals
    return merges


def merge(symbols, pair):
    result, i = [], 0
    while i < len(symbols):
        joined = tuple(symbols[i:i + 2]) == pair
        result.append("".join(pair) if joined else symbols[i])
        i += 2 if joined else 1
    return result
