"""Pretrained networks that read pictures or captions, from the libraries that have them.

`tower.py` has the modules and `build_image_tower`, `build_text_tower`; each `from_*.py` adapts one library; `parts.py`
is what an adapter returns; `options.py` is the command line's group.
"""
