"""A replica of the user's module that convscope may run: same weights in memory, evaluation mode, none of its hooks.

The user's module is only read. The replica's parameters are aliases that ask for no gradient, so weights that are
trained on are seen as they are now; its buffers are copies, so that a forward pass that writes to them writes to ours.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Observer(Protocol):
    """Is told of each submodule's call while it observes; returns what the call returns."""

    def called(self, path: str, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any: ...


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observing(observer: Observer | None) -> Iterator[None]:
    """Tell `observer` of the calls that this thread makes inside any replica."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


class Replica:
    """The replica of `module`, with `live`: the user's own tensor for each of the replica's copied buffers."""

    def __init__(self, module: nn.Module) -> None:
        original = unwrapped(module)
        self.module, memo = _copied(original, _replica_of)
        self._buffers = [(memo[id(tensor)], tensor.detach()) for tensor in original.buffers()]
        self.live = {id(copied): tensor for copied, tensor in self._buffers}
        self.foreign_hooks = _remove_hooks(self.module)
        for submodule in self.module.modules():
            submodule.training = False
        for path, submodule in self.module.named_modules():
            if not isinstance(submodule, torch.jit.ScriptModule):
                _announce(submodule, path)

    def __call__(self, *args: Any) -> Any:
        return self.module(*args)

    def follow(self) -> None:
        """Take over the user's buffers as they are now."""
        with torch.no_grad():
            for copied, tensor in self._buffers:
                copied.copy_(tensor)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside `torch.compile`, `DataParallel` and `DistributedDataParallel`, which only run it."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(module, parallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def own_copy(module: nn.Module) -> nn.Module:
    """A copy of `module` with weights of its own, which may be changed; without the hooks on it."""
    copied, _ = _copied(unwrapped(module), _owned)
    _remove_hooks(copied)
    return copied


def _copied(module: nn.Module, tensor_copy: Callable[[Tensor], Tensor]) -> tuple[nn.Module, dict[int, Any]]:
    """A copy of `module` whose tensors are copied by `tensor_copy`, and what each object became, by its id."""
    tensors = _all_tensors(module)
    memo: dict[int, Any] = {id(tensor): tensor_copy(tensor) for tensor in tensors}
    try:
        return copy.deepcopy(module, memo), memo
    except (TypeError, RuntimeError, copy.Error):
        memo = {id(tensor): tensor_copy(tensor) for tensor in tensors}
        _share_what_cannot_be_copied(module, memo)
        return copy.deepcopy(module, memo), memo


def _all_tensors(module: nn.Module) -> list[Tensor]:
    """Parameters, buffers, and tensors kept as plain attributes, which `deepcopy` refuses if they were computed."""
    plain = (value for each in module.modules() for value in vars(each).values() if isinstance(value, Tensor))
    return [*module.parameters(), *module.buffers(), *plain]


def _replica_of(tensor: Tensor) -> Tensor:
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(tensor.detach(), requires_grad=False)
    return tensor.detach().clone()


def _owned(tensor: Tensor) -> Tensor:
    own = tensor.detach().clone()
    return nn.Parameter(own, requires_grad=False) if isinstance(tensor, nn.Parameter) else own


def _share_what_cannot_be_copied(module: nn.Module, memo: dict[int, Any]) -> None:
    """Locks, open files and the like stay the user's own objects."""
    for submodule in module.modules():
        for name, value in vars(submodule).items():
            if name in ("_parameters", "_buffers", "_modules") or isinstance(value, nn.Module):
                continue
            try:
                copy.deepcopy(value, dict(memo))
            except Exception:  # whatever it is that an object raises when it can't be copied
                memo[id(value)] = value


def _remove_hooks(module: nn.Module) -> int:
    """Remove the hooks but for those by which torch itself computes weights; how many were removed."""
    removed = 0
    for submodule in module.modules():
        for name, value in vars(submodule).items():
            if not (name.endswith("_hooks") and isinstance(value, dict)):
                continue
            foreign = [key for key, hook in value.items() if not _is_torchs_own(hook)]
            for key in foreign:
                del value[key]
            removed += len(foreign)
    return removed


def _is_torchs_own(hook: Any) -> bool:
    module = getattr(hook, "__module__", None) or type(hook).__module__
    return str(module).startswith("torch.")


def _announce(module: nn.Module, path: str) -> None:
    """Let the module's calls be observed, and otherwise be as they were."""
    forward = module.forward

    def announced(*args: Any, **kwargs: Any) -> Any:
        observer = _observer.get()
        if observer is None:
            return forward(*args, **kwargs)
        return observer.called(path, module, forward, args, kwargs)

    module.forward = announced
