"""The search for the feeding that fits a module best: one axis after the other, on a part of the photographs first."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from convscope.errors import ImageError
from convscope.network.network import Network
from convscope.plates.checking.feeding import Feeding, current_feeding, geometries, scalings
from convscope.plates.checking.judging import Difference, compare, fitness
from convscope.plates.checking.labelling import answered_order, label_orders
from convscope.plates.checking.trials import Answers, Trials

# The photographs on which every feeding is tried: a third of all, but not so few that good ones are lost by chance.
_SCREENED_PART = 3
_LEAST_SCREENED = 64
# So many of the best go on to the other photographs, beside the current one.
_FINALISTS = 3


class Search:
    """Tries feedings of a network on `total` photographs; `run` it, then ask.

    All are tried on the photographs that are screened, the best of them on the rest too; an order of labels that was
    learned on the screened ones is tried on the rest alone.
    """

    def __init__(self, network: Network, trials: Trials, total: int, *, seed: int) -> None:
        self.current = current_feeding(network)
        part = min(total, max(_LEAST_SCREENED, -(-total // _SCREENED_PART)))
        self.screened = range(part)
        self._rest = range(part, total)
        self._network = network
        self._trials = trials
        self._seed = seed
        self._on_screened: dict[Feeding, Answers] = {}
        self._on_rest: dict[Feeding, Answers] = {}

    def run(self) -> None:
        """Try all changes of one thing; as long as one is promising, all changes of another on top of it; then finish.

        Without the right classes it is scalings alone, since all else changes too little of what can be seen then.
        """
        self._trials.planned = len(self.screened) * (1 + len(self._variants(self.current)))
        self._trials.planned += len(self._rest) * (_FINALISTS + 1)
        best = self.current
        while (better := self._best([best, *self._variants(best)])) != best:
            best = better
        self._finish(best)

    @property
    def feedings(self) -> list[Feeding]:
        """All that were tried: those tried on most photographs first, the best of them first."""
        everything = {**self._on_screened, **self._on_rest}
        return sorted(everything, key=lambda each: (each in self._on_rest, fitness(self.answers(each))), reverse=True)

    def answers(self, feeding: Feeding) -> Answers:
        """The answers to all photographs that it was tried on."""
        return self._together(feeding, feeding)[0]

    def difference(self, feeding: Feeding, against: Feeding) -> Difference:
        """How much better a feeding did than another, on the photographs that both were tried on."""
        return compare(*self._together(against, feeding), seed=self._seed)

    def recommended(self) -> Feeding:
        """The best feeding that is convincingly better than the current one, which it is itself if there is none.

        Of all that do about as well as the best one, it is the one that changes least.
        """
        feedings = self.feedings
        finalists = [each for each in feedings if each in self._on_rest or not self._on_rest]
        better = [each for each in finalists if self.difference(each, self.current).convincing(tried=len(feedings) - 1)]
        if not better:
            return self.current
        return self._simplest(better)

    def _together(self, one: Feeding, other: Feeding) -> tuple[Answers, Answers]:
        parts = [part for part in (self._on_screened, self._on_rest) if one in part and other in part]
        ones, others = zip(*((part[one], part[other]) for part in parts), strict=True)
        return reduce(Answers.joined, ones), reduce(Answers.joined, others)

    def _best(self, feedings: Sequence[Feeding]) -> Feeding:
        """The first, unless another did better than by the luck of a single look at the photographs screened."""
        new = [each for each in dict.fromkeys(feedings) if each not in self._on_screened]
        self._on_screened.update(zip(new, self._trials.run(new, self.screened), strict=True))
        if not len(self._on_screened[self.current]):
            path, reason = next((each.path.name, each.reason) for each in self._trials.unreadable)
            raise ImageError(f"none of {len(self.screened)} photographs can be fed to the network; {path}: {reason}")
        best = max(feedings, key=lambda each: fitness(self._on_screened[each]))
        return best if self.difference(best, feedings[0]).promising else feedings[0]

    def _variants(self, feeding: Feeding) -> list[Feeding]:
        """The feeding with one thing changed that is as it is now: scaling, geometry, or order of the labels."""
        found = []
        if feeding.scaling == self.current.scaling:
            found += [replace(feeding, scaling=scaling) for scaling in scalings(self._network)[1:]]
        if self._trials.classes is None:
            return found
        if feeding.geometry == self.current.geometry:
            found += [replace(feeding, geometry=geometry) for geometry in geometries(feeding.geometry)]
        if feeding.order is None:
            orders = label_orders(self._network.labels, self._network.classes or 0)
            found += [replace(feeding, order=order) for order in orders]
        return found

    def _finish(self, best: Feeding) -> None:
        if not self._rest:
            return
        ranked = sorted(self._on_screened, key=lambda each: fitness(self._on_screened[each]), reverse=True)
        finalists = list(dict.fromkeys([self.current, best, self._simplest(ranked), *ranked]))[: _FINALISTS + 1]
        learned = [self._with_learned_order(feeding) for feeding in dict.fromkeys([self.current, best])]
        finalists += [each for each in learned if each is not None]
        answers = self._trials.run(finalists, self._rest)
        if len(answers[0]):
            self._on_rest.update(zip(finalists, answers, strict=True))

    def _with_learned_order(self, feeding: Feeding) -> Feeding | None:
        """The feeding with the order of labels that its answers to the screened photographs suggest, if another."""
        if self._trials.classes is None or feeding.order is not None:
            return None
        answers = self._on_screened[feeding]
        order = answered_order(answers.wanted.tolist(), answers.output.tolist(), self._network.classes or 0)
        return None if order is None else replace(feeding, order=order)

    def _simplest(self, ranked: Sequence[Feeding]) -> Feeding:
        """Of the feedings that the first is no better than by more than chance, the one that changes least."""
        as_good = [each for each in ranked if not self.difference(ranked[0], each).convincing(tried=1)]
        return min(as_good, key=lambda each: each.changes(self._network))
