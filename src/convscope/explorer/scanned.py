"""The job `scan`, and what is told of a scan's channels."""

from convscope.errors import ConvscopeError
from convscope.explorer.cache import Outcome, key_of
from convscope.explorer.growing import GrowingScan
from convscope.explorer.making import Prepared, outcome
from convscope.explorer.models import ChannelsTold, ScanAsked
from convscope.explorer.results import Scanned
from convscope.progress import Watcher
from convscope.scanning.stored import Scan
from convscope.scanning.units import Unit, Units, units


def scan_prepared(asked: ScanAsked, growing: GrowingScan) -> Prepared:
    """The work, in the background. Raises LayerError for a layer that can't be scanned."""
    layers = growing.layers_with(asked.layers)

    def work(watcher: Watcher) -> Outcome:
        made = growing.run(layers, watcher)
        return outcome(
            Scanned(
                scan=growing.id, images=len(made), unreadable=len(made.unreadable),
                labelled=int((made.images.classes >= 0).sum()), layers=list(made.layers),
            )
        )  # fmt: skip

    key = key_of("scan", {"scan": growing.id, "layers": layers, "total": growing.total})
    return Prepared(key, work, behind=True, anew=not growing.is_complete(layers))


def channels_told(scan: Scan, layer: str) -> ChannelsTold:
    """What each channel of a layer usually does. Raises LayerError where it was not scanned."""
    if not scan.statistics(layer).count:
        raise ConvscopeError("nothing has been scanned yet; ask again when the first pictures have")
    found = _units(scan, layer)
    by_classes = all(each.selectivity is not None for each in found.rows)
    return ChannelsTold(
        layer=found.layer, images=found.images, measured="classes" if by_classes else "spread",
        selectivity=[each.selectivity if by_classes else _outstanding(each) for each in found.rows],
        prefers=[each.prefers for each in found.rows], chance=[each.chance for each in found.rows],
        mean=[each.mean for each in found.rows], spread=[each.spread for each in found.rows],
        largest=[each.largest for each in found.rows], share=[each.share for each in found.rows],
        states=[each.state for each in found.rows], notes=list(found.notes),
    )  # fmt: skip


def _units(scan: Scan, layer: str) -> Units:
    try:
        return units(scan, layer)
    except (OSError, RuntimeError):
        # What was read may have been tidied up meanwhile; it is there anew.
        return units(scan, layer)


def _outstanding(unit: Unit) -> float | None:
    """By how many standard deviations the largest value lies above the mean."""
    return (unit.largest - unit.mean) / unit.spread if unit.spread > 0 else None
