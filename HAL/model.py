"""HAL (Liu et al., AAAI 2020) is an objective (`loss.py`) for the network of VSE++."""

from VSEpp_LSEH.model import VSEpp

__all__ = ["VSEpp"]
