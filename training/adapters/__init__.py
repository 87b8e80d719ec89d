"""Adapters that live beside the layers of a frozen network.

peft supplies parameters, initialisation and maths through its own layer classes, built over a shadow of the real
layer (same shape, no storage); a forward hook gives the layer's output the adapter's effect. The layer itself runs
unchanged and is never owned, renamed or replaced. `peft.inject_adapter_in_model` can do none of that: it moves the
base layer into a wrapper, gives the adapter the base's dtype (fp8 has no `mul`) and has no undo.
"""

from .base import Adapter, Borrow, Lender
from .continued import StartLayer, StartLora
from .sets import AdapterSet, create_adapter

__all__ = ["Adapter", "AdapterSet", "Borrow", "Lender", "StartLayer", "StartLora", "create_adapter"]
