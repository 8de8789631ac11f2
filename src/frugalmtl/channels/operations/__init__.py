"""Operations on channels, each of which can be restricted to some of its channels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
