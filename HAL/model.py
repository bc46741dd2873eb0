"""HAL (Liu et al., AAAI 2020) trains the network of VSE++ as it is; what is new is the objective (`loss.py`)."""

from VSEpp_LSEH.model import VSEpp

__all__ = ["VSEpp"]
